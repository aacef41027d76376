from pathlib import Path

import pytest
from support.images import write_picture

fsspec = pytest.importorskip("fsspec")

from acne_runtime.archive.listing import list_archive, read_photograph  # noqa: E402
from acne_runtime.errors import SourceError  # noqa: E402


def test_a_folder_is_listed_as_the_plain_command_lists_it(tmp_path):
    for name in ("b.jpg", "a.png"):
        write_picture(tmp_path / name, 20, 30)
    (tmp_path / "deep").mkdir()
    write_picture(tmp_path / "deep" / "c.jpg", 20, 30)
    (tmp_path / "raw.dng").write_bytes(b"x")
    assert list_archive(str(tmp_path)) == (
        [str(tmp_path / "a.png"), str(tmp_path / "b.jpg")],
        "left out: 1 .dng, 1 folder",
    )
    names, left_out = list_archive(str(tmp_path), recursive=True)
    assert len(names) == 3
    assert left_out == "left out: 1 .dng"


def test_a_list_names_photographs_from_its_own_folder(tmp_path):
    (tmp_path / "list.txt").write_text("﻿a.jpg\n\n /elsewhere/b.jpg \ns3://bucket/c.jpg\n", encoding="utf-8")
    names, left_out = list_archive(str(tmp_path / "list.txt"))
    assert names == [str(tmp_path / "a.jpg"), "/elsewhere/b.jpg", "s3://bucket/c.jpg"]
    assert left_out == ""


def test_an_object_store_is_listed_to_its_depth_and_read(tmp_path):
    store = fsspec.filesystem("memory")
    for name in ("/faces/b.jpg", "/faces/2026/a.JPG", "/faces/clip.mp4", "/faces/labels.csv"):
        store.pipe_file(name, b"content of " + name.encode())
    names, left_out = list_archive("memory://faces")
    assert [Path(name).name for name in names] == ["a.JPG", "b.jpg"]
    assert left_out == "left out: 1 .mp4"
    assert read_photograph(names[1], 10**6) == b"content of /faces/b.jpg"
    store.rm("/faces/b.jpg")
    with pytest.raises(SourceError, match=r"memory://.*b\.jpg: "):
        read_photograph(names[1], 10**6)


@pytest.mark.parametrize(
    ("source", "problem"),
    [
        ("{folder}/missing", "no folder, list of photographs"),
        ("{folder}/empty.txt", "names no photograph"),
        ("{folder}/binary.txt", "not a list of photographs"),
        ("{folder}", "no image in this folder"),
        ("memory://nothing-here", "no image here"),
        ("nosuch://bucket", "nosuch"),
        ("gs://bucket/x", "gcsfs"),
    ],
)
def test_what_is_no_archive_is_said_in_one_line(tmp_path, source, problem):
    (tmp_path / "empty.txt").write_text("\n\n")
    (tmp_path / "binary.txt").write_bytes(b"\xff\xfe\x00")
    source = source.format(folder=tmp_path)
    with pytest.raises(SourceError, match=problem) as refused:
        list_archive(source)
    assert str(refused.value).startswith(source)
    assert "\n" not in str(refused.value)
