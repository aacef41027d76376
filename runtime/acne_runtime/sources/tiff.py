"""Reads directories of a TIFF file, and of what is stored in the same form: EXIF and the image list of a JPEG."""

from __future__ import annotations

import struct
from collections.abc import Collection, Iterator

WIDTH, HEIGHT, ORIENTATION = 256, 257, 274
_EXTRA_SAMPLES, _DNG_VERSION = 338, 50706
"""Tags (TIFF 6.0, Adobe DNG)."""
_ASSOCIATED, _UNASSOCIATED = 1, 2
"""Transparency that the colours are multiplied by, and that they are not."""
_SUBFILE_TYPE, _REDUCED = 254, 1
"""The tag and the bit of a page that is a smaller version of another one."""
_COLOR_PROFILE = 34675
_SHORT = 3
"""The type of two-byte values."""
_MAX_PAGES = 1000


def is_tiff(data: bytes) -> bool:
    """Returns whether data start like a TIFF."""
    return data.startswith((b"II*\0", b"MM\0*"))


def read_tags(data: bytes, tags: Collection[int]) -> dict[int, int]:
    """Returns the values of these tags in the first directory.

    Raises:
        struct.error: The data end before the directory does.
    """
    return {tag: value for tag, (value, _) in next(_directories(data, tags)).items()}


def is_preview(data: bytes) -> bool:
    """Returns whether the first page is a smaller version of another one, as in raw photographs (DNG)."""
    tags = read_tags(data, {_SUBFILE_TYPE, _DNG_VERSION})
    return bool(tags.get(_SUBFILE_TYPE, 0) & _REDUCED) or _DNG_VERSION in tags


def without_alpha(data: bytes) -> bytes:
    """Returns a TIFF whose colours are not multiplied by its transparency when they are read, as libtiff would do."""
    order = "<" if data.startswith(b"II") else ">"
    (position,) = struct.unpack_from(f"{order}I", data, 4)
    (count,) = struct.unpack_from(f"{order}H", data, position)
    for entry in range(position + 2, position + 2 + 12 * count, 12):
        if struct.unpack_from(f"{order}HHIH", data, entry) == (_EXTRA_SAMPLES, _SHORT, 1, _UNASSOCIATED):
            return data[: entry + 8] + struct.pack(f"{order}H", _ASSOCIATED) + data[entry + 10 :]
    return data


def color_profile(data: bytes) -> bytes:
    """Returns the ICC profile of a TIFF, empty if there is none."""
    try:
        offset, count = next(_directories(data, {_COLOR_PROFILE})).get(_COLOR_PROFILE, (0, 0))
    except struct.error:
        return b""
    return data[offset : offset + count]


def has_further_pages(data: bytes) -> bool:
    """Returns whether a TIFF has more than one page; thumbnails do not count."""
    try:
        kinds = [page.get(_SUBFILE_TYPE, (0, 1))[0] for page in _directories(data, {_SUBFILE_TYPE})]
    except struct.error:
        return False
    return sum(not kind & _REDUCED for kind in kinds) > 1


def _directories(data: bytes, tags: Collection[int]) -> Iterator[dict[int, tuple[int, int]]]:
    """Yields the value, or the offset of the values, and their number, of these tags in each directory."""
    order = "<" if data.startswith(b"II") else ">"
    (position,) = struct.unpack_from(f"{order}I", data, 4)
    for _ in range(_MAX_PAGES):
        (count,) = struct.unpack_from(f"{order}H", data, position)
        values: dict[int, tuple[int, int]] = {}
        for entry in range(position + 2, position + 2 + 12 * count, 12):
            tag, kind, number = struct.unpack_from(f"{order}HHI", data, entry)
            if tag in tags:
                (value,) = struct.unpack_from(order + ("H" if kind == _SHORT else "I"), data, entry + 8)
                values.setdefault(tag, (value, number))  # as libtiff does
        yield values
        (position,) = struct.unpack_from(f"{order}I", data, position + 2 + 12 * count)
        if position == 0:
            return
