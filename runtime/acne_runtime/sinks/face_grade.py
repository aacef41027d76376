"""The grade of a face, after the last photograph of its regions."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from acne_runtime.frame import Frame
from acne_runtime.predictors.face_severity import FaceSeverity
from acne_runtime.result import SCHEMA, Result
from acne_runtime.sinks.base import Sink
from acne_runtime.sinks.json_lines import JsonLines


class FaceGrade(Sink):
    """Says the grade once all photographs were counted, and never of some of them."""

    def __init__(self, face: FaceSeverity, expected: int, lines: JsonLines | None, say: Callable[[str], None] | None):
        """Prepares it.

        Args:
            face: Has counted each photograph before it comes here.
            expected: Number of photographs.
            lines: Gets the grade as its last line, if it is there.
            say: Gets it as text, if it is there.
        """
        self._face, self._expected, self._lines, self._say = face, expected, lines, say

    def write(self, frame: Frame, results: Sequence[Result]) -> None:
        """Says the grade after the last photograph."""
        self._expected -= 1
        if self._expected:
            return
        if self._lines is not None:
            self._lines.write_objects([{"schema": SCHEMA, **self._face.to_dict()}])
        if self._say is not None:
            self._say(str(self._face))

    def close(self) -> None:
        """Does nothing."""
