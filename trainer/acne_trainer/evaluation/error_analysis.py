"""Photographs worth looking at: where the most was missed, the most was false, or a wrong answer was surest."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from acne_trainer.metrics.confusion import OVERLAP
from acne_trainer.metrics.matching import match
from acne_trainer.metrics.scored_image import MarkedAndFound


@dataclass(frozen=True, slots=True)
class Failure:
    """One failure on one photograph.

    Attributes:
        photograph: Its index.
        size: How bad it is; failures of a kind are sorted by it.
        words: What went wrong.
    """

    photograph: int
    size: float
    words: str


def detection_failures(
    photographs: Sequence[MarkedAndFound], classes: tuple[str, ...], most: int = 8
) -> dict[str, list[Failure]]:
    """Returns failures by kind, the worst first. A box is right when it lies on a lesion of its own class.

    Args:
        photographs: With those found boxes only that are said.
        classes: Class names.
        most: How many of each kind.
    """
    missed, false, surest = [], [], []
    for number, one in enumerate(photographs):
        right = np.zeros(len(one.found), np.bool_)
        for index in range(len(classes)):
            found = np.flatnonzero(one.found_classes == index)
            right[found] = match(one.marked[one.marked_classes == index], one.found[found], OVERLAP) >= 0
        not_found, wrong = len(one.marked) - int(right.sum()), int((~right).sum())
        if not_found:
            missed.append(Failure(number, not_found, f"{not_found} of {len(one.marked)} marked lesions missed"))
        if wrong:
            false.append(Failure(number, wrong, f"{wrong} of {len(one.found)} boxes on no such lesion"))
        surest += [
            Failure(number, float(one.scores[box]), f"{classes[one.found_classes[box]]} at {one.scores[box]:.2f}")
            for box in np.flatnonzero(~right)
        ]
    return {
        "Most lesions missed": _worst(missed, most),
        "Most false boxes": _worst(false, most),
        "Surest false boxes": _worst(surest, most),
    }


def multilabel_failures(
    truth: NDArray[np.floating[Any]],
    scores: NDArray[np.floating[Any]],
    said: NDArray[np.bool_],
    classes: tuple[str, ...],
    most: int = 8,
) -> dict[str, list[Failure]]:
    """Returns failures by kind, the worst first.

    Args:
        truth: `[photographs, classes]`, 0 or 1.
        scores: `[photographs, classes]`, 0 to 1.
        said: `[photographs, classes]`, whether the score reaches the class's threshold.
        classes: Class names.
        most: How many of each kind.
    """
    there = truth > 0
    wrong = [
        Failure(number, int(count), f"{count} of {len(classes)} types answered wrongly")
        for number, count in enumerate((there != said).sum(axis=1))
        if count
    ]

    def each(cells: NDArray[np.bool_], sign: int) -> list[Failure]:
        return [
            Failure(number, sign * float(scores[number, index]), f"{classes[index]} at {scores[number, index]:.2f}")
            for number, index in np.argwhere(cells)
        ]

    return {
        "Most types wrong": _worst(wrong, most),
        "Surest of a type that is not there": _worst(each(said & ~there, 1), most),
        "Least sure of a type that is there": _worst(each(there & ~said, -1), most),
    }


def _worst(failures: list[Failure], most: int) -> list[Failure]:
    return sorted(failures, key=lambda one: -one.size)[:most]
