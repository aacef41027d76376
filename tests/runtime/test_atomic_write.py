import os
import stat
import sys

import pytest

from acne_runtime.atomic_write import write_atomically


def names(folder):
    return sorted(path.name for path in folder.iterdir())


@pytest.mark.parametrize("data", [b"", b"new", bytes(range(256)) * 5000])
def test_the_file_holds_what_was_written_and_nothing_else_is_left(tmp_path, data):
    write_atomically(tmp_path / "model.onnx", data)
    assert (tmp_path / "model.onnx").read_bytes() == data
    assert names(tmp_path) == ["model.onnx"]


def test_an_earlier_file_is_replaced(tmp_path):
    file = tmp_path / "model.onnx"
    file.write_bytes(b"a much longer old content")
    write_atomically(file, b"new")
    assert file.read_bytes() == b"new"
    assert names(tmp_path) == ["model.onnx"]


def test_a_reader_that_already_opened_the_old_file_keeps_reading_it(tmp_path):
    file = tmp_path / "model.onnx"
    file.write_bytes(b"old")
    with file.open("rb") as reader:
        write_atomically(file, b"new")
        assert reader.read() == b"old"


def test_missing_folders_are_made(tmp_path):
    write_atomically(tmp_path / "runs" / "one" / "manifest.json", b"{}")
    assert (tmp_path / "runs" / "one" / "manifest.json").read_bytes() == b"{}"
    assert names(tmp_path / "runs" / "one") == ["manifest.json"]


@pytest.mark.skipif(sys.platform == "win32", reason="Unix's permissions")
@pytest.mark.parametrize(("mask", "mode"), [(0o022, 0o644), (0o077, 0o600), (0o002, 0o664)])
def test_who_may_read_the_file_is_what_the_person_set(tmp_path, mask, mode):
    before = os.umask(mask)
    try:
        write_atomically(tmp_path / "model.onnx", b"new")
        assert os.umask(mask) == mask  # and it is as it was
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "model.onnx").stat().st_mode) == mode


def test_a_name_as_long_as_names_may_be_is_written(tmp_path):
    write_atomically(tmp_path / ("n" * 251 + ".png"), b"new")
    assert [len(name) for name in names(tmp_path)] == [255]


def test_writing_that_fails_leaves_the_old_file_and_no_temporary_one(tmp_path):
    file = tmp_path / "model.onnx"
    file.write_bytes(b"old")
    with pytest.raises(TypeError):
        write_atomically(file, "text is no bytes")
    assert file.read_bytes() == b"old"
    assert names(tmp_path) == ["model.onnx"]


@pytest.mark.parametrize("error", [OSError(28, "No space left on device"), KeyboardInterrupt()], ids=repr)
def test_renaming_that_fails_leaves_the_old_file_and_no_temporary_one(tmp_path, monkeypatch, error):
    file = tmp_path / "model.onnx"
    file.write_bytes(b"old")

    def fail(*_):
        raise error

    monkeypatch.setattr("pathlib.Path.replace", fail)
    with pytest.raises(type(error)):
        write_atomically(file, b"new")
    assert file.read_bytes() == b"old"
    assert names(tmp_path) == ["model.onnx"]


def test_a_folder_of_that_name_is_an_error_and_stays(tmp_path):
    (tmp_path / "model.onnx").mkdir()
    with pytest.raises(OSError, match=r"model\.onnx"):
        write_atomically(tmp_path / "model.onnx", b"new")
    assert (tmp_path / "model.onnx").is_dir()
    assert names(tmp_path) == ["model.onnx"]


def test_a_parent_that_is_a_file_is_an_error_and_stays(tmp_path):
    (tmp_path / "runs").write_bytes(b"a file")
    with pytest.raises(OSError, match="runs"):
        write_atomically(tmp_path / "runs" / "model.onnx", b"new")
    assert (tmp_path / "runs").read_bytes() == b"a file"
