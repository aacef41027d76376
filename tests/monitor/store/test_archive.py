import json
import zipfile

import pytest
from support.visits import BOXES, KnownLesions, add, new_store

from acne_monitor.store.archive import read_archive, write_archive
from acne_monitor.store.checks import verify
from acne_monitor.store.schema import TABLES
from acne_monitor.store.store import StoreError


def test_an_archive_gives_an_equal_store(tmp_path):
    with new_store(tmp_path / "store") as store:
        detector = KnownLesions()
        add(store, detector, 1, BOXES)
        add(store, detector, 8, BOXES[1:])
        write_archive(store, tmp_path / "all.zip")
        with read_archive(tmp_path / "all.zip", tmp_path / "again") as other:
            for table in TABLES[:-1]:
                assert [tuple(row) for row in other.all(f"SELECT * FROM {table}")] == [
                    tuple(row) for row in store.all(f"SELECT * FROM {table}")
                ]
            trail = [tuple(row) for row in other.all("SELECT * FROM audit ORDER BY seq")]
            assert trail[:-1] == [tuple(row) for row in store.all("SELECT * FROM audit ORDER BY seq")]
            assert trail[-1][3] == "import" and verify(other) == []
    assert (tmp_path / "all.zip").stat().st_mode & 0o077 == 0


def rewritten(source, target, change):
    with zipfile.ZipFile(source) as before, zipfile.ZipFile(target, "w") as after:
        for name in before.namelist():
            data = before.read(name)
            if name == "store.json":
                content = json.loads(data)
                change(content)
                data = json.dumps(content)
            after.writestr(name, data)


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        (lambda content: content.update(version=99), "newer acne-monitor"),
        (lambda content: content["tables"].pop("photo"), "no archive of acne-monitor"),
        (lambda content: content["tables"]["visit"].clear(), "damaged"),
        (lambda content: content["tables"]["visit"][0].update({"x) --": 1}), "unknown columns in visit"),
    ],
)
def test_other_archives_are_refused_and_leave_no_store(tmp_path, change, problem):
    with new_store(tmp_path / "store") as store:
        add(store, KnownLesions(), 1, BOXES)
        write_archive(store, tmp_path / "all.zip")
    rewritten(tmp_path / "all.zip", tmp_path / "bad.zip", change)
    with pytest.raises(StoreError, match=problem):
        read_archive(tmp_path / "bad.zip", tmp_path / "again")
    assert not (tmp_path / "again").exists()


def test_another_file_is_no_archive(tmp_path):
    (tmp_path / "a.zip").write_bytes(b"no zip")
    with pytest.raises(StoreError, match="no archive"):
        read_archive(tmp_path / "a.zip", tmp_path / "again")
