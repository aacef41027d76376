"""Which of two lists of answers have no counterpart in the other."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TypeVar

Answer = TypeVar("Answer")


def unmatched(
    expected: Iterable[Answer], got: Iterable[Answer], alike: Callable[[Answer, Answer], bool]
) -> tuple[list[Answer], list[Answer]]:
    """Returns what of `expected` is missing in `got`, and what of `got` is new; each counts once."""
    missing, new = [], list(got)
    for one in expected:
        twin = next((place for place, other in enumerate(new) if alike(one, other)), None)
        if twin is None:
            missing.append(one)
        else:
            del new[twin]
    return missing, new
