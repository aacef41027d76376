"""Reads video files."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Protocol

import cv2

from acne_runtime.errors import SourceError
from acne_runtime.frame import Frame
from acne_runtime.sources.container import missing_bytes

SUFFIXES = frozenset({".mp4", ".mov", ".avi", ".mkv", ".webm", ".m4v"})

_DEFAULT_RATE = 25.0


class Capture(Protocol):
    """The part of `cv2.VideoCapture` that is used."""

    def isOpened(self) -> bool: ...  # noqa: N802, D102  (OpenCV's name)
    def read(self) -> tuple[bool, Any]: ...  # noqa: D102
    def get(self, propId: int) -> float: ...  # noqa: D102, N803
    def release(self) -> None: ...  # noqa: D102


class Video:
    """The frames of a video file; each iteration starts at the first.

    Attributes:
        rate: Frames per second in the file's header, 25 if missing.
        count: Number of frames in the file's header, 0 if missing.
    """

    def __init__(self, file: Path):
        """Reads the file's header.

        Raises:
            SourceError: It is missing, or not a video.
        """
        if not file.is_file():
            raise SourceError(f"{file}: no such video file")
        self._file = file
        capture = self._open()
        try:
            if not capture.isOpened():
                raise SourceError(f"{file}: not a video, or one that OpenCV cannot decode")
            rate = float(capture.get(cv2.CAP_PROP_FPS))
            self.rate = rate if rate > 0 else _DEFAULT_RATE
            self.count = max(0, int(capture.get(cv2.CAP_PROP_FRAME_COUNT)))
        finally:
            capture.release()

    def __iter__(self) -> Iterator[Frame]:
        """Reads all frames.

        Raises:
            SourceError: No frame can be decoded, or (after the last one) the file is truncated.
        """
        capture = self._open()
        try:
            index, time_s = 0, 0.0
            while True:
                read, image = capture.read()
                if not read:
                    break
                time_s = frame_time(capture, index, self.rate)
                yield Frame(image, str(self._file), index, time_s)  # type: ignore[arg-type]
                index += 1
            if index == 0:
                raise SourceError(f"{self._file}: not a video, or one that OpenCV cannot decode")
            missing = missing_bytes(self._file)
            if missing:
                raise SourceError(
                    f"{self._file}: truncated after {time_s:.1f} s: {missing:,} bytes are missing; copy it again"
                )
        finally:
            capture.release()

    def _open(self) -> cv2.VideoCapture:
        # In a relative name, FFmpeg takes the part before a colon for a protocol, and would open a socket.
        return cv2.VideoCapture(str(self._file.absolute()))


def frame_time(capture: Capture, index: int, rate: float) -> float:
    """Returns the time of the frame just read, in seconds from the start of the video.

    Args:
        capture: The capture that read it.
        index: Index of the frame, from 0.
        rate: Frames per second, for files without timestamps; frames of phones are unevenly spaced.
    """
    stated = capture.get(cv2.CAP_PROP_POS_MSEC) / 1000
    return stated if stated > 0 else index / rate
