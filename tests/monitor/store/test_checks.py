import pytest
from support.visits import BOXES, SKIN, KnownLesions, add, new_store

from acne_monitor.store.checks import erase, find_traces, verify
from acne_monitor.store.photographs import encode_jpeg
from acne_monitor.store.store import Store, StoreError

CODE = "a-code-of-more-than-16-bytes"
TABLES = ("subject", "consent", "visit", "photo", "run", "detection", "lesion", "observation")


def snippets(data, step=97):
    """16-byte parts of a photograph from everywhere in it, but for those of JPEG tables that all share."""
    return [data[start : start + 16] for start in range(700, len(data) - 16, step)]


def test_an_erased_subject_leaves_no_trace(tmp_path):
    with new_store(tmp_path / "store", CODE, "S-02") as store:
        detector = KnownLesions()
        for day in (1, 8, 15):
            add(store, detector, day, BOXES, image=SKIN[::-1].copy(), code=CODE)
            add(store, detector, day, BOXES, code="S-02")
        others = {table: {tuple(row) for row in store.all(f"SELECT * FROM {table}")} for table in TABLES}
        photo = store.one(
            "SELECT jpeg, sha256 FROM photo JOIN visit ON visit.id = visit JOIN subject ON subject.id = subject "
            "WHERE code = ?",
            CODE,
        )
        traces = [
            *snippets(bytes(photo["jpeg"])),
            photo["sha256"].encode(),
            bytes.fromhex(photo["sha256"]),
            CODE.encode(),
        ]
        assert len(traces) > 300 and find_traces(store, traces)
        counts = erase(store, CODE, by="tester")
        assert counts == {
            "subject": 1,
            "consent": 1,
            "visit": 3,
            "photo": 3,
            "run": 3,
            "detection": 15,
            "lesion": 5,
            "observation": 15,
        }
        assert find_traces(store, traces) == []
        for table, rows in others.items():
            left = {tuple(row) for row in store.all(f"SELECT * FROM {table}")}
            assert left <= rows and len(rows) - len(left) == counts[table]
        line = store.all("SELECT * FROM audit ORDER BY seq")[-1]
        assert (line["action"], line["actor"]) == ("erase", "tester")
        assert line["what"] == "subject:1 consent:1 visit:3 photo:3 run:3 detection:15 lesion:5 observation:15"
        assert verify(store) == []
    assert find_traces(Store(tmp_path / "store"), traces) == []


def test_a_reader_that_keeps_the_log_is_named(tmp_path):
    with new_store(tmp_path / "store") as store, Store(tmp_path / "store") as reader:
        add(store, KnownLesions(), 1, BOXES)
        store.database.execute("PRAGMA busy_timeout = 200")
        reader.database.execute("BEGIN")
        reader.all("SELECT * FROM photo")
        with pytest.raises(StoreError, match="another process"):
            erase(store, "S-01")
        reader.database.execute("COMMIT")


def test_erasing_nobody(tmp_path):
    with new_store(tmp_path / "store") as store, pytest.raises(StoreError, match="no subject 'S-09'"):
        erase(store, "S-09")


def test_photographs_are_kept_without_metadata():
    jpeg = encode_jpeg(SKIN)
    assert b"Exif" not in jpeg and jpeg.startswith(b"\xff\xd8")
