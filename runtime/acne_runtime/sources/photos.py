"""Photographs on disk."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from acne_runtime.errors import SourceError
from acne_runtime.sources.frame import Frame
from acne_runtime.sources.picture_header import JPEG_START, is_cut_off, stated_size

SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".bmp", ".webp", ".tif", ".tiff"})

MOST_PIXELS = 256_000_000
"""Of one photograph, unless told: more than any phone takes, and 768 MB once decoded."""
_BYTES_A_PIXEL = 8
"""Of a picture as large as can be: uncompressed, 16 bits, with transparency."""


def most_bytes(most_pixels: int) -> int:
    """Returns how large a file of so many pixels can be, with a megabyte for what stands around them."""
    return _BYTES_A_PIXEL * most_pixels + (1 << 20)


def read_photo(file: Path, most_pixels: int = MOST_PIXELS) -> NDArray[np.uint8]:
    """Reads one photograph upright (its EXIF orientation applied): `[height, width, 3]` uint8 BGR.

    Args:
        file: The photograph.
        most_pixels: A larger one is refused before it is decoded: a few kilobytes can claim gigapixels.

    Raises:
        SourceError: It is missing, empty, cut off, too large, or no picture.
    """
    try:
        size = file.stat().st_size
        if size > most_bytes(most_pixels):
            raise SourceError(
                f"{file}: {size:,} bytes are more than a photograph has; --max-megapixels raises the limit"
            )
        data = file.read_bytes()
    except OSError as error:
        raise SourceError(f"{file}: {error.strerror}") from error
    return decode_photo(data, str(file), most_pixels)


def decode_photo(data: bytes, name: str, most_pixels: int = MOST_PIXELS) -> NDArray[np.uint8]:
    """Decodes one photograph upright: `[height, width, 3]` uint8 BGR.

    Grey, 16-bit and CMYK pictures become 8-bit colour ones; transparency is dropped.

    Args:
        data: A whole file.
        name: What errors call it.
        most_pixels: As for `read_photo`.

    Raises:
        SourceError: It is empty, cut off, too large, or no picture.
    """
    if not data:
        raise SourceError(f"{name}: the file is empty")
    try:
        width, height = stated_size(data)
    except ValueError as error:
        raise SourceError(f"{name}: not a photograph, or a damaged one: {error}") from error
    if width * height > most_pixels:
        raise SourceError(
            f"{name}: {width} x {height} pixels are more than the limit of {most_pixels / 1e6:g} megapixels; "
            "--max-megapixels raises it"
        )
    # OpenCV fills what is missing of a cut-off JPEG with grey; that is no photograph to judge skin by.
    if data.startswith(JPEG_START) and is_cut_off(data):
        raise SourceError(f"{name}: the JPEG is cut off; copy it again")
    try:
        image = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
    except cv2.error as error:
        raise SourceError(f"{name}: cannot be decoded ({error.err})") from error
    if image is None:
        raise SourceError(f"{name}: a damaged photograph")
    if sorted(image.shape[:2]) != sorted((width, height)):
        raise SourceError(f"{name}: a damaged photograph, which is not of the {width} x {height} pixels that it states")
    return image  # type: ignore[return-value]


def list_photos(folder: Path) -> list[Path]:
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
    most_pixels: int = MOST_PIXELS,
) -> Iterator[Frame]:
    """Reads photographs one after the other.

    Args:
        files: The photographs; one that has gone by the time it is read counts as unreadable.
        most_pixels: As for `read_photo`.
        on_error: Is told of each photograph that cannot be read, which is then passed over; None raises instead.
    """
    for file in files:
        try:
            image = read_photo(file, most_pixels)
        except SourceError as error:
            if on_error is None:
                raise
            on_error(error)
            continue
        yield Frame(image, str(file))
