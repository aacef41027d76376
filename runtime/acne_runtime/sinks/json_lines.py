"""Writes JSON lines, one result per line."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from acne_runtime.errors import AcneEdgeError
from acne_runtime.frame import Frame
from acne_runtime.result import Result
from acne_runtime.sinks.line_file import LineFile


class JsonLines:
    """Writes `Result.to_dict()` as one line per frame and model, to a file or standard output."""

    def __init__(self, file: str, timing: bool = True):
        """Prepares the output; a file is opened with the first result.

        Args:
            file: A path, or `-` for standard output.
            timing: As for `Result.to_dict`.
        """
        self._file, self._timing = file, timing
        self._lines: LineFile | None = None

    def write(self, frame: Frame, results: Sequence[Result]) -> None:
        """Writes one line per model and flushes, so the file can be followed with `tail -f`."""
        self.write_objects([result.to_dict(self._timing) for result in results])

    def write_objects(self, objects: Sequence[Mapping[str, Any]]) -> None:
        """Writes one line per object, which may be something else than a result."""
        text = "".join(json.dumps(one, ensure_ascii=False) + "\n" for one in objects)
        if self._file == "-":
            if sys.stdout is None:  # closed by the parent process
                raise AcneEdgeError("there is no standard output to write JSON lines to; name a file")
            sys.stdout.flush()
            sys.stdout.buffer.write(text.encode("utf-8", "backslashreplace"))
            sys.stdout.buffer.flush()
            return
        if self._lines is None:
            self._lines = LineFile(Path(self._file))
        self._lines.write(text)

    def close(self) -> None:
        """Closes the file."""
        if self._lines is not None:
            self._lines.close()
