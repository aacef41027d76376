import re
from pathlib import Path

import pytest

from acne_runtime.errors import AcneEdgeError
from acne_runtime.sinks.overwrite_guard import OverwriteGuard


@pytest.fixture
def source(tmp_path):
    file = tmp_path / "face.png"
    file.write_bytes(b"image")
    return file


@pytest.mark.parametrize("way", ["itself", "a link", "a hard link", "another spelling"])
def test_an_input_is_recognised_under_any_name(source, tmp_path, way):
    other = tmp_path / "other.png"
    if way == "itself":
        other = source
    elif way == "a link":
        other.symlink_to(source)
    elif way == "a hard link":
        other.hardlink_to(source)
    else:
        other = tmp_path / "folder" / ".." / source.name
        (tmp_path / "folder").mkdir()
    with pytest.raises(AcneEdgeError, match=f"^{re.escape(str(other))}: would overwrite an input"):
        OverwriteGuard([source]).check(other)


def test_other_files_may_be_written(source, tmp_path):
    guard = OverwriteGuard([source, tmp_path / "missing.png"])
    (tmp_path / "old.csv").write_text("old")
    guard.check(tmp_path / "old.csv")
    guard.check(tmp_path / "missing.png")


@pytest.mark.skipif(not Path("/dev/null").exists(), reason="this system has no /dev/null")
def test_a_device_may_be_input_and_output():
    OverwriteGuard([Path("/dev/null")]).check(Path("/dev/null"))
