"""Whether scores are probabilities: of all that got 0.7, seven in ten should be true."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

BINS = 10
"""Bins of equal width from 0 to 1."""


def calibration_errors(
    truth: NDArray[np.floating[Any]], scores: NDArray[np.floating[Any]], weights: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Returns the expected calibration error (Naeini et al. 2015) of each resample, 0 to 1; `nan` without any.

    That is the distance between mean score and share of true ones, averaged over `BINS` bins by how many lie in each.
    It leans upwards where bins hold few, and so does its bootstrap.

    Args:
        truth: `[n]`, 0 or 1.
        scores: `[n]`, 0 to 1.
        weights: `[resamples, n]`, how often each stands in each resample.
    """
    gaps = weights @ (_membership(scores) * (scores - truth)[:, None])
    with np.errstate(invalid="ignore"):
        errors: NDArray[np.float64] = np.abs(gaps).sum(axis=1) / weights.sum(axis=1)
    return errors


def reliability(truth: NDArray[np.floating[Any]], scores: NDArray[np.floating[Any]]) -> list[tuple[float, float, int]]:
    """Returns mean score, share of true ones and number of each bin that is not empty, in rising order."""
    membership = _membership(scores).astype(bool)
    return [
        (float(scores[chosen].mean()), float(truth[chosen].mean()), int(chosen.sum()))
        for chosen in membership.T
        if chosen.any()
    ]


def _membership(scores: NDArray[np.floating[Any]]) -> NDArray[np.float64]:
    """Returns `[n, BINS]`, 1 for the bin of each score."""
    return np.eye(BINS)[np.minimum((scores * BINS).astype(np.int64), BINS - 1)]
