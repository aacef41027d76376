"""Writes a CSV table with one line per lesion or label."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from pathlib import Path

from acne_runtime.frame import Frame
from acne_runtime.result import Result
from acne_runtime.sinks.line_file import LineFile

COLUMNS = ("source", "frame", "time_s", "model", "class", "score", "present", "unsure", "x1", "y1", "x2", "y2", "track")


class CsvFile:
    """Writes `COLUMNS`; a frame without lesions has one line with an empty `class`."""

    def __init__(self, file: Path):
        """Prepares the table; the file is opened with the first result."""
        self._file = file
        self._lines: LineFile | None = None

    def write(self, frame: Frame, results: Sequence[Result]) -> None:
        """Writes the lines of one frame and flushes."""
        text = io.StringIO(newline="")
        table = csv.DictWriter(text, COLUMNS, lineterminator="\n")
        if self._lines is None:
            self._lines = LineFile(self._file)
            table.writeheader()
        for fields in (result.to_dict() for result in results):
            shared = {name: fields[name] for name in ("source", "frame", "time_s", "model")}
            for item in fields.get("lesions", fields.get("labels")) or [{}]:
                line = shared | {name: item[name] for name in ("class", "score", "present", "unsure") if name in item}
                line |= dict(zip(("x1", "y1", "x2", "y2"), item.get("box", ()), strict=False))
                table.writerow(line | {"track": item.get("track", {}).get("id")})
        self._lines.write(text.getvalue())

    def close(self) -> None:
        """Closes the file."""
        if self._lines is not None:
            self._lines.close()
