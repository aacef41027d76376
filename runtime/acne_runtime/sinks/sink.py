"""What every sink offers."""

from __future__ import annotations

from typing import Protocol

from acne_runtime.result import Result
from acne_runtime.sources.frame import Frame


class Sink(Protocol):
    """Takes the result of each frame; `close` finishes what it writes."""

    def write(self, frame: Frame, result: Result) -> None:
        """Takes one result."""
        ...

    def close(self) -> None:
        """Finishes; nothing is written after it."""
        ...
