"""Precision, recall and F1 of decisions, from how many were said, right and true."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def precision(said: NDArray[np.float64], right: NDArray[np.float64]) -> NDArray[np.float64]:
    """Returns the share of what was said that is right, 0 where nothing was said."""
    return _share(right, said, 0.0)


def recall(right: NDArray[np.float64], true: NDArray[np.float64]) -> NDArray[np.float64]:
    """Returns the share of what is true that was said, `nan` where nothing is true."""
    return _share(right, true, np.nan)


def f1(said: NDArray[np.float64], right: NDArray[np.float64], true: NDArray[np.float64]) -> NDArray[np.float64]:
    """Returns the harmonic mean of the two, `nan` where nothing is true."""
    return np.where(true > 0, _share(2 * right, said + true, 0.0), np.nan)


def _share(part: NDArray[np.float64], whole: NDArray[np.float64], otherwise: float) -> NDArray[np.float64]:
    answer: NDArray[np.float64] = np.full(np.shape(whole), otherwise)
    return np.divide(part, whole, out=answer, where=whole > 0)
