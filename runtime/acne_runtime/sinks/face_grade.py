"""The grade of a face, after the last photograph of its regions."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from acne_runtime.frame import Frame
from acne_runtime.predictors.face_severity import FaceSeverity
from acne_runtime.result import SCHEMA, Result
from acne_runtime.sinks.base import Sink
from acne_runtime.sinks.json_lines import JsonLines


class FaceGrade(Sink):
    """Reports the grade once all photographs are counted, never a partial one."""

    def __init__(self, face: FaceSeverity, expected: int, lines: JsonLines | None, echo: Callable[[str], None] | None):
        """Prepares it.

        Args:
            face: Has counted each photograph before it comes here.
            expected: Number of photographs.
            lines: Gets the grade as its last line; `None` without JSON output.
            echo: Prints it as text; `None` with `--quiet`.
        """
        self._face, self._expected, self._lines, self._echo = face, expected, lines, echo

    def write(self, frame: Frame, results: Sequence[Result]) -> None:
        """Reports the grade after the last photograph."""
        self._expected -= 1
        if self._expected:
            return
        if self._lines is not None:
            self._lines.write_objects([{"schema": SCHEMA, **self._face.to_dict()}])
        if self._echo is not None:
            self._echo(str(self._face))

    def close(self) -> None:
        """Does nothing."""
