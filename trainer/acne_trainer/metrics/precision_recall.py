"""Precision, recall and F1 from the numbers of predicted positives, true positives and actual positives."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def precision(predicted: NDArray[np.float64], tp: NDArray[np.float64]) -> NDArray[np.float64]:
    """Returns the fraction of predicted positives that are true, 0 where nothing was predicted."""
    return _fraction(tp, predicted, 0.0)


def recall(tp: NDArray[np.float64], actual: NDArray[np.float64]) -> NDArray[np.float64]:
    """Returns the fraction of actual positives that were predicted, `nan` where there is none."""
    return _fraction(tp, actual, np.nan)


def f1(predicted: NDArray[np.float64], tp: NDArray[np.float64], actual: NDArray[np.float64]) -> NDArray[np.float64]:
    """Returns the harmonic mean of the two, `nan` where nothing is actually positive."""
    return np.where(actual > 0, _fraction(2 * tp, predicted + actual, 0.0), np.nan)


def _fraction(part: NDArray[np.float64], whole: NDArray[np.float64], otherwise: float) -> NDArray[np.float64]:
    result: NDArray[np.float64] = np.full(np.shape(whole), otherwise)
    return np.divide(part, whole, out=result, where=whole > 0)
