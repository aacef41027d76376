"""Where a PNG ends, and whether it is whole: its chunks carry checksums, so damage is known before it is decoded."""

from __future__ import annotations

import zlib
from collections.abc import Iterator

START = b"\x89PNG\r\n\x1a\n"
_FRAME_BYTES = 12
"""Of each chunk besides its content: length, name and checksum (PNG, 5.3)."""
_MAX_LENGTH = 0x7FFFFFFF


def find_end(png: bytes | bytearray, start: int = len(START)) -> tuple[int, int]:
    """Finds the end of a PNG, chunk by chunk.

    Args:
        png: Its bytes, or as many of them as are available.
        start: Where to continue, as returned by an earlier call with fewer bytes.

    Returns:
        The end and -1, or -1 and where to continue once there are more bytes.
    """
    for name, position, end in _chunks(png, start):
        if end > len(png):
            return -1, position
        if name == b"IEND":
            return end, -1
        start = end
    return -1, start


def check(png: bytes) -> None:
    """Checks that a PNG is whole.

    Raises:
        ValueError: It is truncated, or a chunk that it cannot be read without is damaged; the message says which.
    """
    for name, position, end in _chunks(png, len(START)):
        if end > len(png):
            break
        critical = not name[0] & 0x20  # an upper-case letter
        if critical and zlib.crc32(png[position + 4 : end - 4]) != int.from_bytes(png[end - 4 : end], "big"):
            raise ValueError("a corrupt PNG; copy it again")
        if name == b"IEND":
            return
    raise ValueError("the PNG is truncated; copy it again")


def is_animated(png: bytes) -> bool:
    """Returns whether it has further frames (APNG)."""
    for name, _, _ in _chunks(png, len(START)):
        if name in (b"acTL", b"IDAT"):
            return name == b"acTL"
    return False


def _chunks(png: bytes | bytearray, position: int) -> Iterator[tuple[bytes, int, int]]:
    """Yields name, start and end of each chunk; the last may end behind the data."""
    while position + 8 <= len(png):
        length = int.from_bytes(png[position : position + 4], "big")
        if length > _MAX_LENGTH:
            return
        end = position + _FRAME_BYTES + length
        yield bytes(png[position + 4 : position + 8]), position, end
        position = end
