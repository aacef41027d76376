"""The network of inverted residual blocks (Sandler et al. 2018) that MobileNetV2 and EfficientNet-Lite have in common.

Plain Keras layers, named `stem_*`, `stage1_block0_*` ... (stages from 1, blocks counted through from 0), `head_*` and
`logits`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from keras import layers

_STEM_STAGE = 0


@dataclass(frozen=True, slots=True)
class Stage:
    """Blocks of equally many channels.

    Attributes:
        blocks: How many.
        kernel: Side of the depthwise kernels.
        stride: Of the first block; that of the others is 1.
        expansion: How many times the channels of a block's input its depthwise convolution has.
        channels: Channels of the blocks' output.
    """

    blocks: int
    kernel: int
    stride: int
    expansion: int
    channels: int


@dataclass(frozen=True, slots=True)
class Convention:
    """What the two families do differently.

    Attributes:
        epsilon: Of batch normalisation.
        symmetric_padding: Whether a convolution of stride 2 pads all four sides alike, as PyTorch does, instead of
            right and bottom first, as TensorFlow does.
    """

    epsilon: float
    symmetric_padding: bool


LEVELS = {"P3": 3, "P4": 5, "P5": 7}
"""The last stage at a stride of 8, 16 and 32."""


def inverted_residuals(
    x: Any, stem_channels: int, stages: Sequence[Stage], convention: Convention
) -> tuple[Any, dict[str, Any]]:
    """Applies stem and stages.

    Args:
        x: The scaled photographs, `[batch, height, width, 3]`.
        stem_channels: Channels of the first convolution.
        stages: The seven stages.
        convention: The family's.

    Returns:
        The last stage's output, and that of each of `LEVELS`.
    """
    x = _convolution(x, stem_channels, 3, 2, "stem_conv", convention)
    x = normalized(x, "stem_bn", convention, relu=True)
    levels: dict[str, Any] = {}
    channels, number = stem_channels, 0
    for index, stage in enumerate(stages, start=1):
        for block in range(stage.blocks):
            stride = stage.stride if block == 0 else 1
            x = _block(x, channels, stage, stride, f"stage{index}_block{number}", convention)
            channels, number = stage.channels, number + 1
        levels |= {level: x for level, last in LEVELS.items() if last == index}
    return x, levels


def _block(x: Any, channels: int, stage: Stage, stride: int, name: str, convention: Convention) -> Any:
    shortcut = x
    if stage.expansion != 1:
        x = _convolution(x, channels * stage.expansion, 1, 1, f"{name}_expand", convention)
        x = normalized(x, f"{name}_expand_bn", convention, relu=True)
    x, padding = _padded(x, stage.kernel, stride, f"{name}_pad", convention)
    x = layers.DepthwiseConv2D(stage.kernel, stride, padding, use_bias=False, name=f"{name}_depthwise")(x)
    x = normalized(x, f"{name}_depthwise_bn", convention, relu=True)
    x = _convolution(x, stage.channels, 1, 1, f"{name}_project", convention)
    x = normalized(x, f"{name}_project_bn", convention, relu=False)
    if stride == 1 and channels == stage.channels:
        x = layers.Add(name=f"{name}_add")([shortcut, x])
    return x


def _convolution(x: Any, channels: int, kernel: int, stride: int, name: str, convention: Convention) -> Any:
    x, padding = _padded(x, kernel, stride, f"{name}_pad", convention)
    return layers.Conv2D(channels, kernel, stride, padding, use_bias=False, name=name)(x)


def _padded(x: Any, kernel: int, stride: int, name: str, convention: Convention) -> tuple[Any, str]:
    """Returns the padded tensor, and the padding that is left to the convolution."""
    if stride == 1 or not convention.symmetric_padding:
        return x, "same"
    return layers.ZeroPadding2D(kernel // 2, name=name)(x), "valid"


def normalized(x: Any, name: str, convention: Convention, relu: bool) -> Any:
    """Applies batch normalisation, then ReLU6 where `relu` says so."""
    x = layers.BatchNormalization(epsilon=convention.epsilon, name=name)(x)
    return layers.ReLU(6.0, name=f"{name.removesuffix('_bn')}_relu")(x) if relu else x


def classifier(x: Any, channels: int, class_count: int, convention: Convention) -> tuple[Any, Any]:
    """Applies the head: a convolution to `channels`, the mean over the photograph, `class_count` logits.

    Returns:
        The convolution's output after its ReLU6, and the logits.
    """
    x = _convolution(x, channels, 1, 1, "head_conv", convention)
    features = normalized(x, "head_bn", convention, relu=True)
    pooled = layers.GlobalAveragePooling2D(name="head_pool")(features)
    return features, layers.Dense(class_count, name="logits")(pooled)


def stage_of(layer: str) -> int | None:
    """Returns the stage a layer belongs to by its name, 0 for the stem; `None` for what belongs to none."""
    first = layer.split("_", 1)[0]
    if first == "stem":
        return _STEM_STAGE
    number = first.removeprefix("stage")
    return int(number) if number != first and number.isdigit() else None
