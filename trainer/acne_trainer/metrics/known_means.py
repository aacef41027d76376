"""Means over those figures that exist: `nan` marks one that cannot be computed, such as the AP of a class not shown."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray


def known_mean(values: NDArray[np.floating[Any]]) -> float:
    """Returns the mean of all values that are not `nan`; `nan` where there is none."""
    return float(known_means(values.reshape(-1, 1))[0])


def known_means(values: NDArray[np.floating[Any]]) -> NDArray[np.float64]:
    """Returns the mean over the first axis of all values that are not `nan`; `nan` where there is none."""
    known = ~np.isnan(values)
    total = np.where(known, values, 0.0).sum(axis=0, dtype=np.float64)
    means: NDArray[np.float64] = np.full(total.shape, np.nan)
    np.divide(total, known.sum(axis=0), out=means, where=known.any(axis=0))
    return means
