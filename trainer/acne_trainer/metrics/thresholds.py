"""The decision threshold of each class, chosen on validation photographs: where F1 is highest."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

DEFAULT = 0.25
"""For a class that the validation photographs do not show."""


def best_f1_threshold(
    precision: NDArray[np.float64], recall: NDArray[np.float64], scores: NDArray[np.float64]
) -> tuple[float, float]:
    """Returns the score at the best point of a precision-recall curve, and the F1 there.

    Args:
        precision: `[points]`, 0 to 1.
        recall: `[points]`, 0 to 1.
        scores: `[points]`, the least score that counts as found at each point.
    """
    total = precision + recall
    f1 = np.divide(2 * precision * recall, total, out=np.zeros_like(total), where=total > 0)
    best = int(f1.argmax()) if f1.size else 0
    if not f1.size or f1[best] == 0:
        return DEFAULT, 0.0
    return float(scores[best]), float(f1[best])


def match_positive_count(threshold: float, exact: NDArray[np.float64], reduced: NDArray[np.float64]) -> float:
    """Returns the threshold that as many scores of a reduced model reach as scores of its source reach its own.

    The reduced model then decides as its source did. A threshold chosen again would follow the noise of the photographs
    it is chosen on.

    Args:
        threshold: The source's.
        exact: `[n]`, the source's scores.
        reduced: `[m]`, the reduced model's, for the same photographs.
    """
    wanted = int((exact >= threshold).sum())
    descending = np.sort(reduced)[::-1]
    if not 0 < wanted < len(descending):
        return threshold
    # Halfway to the next score below; where several are equal, at whichever end of them is nearer to the number.
    steps = np.flatnonzero(np.diff(descending)) + 1
    if not len(steps):
        return threshold
    place = int(steps[np.abs(steps - wanted).argmin()])
    return float(descending[place - 1] + descending[place]) / 2
