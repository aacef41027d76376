"""Sets the time of each frame of an MP4 file, which OpenCV writes at one rate; cameras take them unevenly.

ISO/IEC 14496-12: the box `stts` (8.6.1.2) holds how long each frame is shown, others the sum of it.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Sequence
from itertools import groupby
from pathlib import Path

_CONTAINERS = frozenset({b"moov", b"trak", b"mdia", b"minf", b"stbl", b"edts"})
_TICKS_PER_S = 90_000
"""Units of a frame's duration: what MPEG uses, exact for 24, 25, 30, 50 and 60 frames a second."""


def set_frame_times(file: Path, durations_s: Sequence[float]) -> None:
    """Rewrites the index at the end of an MP4 file with one video track.

    Args:
        file: As OpenCV's `VideoWriter` leaves it.
        durations_s: How long each frame is shown, in seconds.

    Raises:
        ValueError: The file is built otherwise; it is unchanged.
    """
    ticks = [max(1, round(duration * _TICKS_PER_S)) for duration in durations_s]
    with file.open("r+b") as stream:
        start = _find_index(stream.fileno())
        stream.seek(start)
        index = stream.read()
        try:
            rewritten = _rewrite(index, ticks)
        except struct.error as error:
            raise ValueError("a truncated index") from error
        stream.seek(start)
        stream.write(rewritten)  # never shorter: what was written at one rate has one entry
        stream.truncate()


def _find_index(descriptor: int) -> int:
    """Returns where the box `moov` starts, which must be the last."""
    position, size = 0, os.fstat(descriptor).st_size
    while position + 8 <= size:
        length, name, long = struct.unpack(">I4sQ", os.pread(descriptor, 16, position).ljust(16, b"\0"))
        length = long if length == 1 else length
        if name == b"moov" and position + length == size:
            return position
        if length < 8:
            break
        position += length
    raise ValueError("no index at the end")


def _rewrite(boxes: bytes, ticks: Sequence[int]) -> bytes:
    """Returns the boxes with other times; their places in the file do not matter for what comes before them."""
    written = b""
    position = 0
    while position < len(boxes):
        length, name = struct.unpack_from(">I4s", boxes, position)
        content = boxes[position + 8 : position + length]
        if length < 8 or len(content) != length - 8:
            raise ValueError("a truncated index")
        if name in _CONTAINERS:
            content = _rewrite(content, ticks)
        elif name in (b"mvhd", b"mdhd"):  # the movie and its track: the units, and the sum
            content = content[:12] + struct.pack(">II", _TICKS_PER_S, sum(ticks)) + _check(content)[20:]
        elif name == b"tkhd":
            content = content[:20] + struct.pack(">I", sum(ticks)) + _check(content)[24:]
        elif name == b"elst":
            content = content[:8] + struct.pack(">I", sum(ticks)) + _check(content)[12:]
        elif name == b"stts":
            runs = [(len(list(run)), duration) for duration, run in groupby(ticks)]
            content = (
                _check(content)[:4] + struct.pack(">I", len(runs)) + b"".join(struct.pack(">II", *run) for run in runs)
            )
        elif name == b"ctts":
            raise ValueError("frames that are shown in another order than they are stored in")
        written += struct.pack(">I4s", len(content) + 8, name) + content
        position += length
    return written


def _check(content: bytes) -> bytes:
    if content[:1] != b"\0":
        raise ValueError("64-bit times")
    return content
