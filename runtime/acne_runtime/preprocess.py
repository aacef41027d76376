"""Turns an image of any size into the model's input tensor, and maps boxes back to the image."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from acne_runtime.frame import check_image
from acne_runtime.manifest import InputSpec


@dataclass(frozen=True, slots=True)
class Letterbox:
    """Position of an image inside the model's input.

    Attributes:
        scale_x: Input pixels per image pixel, horizontally.
        scale_y: The same, vertically.
        left: Padding on the left, in input pixels.
        top: Padding on top, in input pixels.
        width: Width of the image in pixels.
        height: Height of the image in pixels.
    """

    scale_x: float
    scale_y: float
    left: int
    top: int
    width: int
    height: int

    def to_image(self, boxes: NDArray[np.float32]) -> NDArray[np.float32]:
        """Maps `xyxy` boxes `[n, 4]` from input pixels to image pixels, clipped to the image."""
        offset = np.array([self.left, self.top] * 2, np.float32)
        scale = np.array([self.scale_x, self.scale_y] * 2, np.float32)
        limit = np.array([self.width, self.height] * 2, np.float32)
        mapped: NDArray[np.float32] = np.minimum(np.maximum((boxes - offset) / scale, np.float32(0)), limit)
        return mapped

    def to_input(self, boxes: NDArray[np.float32]) -> NDArray[np.float32]:
        """Maps `xyxy` boxes `[n, 4]` from image pixels to input pixels."""
        offset = np.array([self.left, self.top] * 2, np.float32)
        scale = np.array([self.scale_x, self.scale_y] * 2, np.float32)
        return boxes * scale + offset


def fitted_size(width: int, height: int, spec: InputSpec) -> tuple[int, int]:
    """Returns width and height, in input pixels, of an image of this size inside the model's input."""
    if spec.resize == "stretch":
        return spec.width, spec.height
    gain = min(spec.width / width, spec.height / height)
    return max(1, round(width * gain)), max(1, round(height * gain))


def reading_scale(width: int, height: int, spec: InputSpec) -> int:
    """Returns 1, 2, 4 or 8: a JPEG read at 1/1 to 1/8 of its size still has as many pixels as the input needs."""
    if spec.shrink == "bilinear":
        return 1
    new_width, new_height = fitted_size(width, height, spec)
    return max(n for n in (1, 2, 4, 8) if n == 1 or (width >= n * new_width and height >= n * new_height))


def average_blocks(image: NDArray[np.uint8], factor: int) -> NDArray[np.uint8]:
    """Shrinks an image by a whole factor: each pixel is the mean of `factor` x `factor` pixels.

    Rows and columns at the bottom and on the right that do not fill a block are dropped. The rounding is OpenCV's
    (`cv2.INTER_AREA`), for devices to reproduce it: for a factor of 2, (sum + 2) // 4; else the sum times
    float32(1 / factor^2) in float32, rounded half to even.

    Args:
        image: `[height, width, 3]` uint8.
        factor: At least 1.

    Returns:
        `[height // factor, width // factor, 3]` uint8.
    """
    rows, columns = image.shape[0] // factor, image.shape[1] // factor
    blocks = image[: rows * factor, : columns * factor]
    return cv2.resize(blocks, (columns, rows), interpolation=cv2.INTER_AREA)  # type: ignore[return-value]


def preprocess(
    image: NDArray[np.uint8], spec: InputSpec, size: tuple[int, int] | None = None
) -> tuple[NDArray[np.uint8 | np.float32], Letterbox]:
    """Resizes, pads and reorders an image into the input tensor.

    The resize is bilinear with half-pixel centres (`cv2.INTER_LINEAR`), which phones have too. Where it would skip
    pixels and `spec.shrink` is `average`, blocks are averaged first, by the largest integer factor possible.

    Args:
        image: `[height, width, 3]` uint8, BGR as OpenCV reads it.
        spec: The model's input.
        size: Width and height of the original, where `image` was read at 1/2, 1/4 or 1/8 of it; see `reading_scale`.

    Returns:
        The tensor `[1, spec.height, spec.width, 3]` RGB (or NCHW) of `spec.dtype`, and the position of the image in it.

    Raises:
        SourceError: The image is not such an array.
    """
    check_image(image)  # with another dtype, OpenCV would not write into the tensor
    width, height = size or (image.shape[1], image.shape[0])
    # The ratios are integers except for a partly filled last pixel.
    read_at = max(round(width / image.shape[1]), round(height / image.shape[0]))
    new_width, new_height = fitted_size(width, height, spec)
    if spec.shrink == "average":
        factor = min(image.shape[1] // new_width, image.shape[0] // new_height)
        if factor > 1:
            image = average_blocks(image, factor)
            read_at *= factor
    left, top = (spec.width - new_width) // 2, (spec.height - new_height) // 2

    tensor = np.empty((1, spec.height, spec.width, 3), np.uint8)
    if (new_width, new_height) != (spec.width, spec.height):
        tensor.fill(spec.pad_value)
    if (new_width, new_height) != (image.shape[1], image.shape[0]):
        resized = cv2.resize(image, (new_width, new_height), interpolation=cv2.INTER_LINEAR)
    else:
        resized = image
    # The channels are swapped after the resize, when there are fewest pixels.
    cv2.cvtColor(resized, cv2.COLOR_BGR2RGB, dst=tensor[0, top : top + new_height, left : left + new_width])

    covered = (width, height) if read_at == 1 else (image.shape[1] * read_at, image.shape[0] * read_at)
    letterbox = Letterbox(new_width / covered[0], new_height / covered[1], left, top, width, height)
    if spec.layout == "NCHW":
        tensor = np.ascontiguousarray(tensor.transpose(0, 3, 1, 2))
    if spec.dtype == "float32":
        return tensor.astype(np.float32) * np.float32(spec.scale), letterbox
    return tensor, letterbox
