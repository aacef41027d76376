"""Opens a store and writes to it, with an audit line for every change."""

from __future__ import annotations

import getpass
import hashlib
import json
import os
import sqlite3
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from acne_monitor.store.schema import MIGRATIONS, VERSION
from acne_runtime.errors import AcneEdgeError

FILE = "store.sqlite"
_BUSY_S = 30.0
"""Seconds to wait for another process that writes."""
FIRST_HASH = "0" * 64


class StoreError(AcneEdgeError):
    """A store is missing or damaged, or what is asked for is not in it."""


class Store:
    """An open store: a folder, readable by its owner only, with one SQLite file.

    Attributes:
        folder: Where it is.
        database: The connection; change rows within `transaction` only.
    """

    def __init__(self, folder: Path):
        """Opens a store, and brings an older one to the current version.

        Raises:
            StoreError: There is none, it is damaged, or a newer version of this program wrote it.
        """
        if not (folder / FILE).is_file():
            raise StoreError(f"{folder}: no store; make one with: acne-monitor init {folder}")
        self.folder = folder
        try:
            self.database = _connect(folder / FILE)
            version = self.version
            if version > VERSION:
                raise StoreError(f"{folder}: written by a newer acne-monitor (version {version}); update this one")
            _migrate(self.database, version)
        except sqlite3.DatabaseError as error:
            raise StoreError(f"{folder}: not a store, or damaged ({error}); restore a backup") from error

    @classmethod
    def create(cls, folder: Path) -> Store:
        """Makes an empty store.

        Raises:
            StoreError: There is something in the folder.
        """
        if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
            raise StoreError(f"{folder}: not empty; name a new folder")
        folder.mkdir(parents=True, exist_ok=True)
        folder.chmod(0o700)
        os.close(os.open(folder / FILE, os.O_CREAT | os.O_WRONLY, 0o600))
        store = cls(folder)
        with store.transaction() as audit:
            audit("init", f"version {VERSION}")
        return store

    def close(self) -> None:
        """Closes the file."""
        self.database.close()

    def __enter__(self) -> Store:
        """Returns the store."""
        return self

    def __exit__(self, *_: object) -> None:
        """Closes the file."""
        self.close()

    @property
    def version(self) -> int:
        """The version of its tables."""
        return int(self.database.execute("PRAGMA user_version").fetchone()[0])

    @contextmanager
    def transaction(self) -> Iterator[Audit]:
        """Writes all or nothing; other processes wait. Gives the audit trail, which takes at least one line."""
        audit = Audit(self.database)
        try:
            self.database.execute("BEGIN IMMEDIATE")
            yield audit
            assert audit.lines, "a change without an audit line"
            self.database.execute("COMMIT")
        except BaseException as error:
            if self.database.in_transaction:
                self.database.execute("ROLLBACK")
            if isinstance(error, sqlite3.OperationalError):  # locked for long, read-only, or the disk is full
                raise StoreError(f"{self.folder}: cannot be written to ({error}); nothing was changed") from error
            raise

    def one(self, sql: str, *values: Any) -> sqlite3.Row | None:
        """Returns the first row of a query."""
        rows = self.all(sql, *values)
        return rows[0] if rows else None

    def all(self, sql: str, *values: Any) -> list[sqlite3.Row]:
        """Returns all rows of a query."""
        try:
            return self.database.execute(sql, values).fetchall()
        except sqlite3.DatabaseError as error:
            raise StoreError(f"{self.folder}: damaged ({error}); restore a backup") from error

    def insert(self, table: str, **values: Any) -> str:
        """Inserts a row and returns its id, a new UUID where none is given; for use within `transaction`."""
        values = {"id": str(uuid.uuid4())} | values if table != "registration" else values
        columns = ", ".join(values)
        marks = ", ".join("?" * len(values))
        try:
            self.database.execute(f"INSERT INTO {table} ({columns}) VALUES ({marks})", list(values.values()))
        except sqlite3.IntegrityError as error:
            raise StoreError(f"{self.folder}: another process added the same; look at it and try again") from error
        return str(values.get("id", ""))


class Audit:
    """The audit trail within a transaction.

    Attributes:
        lines: Number of lines written.
    """

    def __init__(self, database: sqlite3.Connection):
        self._database = database
        self.lines = 0

    def __call__(self, action: str, what: str, by: str | None = None) -> None:
        """Appends a line.

        Args:
            action: One word, such as `add`.
            what: Ids and counts; nothing that erasing a subject has to remove.
            by: Who did it; by default the user of this computer.
        """
        last = self._database.execute("SELECT seq, hash FROM audit ORDER BY seq DESC LIMIT 1").fetchone()
        seq, previous = (last["seq"] + 1, last["hash"]) if last else (1, FIRST_HASH)
        fields = (seq, now(), by or _user(), action, what, previous)
        self._database.execute("INSERT INTO audit VALUES (?, ?, ?, ?, ?, ?, ?)", (*fields, audit_hash(*fields)))
        self.lines += 1


def audit_hash(*fields: Any) -> str:
    """Returns the hash of an audit line, which covers the hash of the line before."""
    return hashlib.sha256(json.dumps(fields, ensure_ascii=False).encode()).hexdigest()


def now() -> str:
    """Returns the time in UTC, to the second."""
    return datetime.now(timezone.utc).isoformat(timespec="seconds")


def _user() -> str:
    try:
        return getpass.getuser()
    except (OSError, KeyError):  # a user id without a name, as in containers
        return f"uid {os.getuid()}" if hasattr(os, "getuid") else "unknown"


def _connect(file: Path) -> sqlite3.Connection:
    database = sqlite3.connect(file, timeout=_BUSY_S, isolation_level=None, check_same_thread=False)
    database.row_factory = sqlite3.Row
    for pragma in (
        "journal_mode = WAL",
        "synchronous = FULL",
        "foreign_keys = ON",
        "secure_delete = ON",
        f"busy_timeout = {round(_BUSY_S * 1000)}",
    ):
        database.execute(f"PRAGMA {pragma}")
    return database


def _migrate(database: sqlite3.Connection, version: int) -> None:
    """Brings the tables to `VERSION`, each step whole or not at all."""
    for target in range(version + 1, VERSION + 1):
        database.execute("BEGIN IMMEDIATE")
        try:
            # Another process may have done it while this one waited.
            if database.execute("PRAGMA user_version").fetchone()[0] < target:
                for statement in MIGRATIONS[target].split(";\n"):
                    if statement.strip():
                        database.execute(statement)
                database.execute(f"PRAGMA user_version = {target}")
            database.execute("COMMIT")
        except BaseException:
            database.execute("ROLLBACK")
            raise
