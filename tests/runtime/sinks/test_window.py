import subprocess
import sys

import pytest

from acne_runtime.errors import AcneEdgeError
from acne_runtime.sinks.window import Window


@pytest.mark.skipif(sys.platform != "linux", reason="displays have numbers on Linux")
def test_a_display_that_does_not_answer_ends_nothing(monkeypatch):
    monkeypatch.setenv("DISPLAY", ":7777")
    with pytest.raises(AcneEdgeError, match=r"the display does not respond; save|this OpenCV has no"):
        Window(wait_ms=0)


def test_an_opencv_without_windows_is_told(monkeypatch):
    message = "error: (-2:Unspecified error) The function is not implemented. Rebuild the library with ... support"
    done = subprocess.CompletedProcess([], 1, "", message)
    monkeypatch.setattr("sys.platform", "win32")
    monkeypatch.setattr(subprocess, "run", lambda *_, **__: done)
    with pytest.raises(AcneEdgeError, match="this OpenCV has no windows; install opencv-python instead"):
        Window(wait_ms=0)


def test_a_window_without_a_display_is_refused_with_the_way_out(monkeypatch):
    monkeypatch.setattr("sys.platform", "linux")
    monkeypatch.delenv("DISPLAY", raising=False)
    with pytest.raises(AcneEdgeError, match=r"no display to show a window on; save"):
        Window(wait_ms=0)
