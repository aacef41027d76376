"""What an audit finds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

UNREADABLE, PROBLEM, NOTE = "unreadable", "problem", "note"
LEVELS = (UNREADABLE, PROBLEM, NOTE)


@dataclass(frozen=True, slots=True)
class Finding:
    """Something that was found.

    Attributes:
        level: `unreadable`, `problem` (it spoils a training or its metrics) or `note`.
        kind: A stable name for programs.
        sentence: What it means.
        cases: Where, one line each.
    """

    level: str
    kind: str
    sentence: str
    cases: tuple[str, ...]


def counted(cases: Sequence[object], one: str, several: str) -> str:
    """Returns the number of cases with the phrase for one or for several."""
    return f"{len(cases)} {one if len(cases) == 1 else several}"
