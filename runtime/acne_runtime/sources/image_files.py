"""Reads image files."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from acne_runtime.errors import SourceError
from acne_runtime.frame import Frame
from acne_runtime.sources.image_header import JPEG_START, is_truncated, read_size

SUFFIXES = frozenset({".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".bmp", ".webp", ".tif", ".tiff"})

_DOCUMENTS = frozenset(
    {".csv", ".html", ".ini", ".json", ".jsonl", ".log", ".md", ".py", ".toml", ".txt", ".xml", ".yaml", ".yml"}
)
"""Labels, tables and texts, which nobody takes for photographs."""

MAX_PIXELS = 256_000_000
"""Default limit for one image: more than any phone takes, and 768 MB once decoded."""
_BYTES_PER_PIXEL = 8
"""Of the largest format: uncompressed, 16 bits, with transparency."""


_FLAGS = {
    1: cv2.IMREAD_COLOR,
    2: cv2.IMREAD_REDUCED_COLOR_2,
    4: cv2.IMREAD_REDUCED_COLOR_4,
    8: cv2.IMREAD_REDUCED_COLOR_8,
}


def max_bytes(max_pixels: int) -> int:
    """Returns the maximum size in bytes of a file with so many pixels, with a megabyte for metadata."""
    return _BYTES_PER_PIXEL * max_pixels + (1 << 20)


ReadingScale = Callable[[int, int], int]
"""From width and height of an image to 1, 2, 4 or 8: it may be read at 1/1 to 1/8 of its size."""


def full_size(width: int, height: int) -> int:
    """Reads every image at full size; a `ReadingScale`."""
    return 1


def read_image(file: Path, max_pixels: int = MAX_PIXELS) -> NDArray[np.uint8]:
    """Reads an image with its EXIF orientation applied: `[height, width, 3]` uint8 BGR.

    Args:
        file: The image file.
        max_pixels: Larger images are rejected before they are decoded: a few kilobytes can claim gigapixels.

    Raises:
        SourceError: It is missing, empty, truncated, corrupt, too large, or not an image.
    """
    return read_frame(file, max_pixels).image


def read_frame(file: Path, max_pixels: int = MAX_PIXELS, scale: ReadingScale = full_size) -> Frame:
    """Reads an image as `read_image` does, a JPEG at the scale that suffices, which is much faster.

    Args:
        file: The image file.
        max_pixels: As for `read_image`.
        scale: The scale at which it may be read.

    Raises:
        SourceError: As for `read_image`.
    """
    try:
        size = file.stat().st_size
        if size > max_bytes(max_pixels):
            raise SourceError(
                f"{file}: {size:,} bytes are more than an image within the limit has; raise `max_pixels`",
                parameter="max_pixels",
            )
        data = file.read_bytes()
    except OSError as error:
        raise SourceError(f"{file}: {error.strerror}") from error
    return decode_frame(data, str(file), max_pixels, scale)


def read_full_image(frame: Frame) -> NDArray[np.uint8]:
    """Returns a frame's image at full size, read again from its file where it was read at a fraction of that.

    Raises:
        SourceError: The file cannot be read any more.
    """
    if frame.size is None:
        return frame.image
    return read_image(Path(frame.source), frame.size[0] * frame.size[1])


def decode_image(data: bytes, name: str, max_pixels: int = MAX_PIXELS) -> NDArray[np.uint8]:
    """Decodes an image, `[height, width, 3]` uint8 BGR; see `decode_frame`."""
    return decode_frame(data, name, max_pixels).image


def decode_frame(data: bytes, name: str, max_pixels: int = MAX_PIXELS, scale: ReadingScale = full_size) -> Frame:
    """Decodes an image with its EXIF orientation applied.

    Grey, 16-bit and CMYK images are converted to 8-bit colour; transparency is dropped.

    Args:
        data: The content of a file.
        name: Its name in errors and results.
        max_pixels: As for `read_image`.
        scale: As for `read_frame`; formats other than JPEG are read at full size.

    Raises:
        SourceError: It is empty, truncated, corrupt, too large, or not an image.
    """
    if not data:
        raise SourceError(f"{name}: the file is empty")
    try:
        width, height = read_size(data)
    except ValueError as error:
        raise SourceError(f"{name}: not an image, or corrupt: {error}") from error
    if width * height > max_pixels:
        raise SourceError(
            f"{name}: {width} x {height} pixels exceed the limit of {max_pixels / 1e6:g} megapixels; "
            "raise `max_pixels`",
            parameter="max_pixels",
        )
    # OpenCV fills the missing part of a truncated JPEG with grey.
    if data.startswith(JPEG_START) and is_truncated(data):
        raise SourceError(f"{name}: the JPEG is truncated; copy it again")
    # The EXIF orientation may swap width and height.
    reduction = min(scale(width, height), scale(height, width)) if data.startswith(JPEG_START) else 1
    try:
        image = cv2.imdecode(np.frombuffer(data, np.uint8), _FLAGS[reduction])
    except cv2.error as error:
        raise SourceError(f"{name}: cannot be decoded ({error.err})") from error
    if image is None:
        raise SourceError(f"{name}: a corrupt image")
    if sorted(image.shape[:2]) != sorted((-(-width // reduction), -(-height // reduction))):
        raise SourceError(f"{name}: a corrupt image: its header states {width} x {height} pixels")
    if reduction == 1:
        return Frame(image, name)  # type: ignore[arg-type]
    rotated = (width > height) != (image.shape[1] > image.shape[0])
    return Frame(image, name, size=(height, width) if rotated else (width, height))  # type: ignore[arg-type]


def list_images(folder: Path, recursive: bool = False) -> list[Path]:
    """Returns the image files in a folder, sorted by path.

    Args:
        folder: The folder.
        recursive: Whether those in its folders count too.

    Raises:
        SourceError: There is none.
    """
    entries = folder.rglob("*") if recursive else folder.iterdir()
    files = sorted(file for file in entries if file.suffix.lower() in SUFFIXES and file.is_file())
    if not files:
        left_out = describe_left_out(folder, recursive)
        looked_for = f"looked for {', '.join(sorted(SUFFIXES))}"
        raise SourceError(f"{folder}: no image in this folder ({'; '.join(filter(None, (looked_for, left_out)))})")
    return files


def describe_left_out(folder: Path, recursive: bool = False) -> str:
    """Returns what `list_images` passes over, such as `left out: 2 .heic, 1 .mp4, 1 folder`; empty if nothing.

    Hidden files, texts, and folders that are looked into, are not named.
    """
    kinds: dict[str, int] = {}
    for entry in folder.rglob("*") if recursive else folder.iterdir():
        known = entry.suffix.lower() in SUFFIXES | _DOCUMENTS
        if entry.name.startswith(".") or (known and entry.is_file()) or (entry.is_dir() and recursive):
            continue
        kind = "folder" if entry.is_dir() else entry.suffix.lower() or "file without suffix"
        kinds[kind] = kinds.get(kind, 0) + 1
    return "left out: " + ", ".join(f"{count} {kind}" for kind, count in sorted(kinds.items())) if kinds else ""


def read_images(
    files: Iterable[Path],
    on_error: Callable[[SourceError], None] | None = None,
    max_pixels: int = MAX_PIXELS,
    scale: ReadingScale = full_size,
) -> Iterator[Frame]:
    """Reads image files one after the other.

    Args:
        files: The image files; one that disappears before it is read counts as unreadable.
        max_pixels: As for `read_image`.
        scale: As for `read_frame`.
        on_error: Called for each image that cannot be read, which is then skipped; None raises instead.
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
