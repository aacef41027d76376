import json

import pytest

pytest.importorskip("fsspec")

from acne_runtime.archive.part_store import PartStore
from acne_runtime.errors import AcneEdgeError, SourceError

RESULT = {"source": "ä.jpg", "width": 3, "height": 2, "model": "m", "lesions": [], "counts": {"papules": 2}}
FAILURE = {"source": "b.jpg", "error": "the file is empty"}
PLACES = pytest.mark.parametrize("place", ["local", "memory"])


@pytest.fixture
def folder(tmp_path, place, request):
    return str(tmp_path / "out") if place == "local" else f"memory://{request.node.name.replace('[', '-')[:-1]}"


@PLACES
@pytest.mark.parametrize("format", ["jsonl", "parquet"])
def test_a_part_is_there_when_it_is_written_and_written_again_is_the_same(folder, format):
    if format == "parquet":
        pytest.importorskip("pyarrow")
    store = PartStore(folder, format)
    assert store.finished_parts() == set()
    assert store.count_failures() == 0
    for number in (3, 0, 3):
        store.write_part(number, [RESULT, RESULT], [FAILURE] if number else [])
    assert PartStore(folder, format).finished_parts() == {0, 3}
    assert store.count_failures() == 1


def test_a_line_is_that_of_the_plain_command(tmp_path):
    PartStore(str(tmp_path), "jsonl").write_part(12, [RESULT], [FAILURE])
    (file,) = (tmp_path / "results").iterdir()
    assert file.name == "part-0000012.jsonl"
    assert file.read_text(encoding="utf-8") == json.dumps(RESULT, ensure_ascii=False) + "\n"
    (file,) = (tmp_path / "failures").iterdir()
    assert json.loads(file.read_text()) == FAILURE


def test_a_table_has_what_one_selects_by_and_the_whole_result(tmp_path):
    parquet = pytest.importorskip("pyarrow.parquet")
    PartStore(str(tmp_path), "parquet").write_part(0, [RESULT], [])
    (row,) = parquet.read_table(tmp_path / "results" / "part-0000000.parquet").to_pylist()
    assert json.loads(row.pop("result")) == RESULT
    assert row == {"source": "ä.jpg", "width": 3, "height": 2, "model": "m", "count_papules": 2}


@PLACES
def test_what_a_run_is_of_is_kept(folder):
    store = PartStore(folder, "jsonl")
    assert store.read_run() is None
    store.write_run({"photographs": 3})
    assert PartStore(folder, "jsonl").read_run() == {"photographs": 3}


@pytest.mark.parametrize("content", [b"", b"[1]", b"{", b"\xff"])
def test_a_damaged_run_file_is_of_no_run(tmp_path, content):
    (tmp_path / "run.json").write_bytes(content)
    assert PartStore(str(tmp_path), "jsonl").read_run() == {}


def test_a_folder_that_cannot_be_written_is_said(tmp_path):
    (tmp_path / "results").write_text("a file")
    with pytest.raises(AcneEdgeError, match="results"):
        PartStore(str(tmp_path), "jsonl").write_part(0, [RESULT], [])


def test_a_file_system_that_is_not_known_is_said():
    with pytest.raises(SourceError, match="nosuch"):
        PartStore("nosuch://x", "jsonl")
