"""Cameras attached to this device."""

from __future__ import annotations

from collections.abc import Iterator
from time import monotonic

import cv2

from acne_runtime.errors import SourceError
from acne_runtime.sources.frame import Frame


def camera(number: int) -> Iterator[Frame]:
    """Reads a camera until it stops giving frames.

    Args:
        number: 0 for the first camera.

    Raises:
        SourceError: The camera does not open or gives no frame.
    """
    capture = cv2.VideoCapture(number)
    try:
        if not capture.isOpened():
            raise SourceError(
                f"--camera {number}: no camera opens there; check that it is plugged in, allowed, and not in use"
            )
        capture.set(cv2.CAP_PROP_BUFFERSIZE, 1)  # the newest frame rather than the oldest one waiting
        started, index = monotonic(), 0
        while True:
            read, image = capture.read()
            if not read:
                break
            yield Frame(image, f"camera:{number}", index, monotonic() - started)  # type: ignore[arg-type]
            index += 1
        raise SourceError(f"--camera {number}: stopped giving frames after {index}")
    finally:
        capture.release()
