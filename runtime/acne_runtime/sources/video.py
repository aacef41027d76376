"""Video files."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import cv2

from acne_runtime.errors import SourceError
from acne_runtime.sources.frame import Frame

SUFFIXES = frozenset({".mp4", ".mov", ".avi", ".mkv", ".webm", ".m4v"})


def frames_per_second(file: Path) -> float:
    """Returns the rate a video file states, 25 where it states none."""
    capture = cv2.VideoCapture(str(file))
    try:
        rate = float(capture.get(cv2.CAP_PROP_FPS))
        return rate if rate > 0 else 25.0
    finally:
        capture.release()


def video(file: Path) -> Iterator[Frame]:
    """Reads all frames of a video file.

    Raises:
        SourceError: It is missing, or no frame of it can be decoded.
    """
    if not file.is_file():
        raise SourceError(f"{file}: no such video file")
    capture = cv2.VideoCapture(str(file))
    try:
        rate = capture.get(cv2.CAP_PROP_FPS) or 25.0
        index = 0
        while True:
            read, image = capture.read()
            if not read:
                break
            yield Frame(image, str(file), index, index / rate)  # type: ignore[arg-type]
            index += 1
        if index == 0:
            raise SourceError(f"{file}: not a video, or one that OpenCV cannot decode")
    finally:
        capture.release()
