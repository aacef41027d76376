"""One image of a source: what sources yield, and models and sinks take."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from acne_runtime.errors import SourceError


@dataclass(frozen=True, slots=True)
class Frame:
    """One image and where it comes from.

    Attributes:
        image: `[height, width, 3]` uint8 BGR.
        source: A path, or such as `camera:0`.
        index: Index in its source, from 0.
        time_s: Seconds from the start of its source.
        size: Width and height of the original in pixels, where `image` was read at 1/2, 1/4 or 1/8 of it.
        is_first_of_several: Whether its file has further frames or pages, which are not read.
    """

    image: NDArray[np.uint8]
    source: str
    index: int = 0
    time_s: float = 0.0
    size: tuple[int, int] | None = None
    is_first_of_several: bool = False


def check_image(image: object) -> None:
    """Raises `SourceError` for anything but a `[height, width, 3]` uint8 array."""
    if not isinstance(image, np.ndarray):
        raise SourceError(f"expected an image as a [height, width, 3] uint8 BGR array, got {type(image).__name__}")
    if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3 or not image.size:
        raise SourceError(
            f"expected an image as a [height, width, 3] uint8 BGR array, got {list(image.shape)} {image.dtype}"
        )
