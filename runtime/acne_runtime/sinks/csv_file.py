"""A table: one line a lesion or label, for spreadsheets."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from pathlib import Path

from acne_runtime.frame import Frame
from acne_runtime.result import Result
from acne_runtime.sinks.line_file import LineFile

COLUMNS = ("source", "frame", "time_s", "model", "class", "score", "present", "unsure", "x1", "y1", "x2", "y2")


class CsvFile:
    """Writes `COLUMNS`; a frame without lesions has one line whose `class` is empty, so that it is not lost."""

    def __init__(self, file: Path):
        """Remembers where to write; nothing is opened before there is a result to write."""
        self._file = file
        self._lines: LineFile | None = None

    def write(self, frame: Frame, results: Sequence[Result]) -> None:
        """Writes the lines of one frame and hands them on at once."""
        text = io.StringIO(newline="")
        table = csv.DictWriter(text, COLUMNS, lineterminator="\n")
        if self._lines is None:
            self._lines = LineFile(self._file)
            table.writeheader()
        for answer in (result.to_dict() for result in results):
            where = {name: answer[name] for name in ("source", "frame", "time_s", "model")}
            for one in answer.get("lesions", answer.get("labels")) or [{}]:
                line = where | {name: one[name] for name in ("class", "score", "present", "unsure") if name in one}
                table.writerow(line | dict(zip(("x1", "y1", "x2", "y2"), one.get("box", ()), strict=False)))
        self._lines.write(text.getvalue())

    def close(self) -> None:
        """Closes the file."""
        if self._lines is not None:
            self._lines.close()
