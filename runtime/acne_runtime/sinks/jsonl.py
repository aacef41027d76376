"""JSON lines: one result a line."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TextIO

from acne_runtime.result import Result
from acne_runtime.sources.frame import Frame


class JsonLines:
    """Writes `Result.to_dict()` as one line a frame, to a file or to standard output."""

    def __init__(self, file: str):
        """Remembers where to write; nothing is opened before there is a result to write.

        Args:
            file: A path, or `-` for standard output.
        """
        self._file = file
        self._stream: TextIO | None = None

    def write(self, frame: Frame, result: Result) -> None:
        """Writes one line and hands it on at once, so that whoever follows the file sees it."""
        if self._stream is None:
            self._stream = sys.stdout if self._file == "-" else _open(Path(self._file))
        print(json.dumps(result.to_dict(), ensure_ascii=False), file=self._stream, flush=True)

    def close(self) -> None:
        """Closes the file."""
        if self._stream is not None and self._stream is not sys.stdout:
            self._stream.close()


def _open(file: Path) -> TextIO:
    file.parent.mkdir(parents=True, exist_ok=True)
    return file.open("w", encoding="utf-8")
