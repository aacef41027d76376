"""Verifies a store, and erases a subject so that nothing of it is left in the store's files."""

from __future__ import annotations

import hashlib

from acne_monitor.store.photographs import decode_jpeg
from acne_monitor.store.store import FIRST_HASH, Store, StoreError, audit_hash
from acne_runtime.errors import SourceError

_TRACE = 16
"""Bytes of an erased photograph that must not be found in any file."""


def verify(store: Store) -> list[str]:
    """Returns what is wrong with a store, a line each; empty if nothing is."""
    problems = [f"database: {row[0]}" for row in store.all("PRAGMA integrity_check") if row[0] != "ok"]
    problems += [
        f"table {row[0]}, row {row[1]}: refers to a row of {row[2]} that is gone"
        for row in store.all("PRAGMA foreign_key_check")
    ]
    for photo in store.all("SELECT id, jpeg, sha256 FROM photo"):
        if hashlib.sha256(photo["jpeg"]).hexdigest() != photo["sha256"]:
            problems.append(f"photograph {photo['id']}: changed since it was added")
            continue
        try:
            decode_jpeg(photo["jpeg"])
        except SourceError as error:
            problems.append(f"photograph {photo['id']}: {error}")
    previous = FIRST_HASH
    for line in store.all("SELECT * FROM audit ORDER BY seq"):
        fields = tuple(line)[:-1]
        if line["prev_hash"] != previous or line["hash"] != audit_hash(*fields):
            problems.append(f"audit line {line['seq']}: it or the one before was changed or removed")
        previous = line["hash"]
    problems += [
        f"lesion {row['id']}: was never observed"
        for row in store.all("SELECT id FROM lesion WHERE id NOT IN (SELECT lesion FROM observation)")
    ]
    mode = store.folder.stat().st_mode & 0o777
    if mode & 0o077:
        problems.append(f"{store.folder}: readable by others (mode {mode:o}); run: chmod 700 {store.folder}")
    return problems


def erase(store: Store, code: str, by: str | None = None) -> dict[str, int]:
    """Removes a subject with everything that belongs to it, and looks for traces in the store's files.

    Args:
        store: The store.
        code: The subject's code.
        by: Who erases it, for the audit trail.

    Returns:
        How many rows of each table went, as the audit trail says.

    Raises:
        StoreError: There is no such subject, or traces are left; another process may be reading the store.
    """
    subject = store.one("SELECT id FROM subject WHERE code = ?", code)
    if subject is None:
        raise StoreError(f"{store.folder}: no subject {code!r}")
    traces = [code.encode()] if len(code) >= _TRACE else []
    for photo in store.all(
        "SELECT jpeg, sha256 FROM photo JOIN visit ON visit.id = photo.visit WHERE subject = ?", subject["id"]
    ):
        middle = len(photo["jpeg"]) // 2
        traces += [photo["sha256"].encode(), photo["jpeg"][middle : middle + _TRACE], photo["jpeg"][-_TRACE - 2 : -2]]
    counts = {}
    with store.transaction() as audit:
        before = _row_counts(store)
        store.database.execute("DELETE FROM subject WHERE id = ?", (subject["id"],))
        counts = {
            table: rows - after
            for (table, rows), after in zip(before.items(), _row_counts(store).values(), strict=True)
        }
        counts = {table: rows for table, rows in counts.items() if rows}
        audit("erase", " ".join(f"{table}:{rows}" for table, rows in counts.items()), by)
    compact(store)
    left = find_traces(store, traces)
    if left:
        raise StoreError(
            f"{', '.join(left)}: still holds bytes of the erased photographs, though their rows are gone; close "
            "what else reads the store, then run: acne-monitor verify"
        )
    return counts


def compact(store: Store) -> None:
    """Empties the write-ahead log and rewrites the file, so that nothing deleted is left in either.

    Raises:
        StoreError: Another process keeps the log in use.
    """
    store.database.execute("VACUUM")
    busy, *_ = store.database.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
    if busy:
        raise StoreError(f"{store.folder}: in use by another process; close it and run the command again")


def find_traces(store: Store, traces: list[bytes]) -> list[str]:
    """Returns the names of the store's files that hold one of some byte strings."""
    return [
        file.name
        for file in sorted(store.folder.iterdir())
        if file.is_file() and any(trace in data for data in [file.read_bytes()] for trace in traces)
    ]


def _row_counts(store: Store) -> dict[str, int]:
    tables = (
        "subject",
        "consent",
        "visit",
        "photo",
        "run",
        "detection",
        "lesion",
        "observation",
        "treatment",
        "assessment",
    )
    return {table: int(store.all(f"SELECT COUNT(*) FROM {table}")[0][0]) for table in tables}
