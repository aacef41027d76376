"""What a picture's first bytes claim about it: its kind and size, before anything is decoded.

A library would do, but the one there is loads Python's network code, which takes longer than this whole runtime.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Callable, Iterator

JPEG_START, JPEG_END = b"\xff\xd8", b"\xff\xd9"
_JPEG_SCAN, _JPEG_FILL = 0xDA, 0xFF
_JPEG_BARE = frozenset({0x01, *range(0xD0, 0xD8)})
"""Markers without a segment of their own (ITU-T T.81, B.1.1.3)."""
_JPEG_MARKER = re.compile(rb"\xff[^\0\x01\xd0-\xd7\xff]")
"""Any but those without a segment of their own, which stand between pixels (ITU-T T.81, B.1.1)."""
_JPEG_FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
"""Markers of segments that state the size (ITU-T T.81, table B.1)."""
_TIFF_WIDTH, _TIFF_HEIGHT, _TIFF_SHORT = 256, 257, 3
"""Tags, and the type of two bytes (TIFF 6.0)."""
_JPEG_APP2, _MPF, _MPF_ENTRIES = 0xE2, b"MPF\0", 0xB002
"""The segment, its name, and its tag for the list of a file's pictures (CIPA DC-007, 5.2.3)."""


def read_size(data: bytes) -> tuple[int, int]:
    """Returns width and height in pixels as a JPEG, PNG, BMP, WebP or TIFF states them.

    Args:
        data: The file.

    Raises:
        ValueError: It is of another kind, or ends before it says how large it is.
    """
    for start, read in _KINDS:
        if data.startswith(start):
            try:
                width, height = read(data)
            except (struct.error, IndexError) as error:
                raise ValueError("it ends before it says how large it is") from error
            if width <= 0 or height <= 0:
                raise ValueError("it says that it has no pixels")
            return width, height
    if data[4:8] == b"ftyp":
        raise ValueError("it is HEIC, AVIF or a video; save it as JPEG")
    raise ValueError("it is no JPEG, PNG, BMP, WebP or TIFF")


def is_image(data: bytes | bytearray) -> bool:
    """Returns whether data begin as a picture does whose size can be told."""
    return any(data.startswith(start) for start, _ in _KINDS)


def is_truncated(jpeg: bytes) -> bool:
    """Returns whether a JPEG's own pixels lack their end; thumbnails before and videos behind them have their own."""
    end, _ = jpeg_end(jpeg)
    return end < 0 or not jpeg.endswith(JPEG_END, 0, end)


def jpeg_end(jpeg: bytes | bytearray, place: int = len(JPEG_START)) -> tuple[int, int]:
    """Looks for the end of a JPEG's own pixels, segment by segment.

    Args:
        jpeg: Its bytes, or as many of them as there are yet.
        place: Where to go on, as an earlier call with fewer bytes has it.

    Returns:
        The place behind the end, and -1: behind `JPEG_END`, or, where another picture starts without one, before that.
        Where there is no end yet, -1 and where to go on once there is more.
    """
    while found := _JPEG_MARKER.search(jpeg, place):
        place, marker = found.start(), jpeg[found.start() + 1]
        if marker in (JPEG_START[1], JPEG_END[1]):
            return found.end() if marker == JPEG_END[1] else place, -1
        if place + 4 > len(jpeg):
            return -1, place
        behind = place + 2 + int.from_bytes(jpeg[place + 2 : place + 4], "big")
        if behind > len(jpeg):
            return -1, place
        place = behind
    return -1, max(place, len(jpeg) - 1)


def embedded_images(jpeg: bytes) -> dict[int, int]:
    """Returns where a JPEG says that further pictures begin, from its own beginning on, and their bytes.

    Phones hang a map of brightness or a preview behind the photograph, each a JPEG itself (CIPA DC-007, 5.2.3).
    """
    for marker, place in _segments(jpeg):
        if marker == _JPEG_APP2 and jpeg.startswith(_MPF, place + 4):
            start = place + 4 + len(_MPF)
            index = jpeg[start : place + 2 + int.from_bytes(jpeg[place + 2 : place + 4], "big")]
            try:
                (entries,) = _tiff_values(index, frozenset({_MPF_ENTRIES})).values()
            except (struct.error, ValueError):
                return {}
            form = struct.Struct(("<" if index.startswith(b"II") else ">") + "4xII4x")
            whole = index[entries : entries + (len(index) - entries) // form.size * form.size]
            return {start + offset: size for size, offset in form.iter_unpack(whole) if offset}  # the first: this one
    return {}


def _segments(jpeg: bytes) -> Iterator[tuple[int, int]]:
    """Yields marker and place, that of its 0xFF, of each segment before the pixels."""
    place = len(JPEG_START)
    while jpeg[place : place + 1] == b"\xff" and place + 4 <= len(jpeg):
        marker = jpeg[place + 1]
        if marker == _JPEG_SCAN:
            return
        if marker == _JPEG_FILL:
            place += 1
            continue
        if marker in _JPEG_BARE:
            place += 2
            continue
        yield marker, place
        place += 2 + int.from_bytes(jpeg[place + 2 : place + 4], "big")


def _jpeg(data: bytes) -> tuple[int, int]:
    for marker, place in _segments(data):
        if marker in _JPEG_FRAMES:
            height, width = struct.unpack_from(">HH", data, place + 5)
            return width, height
    raise IndexError


def _png(data: bytes) -> tuple[int, int]:
    width, height = struct.unpack_from(">II", data, 16)
    return width, height


def _bmp(data: bytes) -> tuple[int, int]:
    (header,) = struct.unpack_from("<I", data, 14)
    width, height = struct.unpack_from("<HH" if header == 12 else "<ii", data, 18)
    return width, abs(height)  # negative where the rows go from top to bottom


def _webp(data: bytes) -> tuple[int, int]:
    if data[8:12] != b"WEBP":
        raise ValueError("it is a RIFF file, but no WebP")
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
    """Returns the single numbers that the first directory holds under these tags."""
    order = "<" if data.startswith(b"II") else ">"
    (place,) = struct.unpack_from(f"{order}I", data, 4)
    (count,) = struct.unpack_from(f"{order}H", data, place)
    stated: dict[int, int] = {}
    for entry in range(count):
        tag, kind = struct.unpack_from(f"{order}HH", data, place + 2 + 12 * entry)
        if tag in tags:
            form = "H" if kind == _TIFF_SHORT else "I"
            (value,) = struct.unpack_from(order + form, data, place + 2 + 12 * entry + 8)
            stated.setdefault(tag, value)  # as libtiff has it
    return stated


_KINDS: tuple[tuple[bytes, Callable[[bytes], tuple[int, int]]], ...] = (
    (JPEG_START, _jpeg),
    (b"\x89PNG\r\n\x1a\n", _png),
    (b"BM", _bmp),
    (b"RIFF", _webp),
    (b"II*\0", _tiff),
    (b"MM\0*", _tiff),
)
