"""Reads JPEGs: where they end, what their segments say, and their pixels, with a check for damage.

By simplejpeg and not OpenCV, which uses the same libjpeg-turbo and gives the same pixels, but hides what libjpeg-turbo
says about damage, and takes up to twice as long.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Iterator

import cv2
import numpy as np
import simplejpeg
from numpy.typing import NDArray

from acne_runtime.sources import tiff

START, END = b"\xff\xd8", b"\xff\xd9"
_SCAN, _FILL = 0xDA, 0xFF
_BARE = frozenset({0x01, *range(0xD0, 0xD8)})
"""Markers without a segment (ITU-T T.81, B.1.1.3)."""
_MARKER = re.compile(rb"\xff[^\0\x01\xd0-\xd7\xff]")
"""Markers with a segment; the others may be within the pixel data (ITU-T T.81, B.1.1)."""
_FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
"""Markers of segments that hold the size (ITU-T T.81, table B.1)."""
_SEQUENTIAL = frozenset({0xC0, 0xC1})
"""Those of images whose every part of the pixel data holds final pixels: a missing one is noticed."""
_APP1, _EXIF = 0xE1, b"Exif\0\0"
_APP2, _MPF, _MPF_ENTRIES = 0xE2, b"MPF\0", 0xB002
"""The segment, its name, and the tag of the list of images in a file (CIPA DC-007, 5.2.3)."""
_ICC = b"ICC_PROFILE\0"
"""The name of a segment with a part of the colour profile (ICC.1:2022, B.4)."""
_QUARTER_TURNS = frozenset({5, 6, 7, 8})
"""EXIF orientations that swap width and height."""
_EXTRANEOUS = re.compile(r"Corrupt JPEG data: (\d+) extraneous bytes before marker 0xd9")
"""Of libjpeg-turbo: bytes were left when the last pixel was decoded."""
_DAMAGE = ("Corrupt JPEG data", "Premature end")
"""How libjpeg-turbo's warnings begin where pixels are wrong; others are about harmless slips of cameras."""


def read_size(jpeg: bytes) -> tuple[int, int]:
    """Returns width and height in pixels, before the orientation is applied.

    Raises:
        IndexError, struct.error: The data end before the size.
    """
    height, width = struct.unpack_from(">HH", jpeg, _frame(jpeg)[1] + 5)
    return width, height


def upright_size(jpeg: bytes) -> tuple[int, int]:
    """Returns width and height in pixels with the EXIF orientation applied.

    Raises:
        IndexError, struct.error: The data end before the size.
    """
    width, height = read_size(jpeg)
    return (height, width) if _orientation(jpeg) in _QUARTER_TURNS else (width, height)


def decode(jpeg: bytes, reduction: int = 1) -> NDArray[np.uint8]:
    """Decodes a JPEG with its EXIF orientation applied: `[height, width, 3]` uint8 BGR.

    Args:
        jpeg: The content of the file.
        reduction: 1, 2, 4 or 8: width and height are divided by it and rounded up.

    Raises:
        ValueError: It is truncated or corrupt; the message says which.
    """
    end, _ = find_end(jpeg)
    if end < 0 or not jpeg.endswith(END, 0, end):
        # Without its two last bytes only, all pixels are there; but a scan that refines them all is not missed.
        if _frame(jpeg)[0] not in _SEQUENTIAL:
            raise ValueError("the JPEG is truncated; copy it again")
        whole, cut_off = (jpeg if end < 0 else jpeg[:end]) + END, True
    else:
        whole, cut_off = jpeg, False
    try:
        image = _decode(whole, reduction)
    except ValueError as error:
        if cut_off:
            raise ValueError("the JPEG is truncated; copy it again") from error
        raise
    return _upright(image, _orientation(jpeg))


