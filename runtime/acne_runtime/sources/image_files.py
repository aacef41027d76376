"""Reads image files."""

from __future__ import annotations

import os
import struct
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from acne_runtime.errors import SourceError
from acne_runtime.frame import Frame
from acne_runtime.parallel import map_in_order
from acne_runtime.sources import heif, jpeg, png, tiff
from acne_runtime.sources.color_profile import display_p3_to_srgb, to_srgb
from acne_runtime.sources.image_header import has_further_frames, read_size

SUFFIXES = frozenset(
    {".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".bmp", ".webp", ".tif", ".tiff", ".gif", ".heic", ".heif", ".avif"}
)

DOCUMENTS = frozenset(
    {".csv", ".html", ".ini", ".json", ".jsonl", ".log", ".md", ".py", ".toml", ".txt", ".xml", ".yaml", ".yml"}
)
"""Labels, tables and texts, which nobody takes for photographs."""

MAX_PIXELS = 256_000_000
"""Default limit for one image: more than any phone takes, and 768 MB once decoded."""
_READERS = 2
"""Threads that read image files: enough to keep two cores busy; so many images and one more are held in memory."""
_CICP_DISPLAY_P3 = b"\x0c"
"""Colour primaries of Display P3 (ITU-T H.273, table 2), the first byte of a PNG's cICP chunk."""
_BYTES_PER_PIXEL = 8
"""Of the largest format: uncompressed, 16 bits, with transparency."""


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
    return decode_frame(read_content(file, max_pixels), str(file), max_pixels, scale)


def read_content(file: Path, max_pixels: int = MAX_PIXELS) -> bytes:
    """Returns the content of an image file.

    Args:
        file: The file.
        max_pixels: As for `read_image`; no image within it has so many bytes as a larger file.

    Raises:
        SourceError: It is missing, too large, or cannot be read.
    """
    try:
        size = file.stat().st_size
        if size > max_bytes(max_pixels):
            raise SourceError(
                f"{file}: {size:,} bytes are more than an image within the limit has; raise `max_pixels`",
                parameter="max_pixels",
            )
        return file.read_bytes()
    except OSError as error:
        raise SourceError(f"{file}: {error.strerror}") from error


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
    # The EXIF orientation may swap width and height.
    reduction = min(scale(width, height), scale(height, width)) if data.startswith(jpeg.START) else 1
    try:
        image = _decode(data, reduction)
    except ValueError as error:
        raise SourceError(f"{name}: {error}") from error
    # HEIC and AVIF state the size before they are cropped.
    if not heif.is_heif(data) and sorted(image.shape[:2]) != sorted((-(-width // reduction), -(-height // reduction))):
        raise SourceError(f"{name}: a corrupt image: its header states {width} x {height} pixels")
    several = has_further_frames(data)
    if reduction == 1:
        return Frame(image, name, is_first_of_several=several)
    rotated = (width > height) != (image.shape[1] > image.shape[0])
    return Frame(image, name, size=(height, width) if rotated else (width, height))


def _decode(data: bytes, reduction: int) -> NDArray[np.uint8]:
    """Returns the image upright and in sRGB.

    Raises:
        ValueError: It cannot be decoded; the message says why.
    """
    if data.startswith(jpeg.START):
        return to_srgb(jpeg.decode(data, reduction), jpeg.color_profile(data))
    if heif.is_heif(data):
        return heif.decode(data)
    if data.startswith(png.START):
        png.check(data)
    if tiff.is_tiff(data):
        return to_srgb(_decode_tiff(data), tiff.color_profile(data))
    try:
        image, kinds, contents = cv2.imdecodeWithMetadata(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
    except cv2.error as error:
        raise ValueError(f"cannot be decoded ({error.err})") from error
    if image is None:
        raise ValueError("a corrupt image")
    metadata = {kind: content.tobytes() for kind, content in zip(kinds, contents, strict=True)}
    if metadata.get(cv2.IMAGE_METADATA_CICP, b"")[:1] == _CICP_DISPLAY_P3:
        return display_p3_to_srgb(image)  # type: ignore[arg-type]
    return to_srgb(image, metadata.get(cv2.IMAGE_METADATA_ICCP, b""))  # type: ignore[arg-type]


def _decode_tiff(data: bytes) -> NDArray[np.uint8]:
    try:
        preview, content = tiff.is_preview(data), tiff.without_alpha(data)
    except struct.error as error:
        raise ValueError("a truncated TIFF; copy it again") from error
    if preview:
        raise ValueError("a raw photograph, or one whose first page is a preview; export it as JPEG")
    try:
        image = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_COLOR)
    except cv2.error as error:
        raise ValueError(f"cannot be decoded ({error.err})") from error
    if image is None:
        raise ValueError("a corrupt TIFF, or one of a compression that OpenCV does not have")
    return image  # type: ignore[return-value]


def list_images(folder: Path, recursive: bool = False) -> list[Path]:
    """Returns the image files in a folder, sorted by path.

    Args:
        folder: The folder.
        recursive: Whether those in its folders count too.

    Raises:
        SourceError: There is none.
    """
    files = sorted(file for file in _entries(folder, recursive) if _is_image_name(file) and file.is_file())
    if not files:
        left_out = describe_left_out(folder, recursive)
        looked_for = f"looked for {', '.join(sorted(SUFFIXES))}"
        raise SourceError(f"{folder}: no image in this folder ({'; '.join(filter(None, (looked_for, left_out)))})")
    return files


def _is_image_name(file: Path) -> bool:
    return file.suffix.lower() in SUFFIXES and not file.name.startswith(".")  # macOS writes ._a.jpg next to a.jpg


def _entries(folder: Path, recursive: bool) -> Iterator[Path]:
    """Yields what is in a folder; recursively the files below it, those of linked folders too, each folder once."""
    if not recursive:
        yield from folder.iterdir()
        return
    seen: set[str] = set()
    for name, folders, files in os.walk(folder, followlinks=True):
        place = os.path.realpath(name)
        if place in seen:
            folders.clear()
            continue
        seen.add(place)
        yield from (Path(name, file) for file in files)


def describe_left_out(folder: Path, recursive: bool = False) -> str:
    """Returns what `list_images` passes over, such as `left out: 2 .heic, 1 .mp4, 1 folder`; empty if nothing.

    Hidden files, texts, and folders that are looked into, are not named.
    """
    kinds: dict[str, int] = {}
    for entry in _entries(folder, recursive):
        known = entry.suffix.lower() in SUFFIXES | DOCUMENTS
        if entry.name.startswith(".") or (known and entry.is_file()) or (entry.is_dir() and recursive):
            continue
        kind = "folder" if entry.is_dir() else entry.suffix.lower() or "file without suffix"
        kinds[kind] = kinds.get(kind, 0) + 1
    return describe_counts(kinds)


def describe_counts(left_out: Mapping[str, int]) -> str:
    """Returns such as `left out: 2 .heic, 1 .mp4` for numbers by kind; empty if there are none."""
    return "left out: " + ", ".join(f"{count} {kind}" for kind, count in sorted(left_out.items())) if left_out else ""


def read_list(file: Path) -> list[str]:
    """Returns the photographs that a text file names, one per line; relative paths start at its folder.

    Raises:
        SourceError: It is empty, or not UTF-8.
    """
    try:
        lines = [line.strip() for line in file.read_text(encoding="utf-8-sig").splitlines()]
    except (OSError, UnicodeDecodeError) as error:
        raise SourceError(f"{file}: not a list of photographs ({error})") from error
    names = [line if "://" in line else str(file.parent / line) for line in lines if line]
    if not names:
        raise SourceError(f"{file}: names no photograph")
    return names


def read_images(
    files: Iterable[Path],
    on_error: Callable[[SourceError], None] | None = None,
    max_pixels: int = MAX_PIXELS,
    scale: ReadingScale = full_size,
) -> Iterator[Frame]:
    """Reads image files in order, the next ones in threads while one is processed.

    Args:
        files: The image files; one that disappears before it is read counts as unreadable.
        max_pixels: As for `read_image`.
        scale: As for `read_frame`.
        on_error: Called for each image that cannot be read, which is then skipped; None raises instead.
    """

    def read(file: Path) -> Frame:
        return read_frame(file, max_pixels, scale)

    for finished in map_in_order(read, files, _READERS):
        try:
            frame = finished.result()
        except SourceError as error:
            if on_error is None:
                raise
            on_error(error)
            continue
        yield frame
