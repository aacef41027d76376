"""Rounds weights to int8 with one scale per output channel, as TensorFlow Lite and ONNX Runtime use them."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def quantize_per_channel(
    kernel: NDArray[np.float32], within: tuple[int, ...]
) -> tuple[NDArray[np.float32], NDArray[np.int8]]:
    """Returns the scales, and the kernel in steps of them, -127 to 127.

    Args:
        kernel: Weights of a layer, of any shape.
        within: The axes that share a scale: all but those of the output channels.

    Returns:
        The scales in the kernel's shape with 1 for the axes `within`, and int8 in the kernel's shape.
    """
    scale = np.maximum(np.abs(kernel).max(axis=within, keepdims=True), 1e-12).astype(np.float32) / np.float32(127)
    return scale, np.round(kernel / scale).astype(np.int8)
