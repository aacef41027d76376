"""Video files."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Protocol

import cv2

from acne_runtime.errors import SourceError
from acne_runtime.frame import Frame

SUFFIXES = frozenset({".mp4", ".mov", ".avi", ".mkv", ".webm", ".m4v"})

_USUAL_RATE = 25.0
_UNCERTAIN, _UNCERTAIN_S = 0.02, 2.0
"""Share of its length, and at most the seconds, by which a file may state more than its last frame: sound goes on."""


class Capture(Protocol):
    """What is used of `cv2.VideoCapture`."""

    def isOpened(self) -> bool: ...  # noqa: N802, D102  (OpenCV's name)
    def read(self) -> tuple[bool, Any]: ...  # noqa: D102
    def get(self, propId: int) -> float: ...  # noqa: D102, N803
    def release(self) -> None: ...  # noqa: D102


class Video:
    """The frames of a video file, each time from the first on.

    Attributes:
        rate: Frames a second as the file states them, 25 where it does not.
        count: Frames as the file states them, 0 where it does not.
    """

    def __init__(self, file: Path):
        """Looks at what the file states.

        Raises:
            SourceError: It is missing, or no video.
        """
        if not file.is_file():
            raise SourceError(f"{file}: no such video file")
        self._file = file
        capture = self._opened()
        try:
            if not capture.isOpened():
                raise SourceError(f"{file}: not a video, or one that OpenCV cannot decode")
            rate = float(capture.get(cv2.CAP_PROP_FPS))
            self.rate = rate if rate > 0 else _USUAL_RATE
            self.count = max(0, int(capture.get(cv2.CAP_PROP_FRAME_COUNT)))
        finally:
            capture.release()

    def __iter__(self) -> Iterator[Frame]:
        """Reads all frames.

        Raises:
            SourceError: No frame can be decoded, or, after the last one, the file is cut off.
        """
        capture = self._opened()
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
            if ends_early(time_s, self.count, self.rate):
                raise SourceError(
                    f"{self._file}: ends after {time_s:.1f} of {self.count / self.rate:.1f} s; it is damaged or cut off"
                )
        finally:
            capture.release()

    def _opened(self) -> cv2.VideoCapture:
        # FFmpeg takes what stands before a colon in a relative name for a protocol, and would open a socket.
        return cv2.VideoCapture(str(self._file.absolute()))


def frame_time(capture: Capture, index: int, rate: float) -> float:
    """Returns the seconds from the start of a video at which the frame stands that was just read.

    Args:
        capture: What read it.
        index: The frame's, from 0.
        rate: Frames a second, for files without times of their own; phones' frames are unevenly spaced.
    """
    stated = capture.get(cv2.CAP_PROP_POS_MSEC) / 1000
    return stated if stated > 0 else index / rate


def ends_early(last_s: float, count: int, rate: float) -> bool:
    """Returns whether a video ended before what it states.

    Args:
        last_s: The time of its last frame.
        count: Frames that it states, which is its length times its rate.
        rate: Frames a second that it states.
    """
    length_s = count / rate
    return last_s + 2 / rate < length_s - min(_UNCERTAIN * length_s, _UNCERTAIN_S)
