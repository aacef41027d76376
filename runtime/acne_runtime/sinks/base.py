"""The interface of a sink."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from acne_runtime.frame import Frame
from acne_runtime.result import Result


class Sink(Protocol):
    """Receives the results of each frame, one per model."""

    def write(self, frame: Frame, results: Sequence[Result]) -> None:
        """Receives the results of one frame, one per model."""
        ...

    def close(self) -> None:
        """Finishes the output; `write` is not called afterwards."""
        ...
