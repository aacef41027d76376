import multiprocessing
import os
import random
import signal
import sqlite3
import stat
import subprocess
import sys
import time

import pytest
from support.visits import BOXES, SKIN, KnownLesions, add, new_store

from acne_monitor.store.checks import verify
from acne_monitor.store.schema import MIGRATIONS, TABLES, VERSION
from acne_monitor.store.store import FILE, Store, StoreError


def test_a_store_is_readable_by_its_owner_only(tmp_path):
    with new_store(tmp_path / "store") as store:
        assert stat.S_IMODE(store.folder.stat().st_mode) == 0o700
        assert {stat.S_IMODE(file.stat().st_mode) for file in store.folder.iterdir()} == {0o600}
        settings = [store.one(f"PRAGMA {name}")[0] for name in ("journal_mode", "foreign_keys", "secure_delete")]
        assert settings == ["wal", 1, 1]
    assert verify(Store(tmp_path / "store")) == []


def test_a_folder_with_something_in_it_and_no_store_are_refused(tmp_path):
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(StoreError, match="not empty; name a new folder"):
        Store.create(tmp_path)
    with pytest.raises(StoreError, match=r"no store; make one with: acne-monitor init"):
        Store(tmp_path)


def test_another_file_and_a_newer_store_are_refused(tmp_path):
    (tmp_path / FILE).write_bytes(b"not a database" * 100)
    with pytest.raises(StoreError, match="not a store, or damaged"):
        Store(tmp_path)
    new_store(tmp_path / "store").close()
    database = sqlite3.connect(tmp_path / "store" / FILE)
    database.execute(f"PRAGMA user_version = {VERSION + 1}")
    database.close()
    with pytest.raises(StoreError, match="newer acne-monitor"):
        Store(tmp_path / "store")


def test_an_older_store_is_brought_to_the_current_version(tmp_path, monkeypatch):
    with new_store(tmp_path / "store"):
        pass
    monkeypatch.setitem(MIGRATIONS, VERSION + 1, "ALTER TABLE visit ADD COLUMN weather TEXT;\n")
    monkeypatch.setattr("acne_monitor.store.store.VERSION", VERSION + 1)
    with Store(tmp_path / "store") as store:
        assert store.version == VERSION + 1
        assert "weather" in [row["name"] for row in store.all("PRAGMA table_info(visit)")]
        assert store.one("SELECT code FROM subject")["code"] == "S-01"


def test_a_failed_change_leaves_nothing(tmp_path):
    with new_store(tmp_path / "store") as store:
        before = [tuple(row) for row in store.all("SELECT * FROM audit")]
        with pytest.raises(ZeroDivisionError), store.transaction() as audit:
            store.insert("subject", code="S-02", created="")
            audit("subject", "half")
            raise ZeroDivisionError
        assert [row["code"] for row in store.all("SELECT code FROM subject")] == ["S-01"]
        assert [tuple(row) for row in store.all("SELECT * FROM audit")] == before


def test_what_another_process_added_meanwhile_is_no_traceback(tmp_path):
    with new_store(tmp_path / "store") as store:
        with pytest.raises(StoreError, match="another process added the same"), store.transaction() as audit:
            store.insert("subject", code="S-01", created="")
            audit("subject", "again")
        assert store.one("SELECT COUNT(*) FROM subject")[0] == 1


def test_a_full_disk_changes_nothing_and_is_said(tmp_path):
    with new_store(tmp_path / "store") as store:
        pages = store.one("PRAGMA page_count")[0]
        store.database.execute(f"PRAGMA max_page_count = {pages + 4}")  # SQLite's own "database or disk is full"
        with pytest.raises(StoreError, match=r"cannot be written to \(.*full.*\); nothing was changed"):
            add(store, KnownLesions(), 1, BOXES)
        assert store.one("SELECT COUNT(*) FROM visit")[0] == 0 and verify(store) == []


def test_every_change_is_audited(tmp_path):
    with new_store(tmp_path / "store") as store, pytest.raises(AssertionError), store.transaction():
        store.insert("subject", code="S-02", created="")


