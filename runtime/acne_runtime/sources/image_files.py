"""Photographs on disk."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from acne_runtime.errors import SourceError
from acne_runtime.frame import Frame
from acne_runtime.sources.image_header import JPEG_START, is_truncated, read_size

SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".bmp", ".webp", ".tif", ".tiff"})

MAX_PIXELS = 256_000_000
"""Of one photograph, unless told: more than any phone takes, and 768 MB once decoded."""
_BYTES_A_PIXEL = 8
"""Of a picture as large as can be: uncompressed, 16 bits, with transparency."""


_FLAGS = {
    1: cv2.IMREAD_COLOR,
    2: cv2.IMREAD_REDUCED_COLOR_2,
    4: cv2.IMREAD_REDUCED_COLOR_4,
    8: cv2.IMREAD_REDUCED_COLOR_8,
}


def max_bytes(max_pixels: int) -> int:
    """Returns how large a file of so many pixels can be, with a megabyte for what stands around them."""
    return _BYTES_A_PIXEL * max_pixels + (1 << 20)


ReadingScale = Callable[[int, int], int]
"""From width and height of a photograph to 1, 2, 4 or 8, the part of its size at which it may be read."""


def full_size(width: int, height: int) -> int:
    """Has every photograph read at its own size."""
    return 1


def read_image(file: Path, max_pixels: int = MAX_PIXELS) -> NDArray[np.uint8]:
    """Reads one photograph upright (its EXIF orientation applied): `[height, width, 3]` uint8 BGR.

    Args:
        file: The photograph.
        max_pixels: A larger one is refused before it is decoded: a few kilobytes can claim gigapixels.

    Raises:
        SourceError: It is missing, empty, cut off, too large, or no picture.
    """
    return read_frame(file, max_pixels).image


def read_frame(file: Path, max_pixels: int = MAX_PIXELS, scale: ReadingScale = full_size) -> Frame:
    """Reads one photograph as `read_image` does, a JPEG at the scale that is enough: that is quicker by far.

    Args:
        file: The photograph.
        max_pixels: As for `read_image`.
        scale: The part of its size at which it may be read.

    Raises:
        SourceError: As for `read_image`.
    """
    try:
        size = file.stat().st_size
        if size > max_bytes(max_pixels):
            raise SourceError(
                f"{file}: {size:,} bytes are more than a photograph has; --max-megapixels raises the limit"
            )
        data = file.read_bytes()
    except OSError as error:
        raise SourceError(f"{file}: {error.strerror}") from error
    return decode_frame(data, str(file), max_pixels, scale)


def decode_image(data: bytes, name: str, max_pixels: int = MAX_PIXELS) -> NDArray[np.uint8]:
    """Decodes one photograph upright, `[height, width, 3]` uint8 BGR; see `decode_frame`."""
    return decode_frame(data, name, max_pixels).image


def decode_frame(data: bytes, name: str, max_pixels: int = MAX_PIXELS, scale: ReadingScale = full_size) -> Frame:
    """Decodes one photograph upright.

    Grey, 16-bit and CMYK pictures become 8-bit colour ones; transparency is dropped.

    Args:
        data: A whole file.
        name: What errors call it.
        max_pixels: As for `read_image`.
        scale: As for `read_frame`; other kinds than JPEG are read at their own size.

    Raises:
        SourceError: It is empty, cut off, too large, or no picture.
    """
    if not data:
        raise SourceError(f"{name}: the file is empty")
    try:
        width, height = read_size(data)
    except ValueError as error:
        raise SourceError(f"{name}: not a photograph, or a damaged one: {error}") from error
    if width * height > max_pixels:
        raise SourceError(
            f"{name}: {width} x {height} pixels are more than the limit of {max_pixels / 1e6:g} megapixels; "
            "--max-megapixels raises it"
        )
    # OpenCV fills what is missing of a cut-off JPEG with grey; that is no photograph to judge skin by.
    if data.startswith(JPEG_START) and is_truncated(data):
        raise SourceError(f"{name}: the JPEG is cut off; copy it again")
    # By its orientation in EXIF it may be turned.
    part = min(scale(width, height), scale(height, width)) if data.startswith(JPEG_START) else 1
    try:
        image = cv2.imdecode(np.frombuffer(data, np.uint8), _FLAGS[part])
    except cv2.error as error:
        raise SourceError(f"{name}: cannot be decoded ({error.err})") from error
    if image is None:
        raise SourceError(f"{name}: a damaged photograph")
    if sorted(image.shape[:2]) != sorted((-(-width // part), -(-height // part))):
        raise SourceError(f"{name}: a damaged photograph, which is not of the {width} x {height} pixels that it states")
    if part == 1:
        return Frame(image, name)  # type: ignore[arg-type]
    turned = (width > height) != (image.shape[1] > image.shape[0])
    return Frame(image, name, size=(height, width) if turned else (width, height))  # type: ignore[arg-type]


def list_images(folder: Path) -> list[Path]:
    """Returns the photographs directly in a folder, sorted by name.

    Raises:
        SourceError: There is none.
    """
    files = sorted(file for file in folder.iterdir() if file.suffix.lower() in SUFFIXES and file.is_file())
    if not files:
        raise SourceError(f"{folder}: no photograph in this folder (looked for {', '.join(sorted(SUFFIXES))})")
    return files


def photos(
    files: Iterable[Path],
    on_error: Callable[[SourceError], None] | None = None,
    max_pixels: int = MAX_PIXELS,
    scale: ReadingScale = full_size,
) -> Iterator[Frame]:
    """Reads photographs one after the other.

    Args:
        files: The photographs; one that has gone by the time it is read counts as unreadable.
        max_pixels: As for `read_image`.
        scale: As for `read_frame`.
        on_error: Is told of each photograph that cannot be read, which is then passed over; None raises instead.
    """
    for file in files:
        try:
            frame = read_frame(file, max_pixels, scale)
        except SourceError as error:
            if on_error is None:
                raise
            on_error(error)
            continue
        yield frame
