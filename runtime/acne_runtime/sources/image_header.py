"""Reads format and size from an image's header, before anything is decoded.

Not by a library: the usual one imports Python's network code, which takes longer than this whole runtime.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Callable, Iterator

JPEG_START, JPEG_END = b"\xff\xd8", b"\xff\xd9"
_JPEG_SCAN, _JPEG_FILL = 0xDA, 0xFF
_JPEG_BARE = frozenset({0x01, *range(0xD0, 0xD8)})
"""Markers without a segment (ITU-T T.81, B.1.1.3)."""
_JPEG_MARKER = re.compile(rb"\xff[^\0\x01\xd0-\xd7\xff]")
"""Markers with a segment; the others may be within the pixel data (ITU-T T.81, B.1.1)."""
_JPEG_FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
"""Markers of segments that hold the size (ITU-T T.81, table B.1)."""
_TIFF_WIDTH, _TIFF_HEIGHT, _TIFF_SHORT = 256, 257, 3
"""Tags, and the two-byte type (TIFF 6.0)."""
_JPEG_APP2, _MPF, _MPF_ENTRIES = 0xE2, b"MPF\0", 0xB002
"""The segment, its name, and the tag of the list of images in a file (CIPA DC-007, 5.2.3)."""


def read_size(data: bytes) -> tuple[int, int]:
    """Returns width and height in pixels from the header of a JPEG, PNG, BMP, WebP or TIFF.

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
    if data[4:8] == b"ftyp":
        raise ValueError("HEIC, AVIF or a video; save it as JPEG")
    raise ValueError("no JPEG, PNG, BMP, WebP or TIFF")


START_BYTES = 32
"""Bytes at the start of a file that tell its format."""
_HEIF_BRANDS = frozenset({b"heic", b"heix", b"heim", b"heis", b"mif1", b"msf1", b"avif", b"avis"})
"""Major brands of still images (ISO/IEC 23008-12, AV1 Image File Format)."""


def is_heif(start: bytes) -> bool:
    """Returns whether a file starts like a HEIC, HEIF or AVIF image."""
    return start[4:8] == b"ftyp" and start[8:12] in _HEIF_BRANDS


def is_image(data: bytes | bytearray) -> bool:
    """Returns whether data start like an image of a supported format."""
    other_riff = data.startswith(b"RIFF") and data[8:12] not in (b"WEBP", b"")  # AVI begins so too
    return not other_riff and any(data.startswith(start) for start, _ in _FORMATS)


def is_truncated(jpeg: bytes) -> bool:
    """Returns whether a JPEG's main image has no end; embedded thumbnails and appended videos have their own."""
    end, _ = jpeg_end(jpeg)
    return end < 0 or not jpeg.endswith(JPEG_END, 0, end)


def jpeg_end(jpeg: bytes | bytearray, start: int = len(JPEG_START)) -> tuple[int, int]:
    """Finds the end of a JPEG's main image, segment by segment.

    Args:
        jpeg: Its bytes, or as many of them as are available.
        start: Where to continue, as returned by an earlier call with fewer bytes.

    Returns:
        The end and -1: after `JPEG_END`, or where another image starts without it. If there is no end yet, -1 and
        where to continue once there are more bytes.
    """
    while found := _JPEG_MARKER.search(jpeg, start):
        start, marker = found.start(), jpeg[found.start() + 1]
        if marker in (JPEG_START[1], JPEG_END[1]):
            return found.end() if marker == JPEG_END[1] else start, -1
        if start + 4 > len(jpeg):
            return -1, start
        segment_end = start + 2 + int.from_bytes(jpeg[start + 2 : start + 4], "big")
        if segment_end > len(jpeg):
            return -1, start
        start = segment_end
    return -1, max(start, len(jpeg) - 1)


def embedded_images(jpeg: bytes) -> dict[int, int]:
    """Returns offset and size in bytes of further images that a JPEG lists.

    Phones append an HDR gain map or a preview, each a JPEG itself (CIPA DC-007, 5.2.3).
    """
    for marker, position in _segments(jpeg):
        if marker == _JPEG_APP2 and jpeg.startswith(_MPF, position + 4):
            start = position + 4 + len(_MPF)
            index = jpeg[start : position + 2 + int.from_bytes(jpeg[position + 2 : position + 4], "big")]
            try:
                (entries,) = _tiff_values(index, frozenset({_MPF_ENTRIES})).values()
            except (struct.error, ValueError):
                return {}
            form = struct.Struct(("<" if index.startswith(b"II") else ">") + "4xII4x")
            whole = index[entries : entries + (len(index) - entries) // form.size * form.size]
            return {start + offset: size for size, offset in form.iter_unpack(whole) if offset}  # the main image has 0
    return {}


def _segments(jpeg: bytes) -> Iterator[tuple[int, int]]:
    """Yields marker and offset of each segment before the pixels."""
    position = len(JPEG_START)
    while jpeg[position : position + 1] == b"\xff" and position + 4 <= len(jpeg):
        marker = jpeg[position + 1]
        if marker == _JPEG_SCAN:
            return
        if marker == _JPEG_FILL:
            position += 1
            continue
        if marker in _JPEG_BARE:
            position += 2
            continue
        yield marker, position
        position += 2 + int.from_bytes(jpeg[position + 2 : position + 4], "big")


def _jpeg(data: bytes) -> tuple[int, int]:
    for marker, position in _segments(data):
        if marker in _JPEG_FRAMES:
            height, width = struct.unpack_from(">HH", data, position + 5)
            return width, height
    raise IndexError


def _png(data: bytes) -> tuple[int, int]:
    width, height = struct.unpack_from(">II", data, 16)
    return width, height


def _bmp(data: bytes) -> tuple[int, int]:
    (header,) = struct.unpack_from("<I", data, 14)
    width, height = struct.unpack_from("<HH" if header == 12 else "<ii", data, 18)
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
    stated = _tiff_values(data, frozenset({_TIFF_WIDTH, _TIFF_HEIGHT}))
    return stated.get(_TIFF_WIDTH, 0), stated.get(_TIFF_HEIGHT, 0)


def _tiff_values(data: bytes, tags: frozenset[int]) -> dict[int, int]:
    """Returns the values of these tags in the first directory."""
    order = "<" if data.startswith(b"II") else ">"
    (position,) = struct.unpack_from(f"{order}I", data, 4)
    (count,) = struct.unpack_from(f"{order}H", data, position)
    stated: dict[int, int] = {}
    for entry in range(count):
        tag, kind = struct.unpack_from(f"{order}HH", data, position + 2 + 12 * entry)
        if tag in tags:
            form = "H" if kind == _TIFF_SHORT else "I"
            (value,) = struct.unpack_from(order + form, data, position + 2 + 12 * entry + 8)
            stated.setdefault(tag, value)  # as libtiff does
    return stated


_FORMATS: tuple[tuple[bytes, Callable[[bytes], tuple[int, int]]], ...] = (
    (JPEG_START, _jpeg),
    (b"\x89PNG\r\n\x1a\n", _png),
    (b"BM", _bmp),
    (b"RIFF", _webp),
    (b"II*\0", _tiff),
    (b"MM\0*", _tiff),
)
