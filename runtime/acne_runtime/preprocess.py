"""From a photograph of any size to the model's input tensor, and from the model's pixels back."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from acne_runtime.errors import SourceError
from acne_runtime.manifest import InputSpec


@dataclass(frozen=True, slots=True)
class Placement:
    """Where a photograph lies inside the model's input.

    Attributes:
        scale_x: Input pixels per photograph pixel, horizontally.
        scale_y: The same, vertically.
        left: Padding on the left, in input pixels.
        top: Padding on top, in input pixels.
        width: Width of the photograph in pixels.
        height: Height of the photograph in pixels.
    """

    scale_x: float
    scale_y: float
    left: int
    top: int
    width: int
    height: int

    def to_photograph(self, boxes: NDArray[np.float32]) -> NDArray[np.float32]:
        """Maps `xyxy` boxes `[n, 4]` from input pixels to photograph pixels, clipped to the photograph."""
        offset = np.array([self.left, self.top] * 2, np.float32)
        scale = np.array([self.scale_x, self.scale_y] * 2, np.float32)
        limit = np.array([self.width, self.height] * 2, np.float32)
        mapped: NDArray[np.float32] = np.minimum(np.maximum((boxes - offset) / scale, np.float32(0)), limit)
        return mapped

    def to_input(self, boxes: NDArray[np.float32]) -> NDArray[np.float32]:
        """Maps `xyxy` boxes `[n, 4]` from photograph pixels to input pixels."""
        offset = np.array([self.left, self.top] * 2, np.float32)
        scale = np.array([self.scale_x, self.scale_y] * 2, np.float32)
        return boxes * scale + offset


def check_image(image: object) -> None:
    """Raises `SourceError` for what is no photograph in memory: anything but `[height, width, 3]` uint8."""
    if not isinstance(image, np.ndarray):
        raise SourceError(
            f"a photograph in memory is an array, [height, width, 3] uint8 BGR; got {type(image).__name__}"
        )
    if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3 or not image.size:
        raise SourceError(
            f"a photograph in memory is [height, width, 3] uint8 BGR; got {list(image.shape)} {image.dtype}"
        )


def preprocess(image: NDArray[np.uint8], spec: InputSpec) -> tuple[NDArray[np.uint8 | np.float32], Placement]:
    """Resizes, pads and reorders one photograph into the input tensor.

    The resize is bilinear with half-pixel centres (`cv2.INTER_LINEAR`), at every size: phones have it too.

    Args:
        image: `[height, width, 3]` uint8, BGR as OpenCV reads it.
        spec: The model's input.

    Returns:
        The tensor `[1, spec.height, spec.width, 3]` RGB (or NCHW) of `spec.dtype`, and where the photograph lies in it.

    Raises:
        SourceError: It is no such array.
    """
    check_image(image)  # of another dtype OpenCV would leave the tensor as it found it
    height, width = image.shape[:2]
    if spec.resize == "stretch":
        new_width, new_height = spec.width, spec.height
    else:
        gain = min(spec.width / width, spec.height / height)
        new_width, new_height = max(1, round(width * gain)), max(1, round(height * gain))
    left, top = (spec.width - new_width) // 2, (spec.height - new_height) // 2

    tensor = np.empty((1, spec.height, spec.width, 3), np.uint8)
    if (new_width, new_height) != (spec.width, spec.height):
        tensor.fill(spec.pad_value)
    if (new_width, new_height) != (width, height):
        resized = cv2.resize(image, (new_width, new_height), interpolation=cv2.INTER_LINEAR)
    else:
        resized = image
    # Three channels change places after the resize, when there are fewest pixels to move.
    cv2.cvtColor(resized, cv2.COLOR_BGR2RGB, dst=tensor[0, top : top + new_height, left : left + new_width])

    placement = Placement(new_width / width, new_height / height, left, top, width, height)
    if spec.layout == "NCHW":
        tensor = np.ascontiguousarray(tensor.transpose(0, 3, 1, 2))
    if spec.dtype == "float32":
        return tensor.astype(np.float32) * np.float32(spec.scale), placement
    return tensor, placement
