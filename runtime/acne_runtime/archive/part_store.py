"""The folder of results of an archive, on a disk or in an object store: one file a part, each written at once."""

from __future__ import annotations

import io
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from acne_runtime.archive.listing import is_url, open_file_system
from acne_runtime.atomic_write import write_atomically
from acne_runtime.errors import AcneEdgeError

Format = Literal["jsonl", "parquet"]

RUN_FILE = "run.json"
"""Says what the results are of; a run that goes on must be the same."""
RESULTS, FAILURES = "results", "failures"
STARTED = "started"
"""Holds a file for each part that is being processed; what is left of one whose process died."""


class PartStore:
    """Reads and writes the files of a folder of results.

    `results/part-00012.jsonl` stands for a finished part; `failures/part-00012.jsonl` is written before it.
    """

    def __init__(self, folder: str, format: Format):
        """Opens the folder.

        Args:
            folder: A local folder or the URL of one.
            format: What parts are written as.

        Raises:
            SourceError: The file system is not known or not installed.
        """
        self.folder, self._format = folder, format
        self._file_system: Any
        self._file_system, self._root = open_file_system(folder) if is_url(folder) else (None, folder)

    def read_run(self) -> dict[str, Any] | None:
        """Returns what `write_run` wrote, `None` for a new folder."""
        return self._read_json(RUN_FILE)

    def write_run(self, run: Mapping[str, Any]) -> None:
        """Writes what the results are of."""
        self._write(RUN_FILE, (json.dumps(run, indent=2) + "\n").encode())

    def finished_parts(self) -> set[int]:
        """Returns the numbers of the parts that are there."""
        if self._file_system is None:
            folder = Path(self._root) / RESULTS
            names = [file.name for file in folder.glob(f"part-*.{self._format}")] if folder.is_dir() else []
        else:
            self._file_system.invalidate_cache()
            folder_path = f"{self._root}/{RESULTS}"
            listed = self._file_system.ls(folder_path, detail=False) if self._file_system.exists(folder_path) else []
            names = [path.rpartition("/")[2] for path in listed if path.endswith(f".{self._format}")]
        return {int(name.removeprefix("part-").partition(".")[0]) for name in names}

    def write_part(self, number: int, results: Sequence[dict[str, Any]], failures: Sequence[dict[str, str]]) -> None:
        """Writes the results of a part, and its failures if there are any; written again, it is the same."""
        name = f"part-{number:07d}.{self._format}"
        if failures:
            self._write(f"{FAILURES}/{name}", self._encode(failures))
        self._write(f"{RESULTS}/{name}", self._encode(results if self._format == "jsonl" else list(map(_row, results))))

    def read_started(self, number: int) -> dict[str, Any] | None:
        """Returns what `write_started` wrote last of a part that was not finished; `None` for one not yet begun."""
        return self._read_json(_started(number))

    def write_started(self, number: int, state: Mapping[str, Any]) -> None:
        """Notes that a part is being processed, and how far it is."""
        self._write(_started(number), json.dumps(state).encode())

    def remove_started(self, number: int) -> None:
        """Removes the note of a part that is finished."""
        if self._file_system is None:
            (Path(self._root) / _started(number)).unlink(missing_ok=True)
        elif self._file_system.exists(path := f"{self._root}/{_started(number)}"):
            self._file_system.rm_file(path)

    def count_failures(self) -> int:
        """Returns how many photographs could not be read or used, in all parts that are there."""
        if self._file_system is None:
            contents = (file.read_bytes() for file in (Path(self._root) / FAILURES).glob(f"part-*.{self._format}"))
        else:
            self._file_system.invalidate_cache()
            folder = f"{self._root}/{FAILURES}"
            found = self._file_system.find(folder) if self._file_system.exists(folder) else []
            contents = (self._file_system.cat_file(path) for path in found)
        return sum(map(self._count_rows, contents))

    def _count_rows(self, content: bytes) -> int:
        if self._format == "jsonl":
            return content.count(b"\n")
        from pyarrow import parquet

        return int(parquet.ParquetFile(io.BytesIO(content)).metadata.num_rows)

    def _encode(self, rows: Sequence[Mapping[str, Any]]) -> bytes:
        if self._format == "jsonl":
            lines = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
            return lines.encode("utf-8", "backslashreplace")
        import pyarrow
        from pyarrow import parquet

        buffer = io.BytesIO()
        parquet.write_table(pyarrow.Table.from_pylist(list(rows)), buffer)
        return buffer.getvalue()

    def _read_json(self, name: str) -> dict[str, Any] | None:
        """Returns a JSON object; `None` if it is not there, an empty one if it is anything else."""
        if self._file_system is not None:
            path = f"{self._root}/{name}"
            content = self._file_system.cat_file(path) if self._file_system.exists(path) else None
        else:
            file = Path(self._root) / name
            content = file.read_bytes() if file.is_file() else None
        try:
            value = None if content is None else json.loads(content)
        except ValueError:
            value = {}
        return value if value is None or isinstance(value, dict) else {}

    def _write(self, name: str, content: bytes) -> None:
        try:
            if self._file_system is None:
                write_atomically(Path(self._root) / name, content)
            else:  # object stores show a file when all of it is there
                self._file_system.pipe_file(f"{self._root}/{name}", content)
        except OSError as error:
            raise AcneEdgeError(f"{self.folder}/{name}: {error.strerror or error}") from error


def _started(number: int) -> str:
    return f"{STARTED}/part-{number:07d}.json"


def _row(result: dict[str, Any]) -> dict[str, Any]:
    """Returns a row of a table: what one selects by, and the whole result as JSON."""
    counts = {f"count_{name}": count for name, count in result["counts"].items()}
    plain = {name: result[name] for name in ("source", "width", "height", "model")}
    return {**plain, **counts, "result": json.dumps(result, ensure_ascii=False)}
