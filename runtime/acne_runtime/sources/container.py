"""Whether a video file was cut off: by the sizes that its container states, not by the length of what it plays.

The stated length says little: it is that of the longest track, counts frames that an edit list hides, and divides by a
mean rate. A file that was copied in part, however, is shorter than the parts that it says it has.
"""

from __future__ import annotations

import os
import struct
from pathlib import Path
from typing import BinaryIO

_EBML, _SEGMENT = 0x1A45DFA3, 0x18538067
"""Identifiers of Matroska and WebM (RFC 8794, RFC 9559)."""


def missing_bytes(file: Path) -> int:
    """Returns how many bytes are missing at the end of an MP4, MOV, Matroska, WebM or AVI file; 0 for others."""
    size = file.stat().st_size
    with file.open("rb") as stream:
        start = stream.read(12)
        stream.seek(0)
        try:
            if start[4:8] in (b"ftyp", b"moov", b"mdat", b"wide", b"free", b"skip"):
                return max(0, _end_of_boxes(stream, size) - size)
            if start[:4] == _EBML.to_bytes(4, "big"):
                return max(0, _end_of_segment(stream, size) - size)
            if start[:4] == b"RIFF" and start[8:12] == b"AVI ":
                return max(0, _end_of_riff(stream, size) - size)
        except (struct.error, IndexError, ValueError, OSError):
            pass  # its own header is cut, or states places beyond any file, which the decoder says
    return 0


def _end_of_boxes(stream: BinaryIO, size: int) -> int:
    """Returns where the last box ends (ISO/IEC 14496-12, 4.2)."""
    position = 0
    while position + 8 <= size:
        stream.seek(position)
        length, _ = struct.unpack(">I4s", stream.read(8))
        if length == 0:  # up to the end of the file
            return size
        if length == 1:
            (length,) = struct.unpack(">Q", stream.read(8))
        if length < 8:
            return size  # no box: something else follows
        position += length
    return position


def _end_of_segment(stream: BinaryIO, size: int) -> int:
    """Returns where the segment ends; where the length is unknown, as in recordings of browsers, the file's end."""
    while stream.tell() < size:
        identifier = _number(stream, keep_marker=True)
        length = _number(stream, keep_marker=False)
        if identifier == _SEGMENT:
            return size if length < 0 else stream.tell() + length
        stream.seek(max(length, 0), os.SEEK_CUR)
    return size


def _number(stream: BinaryIO, keep_marker: bool) -> int:
    """Returns a variable-size integer (RFC 8794, 4); -1 for the length "unknown"."""
    first = stream.read(1)[0]
    width = 9 - first.bit_length()
    value = first if keep_marker else first & (0x7F >> (width - 1))
    for byte in stream.read(width - 1):
        value = value << 8 | byte
    return -1 if not keep_marker and value == (1 << 7 * width) - 1 else value


def _end_of_riff(stream: BinaryIO, size: int) -> int:
    """Returns where the last list ends; long files have several (OpenDML AVI 1.02)."""
    position = end = 0
    while position + 8 <= size:
        stream.seek(position)
        kind, length = struct.unpack("<4sI", stream.read(8))
        if kind != b"RIFF" or length == 0:  # not written: a recording that was ended
            return size
        end = position + 8 + length
        position = end + length % 2
    return end
