"""What every sink offers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from acne_runtime.frame import Frame
from acne_runtime.result import Result


class Sink(Protocol):
    """Takes the results of each frame, one a model; `close` finishes what it writes."""

    def write(self, frame: Frame, results: Sequence[Result]) -> None:
        """Takes the results of one frame."""
        ...

    def close(self) -> None:
        """Finishes; nothing is written after it."""
        ...
