"""A whole store, or one subject, as a ZIP file that any program can read, and back."""

from __future__ import annotations

import json
import sqlite3
import zipfile
from pathlib import Path
from typing import Any

from acne_monitor.store.schema import TABLES, VERSION
from acne_monitor.store.store import Store, StoreError
from acne_runtime.atomic_write import make_temporary

_ROWS = "store.json"


def write_archive(store: Store, file: Path) -> None:
    """Writes all rows as JSON, and the photographs next to them."""
    part = make_temporary(file)
    try:
        part.chmod(0o600)
        with zipfile.ZipFile(part, "w", zipfile.ZIP_DEFLATED) as archive:
            store.database.execute("BEGIN")  # one state, whatever other processes write
            try:
                tables = {table: [dict(row) for row in store.all(f"SELECT * FROM {table}")] for table in TABLES}
            finally:
                store.database.execute("COMMIT")
            for photo in tables["photo"]:
                archive.writestr(f"photographs/{photo['id']}.jpg", photo.pop("jpeg"), zipfile.ZIP_STORED)
            rows = {"version": VERSION, "tables": tables}
            archive.writestr(_ROWS, json.dumps(rows, ensure_ascii=False, indent=1))
        part.replace(file)
    except BaseException:
        part.unlink(missing_ok=True)
        raise


def read_archive(file: Path, folder: Path) -> Store:
    """Makes a store from an archive.

    Raises:
        StoreError: It is no archive of a store, or of a newer version.
    """
    try:
        with zipfile.ZipFile(file) as archive:
            content = json.loads(archive.read(_ROWS))
            if content["version"] > VERSION:
                raise StoreError(f"{file}: written by a newer acne-monitor; update this one")
            tables: dict[str, list[dict[str, Any]]] = content["tables"]
            for photo in tables["photo"]:
                photo["jpeg"] = archive.read(f"photographs/{photo['id']}.jpg")
    except (zipfile.BadZipFile, KeyError, ValueError, TypeError) as error:
        raise StoreError(f"{file}: no archive of acne-monitor, or damaged") from error
    store = Store.create(folder)
    try:
        with store.transaction() as audit:
            store.database.execute("DELETE FROM audit")  # the archive's own trail goes on
            for table in TABLES:
                _insert(store, file, table, tables[table])
            audit("import", f"photo:{len(tables['photo'])}")
    except BaseException as error:
        store.close()
        for left in folder.iterdir():
            left.unlink()
        folder.rmdir()
        if isinstance(error, sqlite3.Error | KeyError | TypeError):
            raise StoreError(f"{file}: no archive of acne-monitor, or damaged ({error})") from error
        raise
    return store


def _insert(store: Store, file: Path, table: str, rows: list[dict[str, Any]]) -> None:
    known = {row["name"] for row in store.all(f"PRAGMA table_info({table})")}
    for row in rows:
        if not row.keys() <= known:
            raise StoreError(f"{file}: unknown columns in {table}")
        columns, marks = ", ".join(row), ", ".join("?" * len(row))
        store.database.execute(f"INSERT INTO {table} ({columns}) VALUES ({marks})", list(row.values()))
