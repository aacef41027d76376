"""Reads format and size from an image's header, before anything is decoded.

Not by a library: the usual one imports Python's network code, which takes longer than this whole runtime.
"""

from __future__ import annotations

import struct
from collections.abc import Callable

from acne_runtime.sources import heif, jpeg, png, tiff

START_BYTES = 32
"""Bytes at the start of a file that tell its format."""
_WEBP_ANIMATED = 0x02
"""A bit of a WebP's flags (RFC 9649, 2.7.1)."""
_GIF_IMAGE, _GIF_EXTENSION = 0x2C, 0x21
"""What a block of a GIF starts with (GIF89a, 20 and 23)."""


def read_size(data: bytes) -> tuple[int, int]:
    """Returns width and height in pixels from the header of an image, before its orientation is applied.

    Args:
        data: The content of the file.

    Raises:
        ValueError: It is of another format, or truncated before its size.
    """
    for start, read in _FORMATS:
        if data.startswith(start):
            try:
                width, height = read(data)
            except (struct.error, IndexError) as error:
                raise ValueError("the header is truncated") from error
            if width <= 0 or height <= 0:
                raise ValueError("the size is zero")
            return width, height
    if heif.is_heif(data):
        return heif.read_size(data)
    if data.startswith((b"II+\0", b"MM\0+")):
        raise ValueError("a BigTIFF; save it as TIFF")
    raise ValueError("no JPEG, PNG, BMP, WebP, TIFF, GIF, HEIC or AVIF")


def is_image(data: bytes | bytearray) -> bool:
    """Returns whether data start like an image of a supported format."""
    if data.startswith(b"RIFF"):
        return data[8:12] == b"WEBP"  # AVI begins so too
    if data.startswith(b"BM"):
        return data[6:10] == bytes(4)  # reserved; two letters alone occur by chance
    return heif.is_heif(data) or any(data.startswith(start) for start, _ in _FORMATS)


def find_end(data: bytearray, start: int) -> tuple[int, int]:
    """Finds the end of an image in a stream; formats that do not state it (TIFF, HEIC, AVIF) have none.

    Args:
        data: Its bytes, or as many of them as are available.
        start: Where to continue, as returned by an earlier call with fewer bytes.

    Returns:
        The end and -1, or -1 and where to continue once there are more bytes.
    """
    if data.startswith(jpeg.START):
        return jpeg.find_end(data, max(start, len(jpeg.START)))
    if data.startswith(png.START):
        return png.find_end(data, max(start, len(png.START)))
    end = len(data) + 1
    if data.startswith(b"RIFF") and len(data) >= 8:
        length = int.from_bytes(data[4:8], "little")
        end = 8 + length + length % 2
    elif data.startswith(b"BM") and len(data) >= 6:
        end = int.from_bytes(data[2:6], "little")
    elif data.startswith(b"GIF8"):
        _, whole = _walk_gif(data)
        return whole, (0 if whole < 0 else -1)
    return (end, -1) if end <= len(data) else (-1, 0)


def has_further_frames(data: bytes) -> bool:
    """Returns whether an image has frames or pages besides the first, which is the one that is decoded."""
    if tiff.is_tiff(data):
        return tiff.has_further_pages(data)
    if data.startswith(png.START):
        return png.is_animated(data)
    if data.startswith(b"GIF8"):
        return _walk_gif(data)[0] > 1
    if data.startswith(b"RIFF"):
        return data[12:16] == b"VP8X" and bool(int.from_bytes(data[20:21], "big") & _WEBP_ANIMATED)
    return heif.is_heif(data) and heif.is_sequence(data)


def _png(data: bytes) -> tuple[int, int]:
    width, height = struct.unpack_from(">II", data, 16)
    return width, height


def _bmp(data: bytes) -> tuple[int, int]:
    (header,) = struct.unpack_from("<I", data, 14)
    width, height = struct.unpack_from("<HH" if header == 12 else "<ii", data, 18)
    # 32 bits whose order masks state; OpenCV takes the usual one for granted.
    has_masks = header == 40 and struct.unpack_from("<HI", data, 28) == (32, 3)
    if has_masks and struct.unpack_from("<III", data, 54) != (0xFF0000, 0xFF00, 0xFF):
        raise ValueError("a BMP whose colours are in an order of its own; save it as PNG")
    return width, abs(height)  # negative if the rows are stored from top to bottom


def _webp(data: bytes) -> tuple[int, int]:
    if data[8:12] != b"WEBP":
        raise ValueError("a RIFF file, but no WebP")
    kind = data[12:16]
    if kind == b"VP8X":
        sides = data[24:27], data[27:30]
        if len(sides[1]) < 3:
            raise IndexError
        width, height = (int.from_bytes(side, "little") + 1 for side in sides)
    elif kind == b"VP8L":
        (bits,) = struct.unpack_from("<I", data, 21)
        width, height = (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
    else:
        width, height = (side & 0x3FFF for side in struct.unpack_from("<HH", data, 26))
    return width, height


def _tiff(data: bytes) -> tuple[int, int]:
    stated = tiff.read_tags(data, {tiff.WIDTH, tiff.HEIGHT})
    return stated.get(tiff.WIDTH, 0), stated.get(tiff.HEIGHT, 0)


def _walk_gif(data: bytes | bytearray) -> tuple[int, int]:
    """Returns the number of frames of a GIF, and where it ends; -1 if it does not."""

    def color_table(flags: int) -> int:
        return 3 << (flags & 7) + 1 if flags & 0x80 else 0

    frames = 0
    try:
        position = 13 + color_table(data[10])
        while data[position] in (_GIF_IMAGE, _GIF_EXTENSION):
            if data[position] == _GIF_IMAGE:
                frames += 1
                position += 11 + color_table(data[position + 9])
            else:
                position += 2
            while data[position]:  # blocks of data, each after its length
                position += 1 + data[position]
            position += 1
    except IndexError:
        return frames, -1
    return frames, position + 1


def _gif(data: bytes) -> tuple[int, int]:
    width, height = struct.unpack_from("<HH", data, 6)
    return width, height


_FORMATS: tuple[tuple[bytes, Callable[[bytes], tuple[int, int]]], ...] = (
    (jpeg.START, jpeg.read_size),
    (png.START, _png),
    (b"BM", _bmp),
    (b"RIFF", _webp),
    (b"II*\0", _tiff),
    (b"MM\0*", _tiff),
    (b"GIF87a", _gif),
    (b"GIF89a", _gif),
)
