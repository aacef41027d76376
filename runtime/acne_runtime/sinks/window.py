"""Shows annotated frames in a window."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
from collections.abc import Sequence

import cv2

from acne_runtime.errors import AcneEdgeError
from acne_runtime.frame import Frame
from acne_runtime.result import Result, annotate
from acne_runtime.sources.image_files import read_full_image

_TITLE = "Acne Edge (q quits)"
_QUIT_KEYS = frozenset({ord("q"), 27})


class WindowClosedError(Exception):
    """The user closed the window."""


class Window:
    """Shows each annotated frame until `q` or Esc is pressed."""

    def __init__(self, wait_ms: int):
        """Checks that there is a display.

        Args:
            wait_ms: Time each frame is shown; 0 waits for a key.

        Raises:
            AcneEdgeError: There is no display, or OpenCV is built without windows.
        """
        if sys.platform.startswith("linux") and not os.environ.get("DISPLAY"):
            raise AcneEdgeError("no display to show a window on; save annotated images instead")
        _check_display()
        self._wait_ms = wait_ms

    def write(self, frame: Frame, results: Sequence[Result]) -> None:
        """Shows one frame.

        Raises:
            WindowClosedError: A quit key was pressed.
        """
        cv2.imshow(_TITLE, annotate(read_full_image(frame), *results))
        if cv2.waitKey(self._wait_ms) & 0xFF in _QUIT_KEYS:
            raise WindowClosedError

    def close(self) -> None:
        """Closes the window."""
        with contextlib.suppress(cv2.error):
            cv2.destroyAllWindows()


def _check_display() -> None:
    """Opens a window in a separate process: on a display that does not respond, OpenCV ends the process."""
    done = subprocess.run(
        [sys.executable, "-c", "import cv2; cv2.namedWindow('Acne Edge')"], capture_output=True, text=True, check=False
    )
    if "not implemented" in done.stderr:
        raise AcneEdgeError("this OpenCV has no windows; install opencv-python instead of opencv-python-headless")
    if done.returncode:
        raise AcneEdgeError("the display does not respond; save annotated images instead")
