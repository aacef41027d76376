"""A live window."""

from __future__ import annotations

import os
import sys

import cv2

from acne_runtime.errors import AcneEdgeError
from acne_runtime.result import Result
from acne_runtime.sinks.annotate import annotate
from acne_runtime.sources.frame import Frame

_TITLE = "Acne Edge (q quits)"
_QUIT_KEYS = frozenset({ord("q"), 27})


class WindowClosedError(Exception):
    """The person at the window asked to stop."""


class Window:
    """Shows each annotated frame until `q` or Esc is pressed."""

    def __init__(self, wait_ms: int):
        """Checks that there is a display: OpenCV's window would end the process without one.

        Args:
            wait_ms: How long a frame stays; 0 waits for a key.
        """
        if sys.platform.startswith("linux") and not (os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")):
            raise AcneEdgeError("--show: there is no display here; use --save DIR instead")
        self._wait_ms = wait_ms

    def write(self, frame: Frame, result: Result) -> None:
        """Shows one frame.

        Raises:
            WindowClosedError: A quit key was pressed.
            AcneEdgeError: This OpenCV has no windows.
        """
        try:
            cv2.imshow(_TITLE, annotate(frame.image, result))
            key = cv2.waitKey(self._wait_ms) & 0xFF
        except cv2.error as error:
            raise AcneEdgeError("--show: this OpenCV has no windows; install opencv-python, not -headless") from error
        if key in _QUIT_KEYS:
            raise WindowClosedError

    def close(self) -> None:
        """Takes the window away."""
        cv2.destroyAllWindows()