def _decode(jpeg: bytes, reduction: int) -> NDArray[np.uint8]:
    height, width, colour, _ = simplejpeg.decode_jpeg_header(jpeg)
    ink = colour in ("CMYK", "YCCK")
    smallest = {} if reduction == 1 else {"min_height": -(-height // reduction), "min_width": -(-width // reduction)}

    def decode_as_is(strict: bool) -> NDArray[np.uint8]:
        image: NDArray[np.uint8] = simplejpeg.decode_jpeg(
            jpeg, colorspace="CMYK" if ink else "BGR", strict=strict, **smallest
        )
        return image

    try:
        image = decode_as_is(strict=True)
    except ValueError as error:
        warning = str(error)
        if warning.startswith(_DAMAGE) and not _is_padded(jpeg, warning):
            raise ValueError("a corrupt JPEG, whose pixels are wrong in part; copy it again") from error
        image = decode_as_is(strict=False)
    if not ink:
        return image
    flags = {1: cv2.IMREAD_COLOR, 2: cv2.IMREAD_REDUCED_COLOR_2, 4: cv2.IMREAD_REDUCED_COLOR_4}
    flag = flags.get(reduction, cv2.IMREAD_REDUCED_COLOR_8) | cv2.IMREAD_IGNORE_ORIENTATION
    decoded = cv2.imdecode(np.frombuffer(jpeg, np.uint8), flag)
    if decoded is None:
        raise ValueError("a corrupt JPEG")
    return decoded  # type: ignore[return-value]


def _is_padded(jpeg: bytes, warning: str) -> bool:
    """Returns whether the bytes left over are padding, as some webcams write it, and no pixels that went astray."""
    found = _EXTRANEOUS.fullmatch(warning)
    end, _ = find_end(jpeg)
    if found is None or end < 0:
        return False
    left_over = jpeg[end - len(END) - int(found[1]) : end - len(END)]
    return set(left_over) <= {0} or set(left_over) <= {0xFF}


def _upright(image: NDArray[np.uint8], orientation: int) -> NDArray[np.uint8]:
    """Returns the image as it was seen, by its EXIF orientation (EXIF 2.32, 4.6.4)."""
    if orientation in _QUARTER_TURNS:
        image = cv2.transpose(image)  # type: ignore[assignment]
    flip = {2: 1, 3: -1, 4: 0, 6: 1, 7: -1, 8: 0}.get(orientation)
    return image if flip is None else cv2.flip(image, flip)  # type: ignore[return-value]


def _orientation(jpeg: bytes) -> int:
    """Returns the EXIF orientation, 1 (upright) if there is none."""
    for marker, position in _segments(jpeg):
        if marker == _APP1 and jpeg.startswith(_EXIF, position + 4):
            try:
                return tiff.read_tags(_content(jpeg, position)[len(_EXIF) :], {tiff.ORIENTATION}).get(
                    tiff.ORIENTATION, 1
                )
            except struct.error:
                return 1
    return 1


def color_profile(jpeg: bytes) -> bytes:
    """Returns the ICC profile, empty if there is none."""
    contents = (_content(jpeg, position) for marker, position in _segments(jpeg) if marker == _APP2)
    parts = {part[len(_ICC)]: part[len(_ICC) + 2 :] for part in contents if part.startswith(_ICC) and part > _ICC}
    return b"".join(part for _, part in sorted(parts.items()))


def find_end(jpeg: bytes | bytearray, start: int = len(START)) -> tuple[int, int]:
    """Finds the end of a JPEG's main image, segment by segment.

    Args:
        jpeg: Its bytes, or as many of them as are available.
        start: Where to continue, as returned by an earlier call with fewer bytes.

    Returns:
        The end and -1: after `END`, or where another image starts without it. If there is no end yet, -1 and where to
        continue once there are more bytes.
    """
    while found := _MARKER.search(jpeg, start):
        start, marker = found.start(), jpeg[found.start() + 1]
        if marker in (START[1], END[1]):
            return found.end() if marker == END[1] else start, -1
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
        if marker == _APP2 and jpeg.startswith(_MPF, position + 4):
            start = position + 4 + len(_MPF)
            index = _content(jpeg, position)[len(_MPF) :]
            try:
                (entries,) = tiff.read_tags(index, {_MPF_ENTRIES}).values()
            except (struct.error, ValueError):
                return {}
            form = struct.Struct(("<" if index.startswith(b"II") else ">") + "4xII4x")
            whole = index[entries : entries + (len(index) - entries) // form.size * form.size]
            return {start + offset: size for size, offset in form.iter_unpack(whole) if offset}  # the main image has 0
    return {}


def _content(jpeg: bytes, position: int) -> bytes:
    return jpeg[position + 4 : position + 2 + int.from_bytes(jpeg[position + 2 : position + 4], "big")]


def _frame(jpeg: bytes) -> tuple[int, int]:
    """Returns marker and offset of the segment with the size."""
    for marker, position in _segments(jpeg):
        if marker in _FRAMES:
            return marker, position
    raise IndexError


def _segments(jpeg: bytes) -> Iterator[tuple[int, int]]:
    """Yields marker and offset of each segment before the pixels."""
    position = len(START)
    while jpeg[position : position + 1] == b"\xff" and position + 4 <= len(jpeg):
        marker = jpeg[position + 1]
        if marker == _SCAN:
            return
        if marker == _FILL:
            position += 1
            continue
        if marker in _BARE:
            position += 2
            continue
        yield marker, position
        position += 2 + int.from_bytes(jpeg[position + 2 : position + 4], "big")
