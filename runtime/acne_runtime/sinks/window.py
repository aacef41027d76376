"""A live window."""

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
    """The person at the window asked to stop."""


class Window:
    """Shows each annotated frame until `q` or Esc is pressed."""

    def __init__(self, wait_ms: int):
        """Checks that there is a display.

        Args:
            wait_ms: How long a frame stays; 0 waits for a key.

        Raises:
            AcneEdgeError: There is no display, or this OpenCV has no windows.
        """
        if sys.platform.startswith("linux") and not os.environ.get("DISPLAY"):
            raise AcneEdgeError("--show: there is no display here; use --save DIR instead")
        _try_one()
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
        """Takes the window away."""
        with contextlib.suppress(cv2.error):
            cv2.destroyAllWindows()


def _try_one() -> None:
    """Opens a window in a process of its own: on a display that does not answer, OpenCV ends the process."""
    tried = subprocess.run(
        [sys.executable, "-c", "import cv2; cv2.namedWindow('Acne Edge')"], capture_output=True, text=True, check=False
    )
    if "not implemented" in tried.stderr:
        raise AcneEdgeError("--show: this OpenCV has no windows; install opencv-python, not -headless")
    if tried.returncode:
        raise AcneEdgeError("--show: the display does not answer; use --save DIR instead")