@pytest.mark.parametrize(
    "change",
    [
        "UPDATE audit SET what = 'nothing' WHERE seq = 2",
        "DELETE FROM audit WHERE seq = 2",
        "UPDATE photo SET jpeg = zeroblob(100)",
        "UPDATE photo SET sha256 = 'no'",
    ],
)
def test_a_change_behind_its_back_is_found(tmp_path, change):
    with new_store(tmp_path / "store") as store:
        add(store, KnownLesions(), 1, BOXES)
        assert verify(store) == []
        store.database.execute(change)
        assert len(verify(store)) >= 1


def test_a_folder_that_others_can_read_is_found(tmp_path):
    with new_store(tmp_path / "store") as store:
        store.folder.chmod(0o755)
        assert "readable by others" in verify(store)[0]


def test_tables_are_listed_after_those_they_refer_to(tmp_path):
    with new_store(tmp_path / "store") as store:
        rows = store.all("SELECT name FROM sqlite_master WHERE type = 'table'")
        assert sorted(TABLES) == sorted(row["name"] for row in rows)
        for place, table in enumerate(TABLES):
            referred = {row["table"] for row in store.all(f"PRAGMA foreign_key_list({table})")}
            assert referred <= set(TABLES[:place])


def _add_many(folder, code, count):
    with Store(folder) as store:
        detector = KnownLesions()
        for number in range(count):
            add(store, detector, 1, BOXES, image=SKIN[:128, :128].copy(), view=f"view {number}", code=code)


@pytest.mark.parametrize("count", [10, pytest.param(100, marks=pytest.mark.slow)])
def test_two_processes_add_at_once(tmp_path, count):
    new_store(tmp_path / "store", "S-01", "S-02").close()
    context = multiprocessing.get_context("spawn")
    workers = [context.Process(target=_add_many, args=(tmp_path / "store", f"S-0{number}", count)) for number in (1, 2)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(300)
    assert [worker.exitcode for worker in workers] == [0, 0]
    with Store(tmp_path / "store") as store:
        assert store.one("SELECT COUNT(*) FROM photo")[0] == 2 * count
        assert verify(store) == []


_ADDING = """
import sys
from support.visits import BOXES, SKIN, KnownLesions, add
from acne_monitor.store.store import Store
store = Store(__import__("pathlib").Path(sys.argv[1]))
detector, number = KnownLesions(), int(sys.argv[2])
print("ready", flush=True)
while True:
    number += 1
    add(store, detector, 1, BOXES, image=SKIN[:200, :200].copy(), view=f"view {number}")
"""


@pytest.mark.parametrize("kills", [5, pytest.param(25, marks=pytest.mark.slow)])
def test_a_kill_at_any_time_leaves_a_whole_store(tmp_path, kills):
    """What is written before the kill stays; nothing is half there."""
    new_store(tmp_path / "store").close()
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    chance = random.Random(0)
    photographs = 0
    for kill in range(kills):
        command = [sys.executable, "-c", _ADDING, str(tmp_path / "store"), str(kill * 10_000)]
        process = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE)
        assert process.stdout.readline() == b"ready\n"
        time.sleep(chance.uniform(0, 0.1))
        process.send_signal(signal.SIGKILL)
        process.wait()
        process.stdout.close()
        with Store(tmp_path / "store") as store:
            assert store.one("PRAGMA integrity_check")[0] == "ok"
            now = store.one("SELECT COUNT(*) FROM photo")[0]
            assert now >= photographs
            photographs = now
    with Store(tmp_path / "store") as store:
        assert verify(store) == [] and photographs >= kills / 5
        assert store.one("SELECT COUNT(*) FROM run")[0] == photographs
        assert store.one("SELECT COUNT(*) FROM observation")[0] == photographs * len(BOXES)
        assert {file.name for file in store.folder.iterdir()} <= {FILE, f"{FILE}-wal", f"{FILE}-shm"}
