import os
import sys
import threading
from pathlib import Path

import pytest

from acne_runtime.errors import AcneEdgeError
from acne_runtime.sinks.line_file import LineFile

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="locks and /dev/full are Unix's")


def test_lines_are_there_at_once_and_replace_those_before(tmp_path):
    file = tmp_path / "new" / "out.txt"
    file.parent.mkdir()
    file.write_text("old\n" * 9)
    lines = LineFile(file)
    for count in range(1, 4):
        lines.write("für später\n")
        assert file.read_text(encoding="utf-8") == "für später\n" * count
    lines.close()


def test_a_second_run_is_refused_and_takes_nothing_away(tmp_path):
    file = tmp_path / "out.txt"
    first = LineFile(file)
    first.write("kept\n")
    with pytest.raises(AcneEdgeError, match=r"out\.txt: another run is writing to it; name another file"):
        LineFile(file)
    first.write("kept too\n")
    first.close()
    assert file.read_text() == "kept\nkept too\n"
    LineFile(file).close()  # free again


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no /dev/full")
def test_a_full_disk_is_named():
    lines = LineFile(Path("/dev/full"))
    with pytest.raises(OSError, match=r"No space left on device: '/dev/full'"):
        lines.write("a line\n")
    lines.close()


def test_a_line_that_does_not_fit_is_not_there_by_half(tmp_path):
    class Full:
        """Takes four bytes of each line from the third on, then none."""

        def __init__(self, stream):
            self.stream, self.calls = stream, 0

        def write(self, data):
            self.calls += 1
            if self.calls > 3:
                raise OSError(28, "No space left on device")
            return self.stream.write(data[:4] if self.calls == 3 else data)

        def __getattr__(self, name):
            return getattr(self.stream, name)

    lines = LineFile(tmp_path / "out.txt")
    lines._stream = Full(lines._stream)
    lines.write("first line\n")
    lines.write("second line\n")
    with pytest.raises(OSError, match=r"No space left on device: .*out\.txt"):
        lines.write("third line\n")
    lines.close()
    assert (tmp_path / "out.txt").read_text() == "first line\nsecond line\n"


def test_a_pipe_takes_lines_too(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    got = []
    reader = threading.Thread(target=lambda: got.append((tmp_path / "pipe").read_text()))
    reader.start()
    lines = LineFile(tmp_path / "pipe")
    lines.write("one\n")
    lines.write("two\n")
    lines.close()
    reader.join(timeout=10)
    assert got == ["one\ntwo\n"]
