"""Metrics of yes-or-no predictions: precision, recall and F1 from counts, AP and AUROC from scores.

AP and AUROC are computed for many resamples at once: each costs one pass over the ranking.
"""

from __future__ import annotations

from typing import Any

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


def average_precisions(
    truth: NDArray[np.floating[Any]], scores: NDArray[np.floating[Any]], weights: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Returns average precision, the sum of precision times step of recall (as scikit-learn's), of each resample.

    Args:
        truth: `[n]`, 0 or 1.
        scores: `[n]`; equal ones are one step.
        weights: `[resamples, n]`, how often each stands in each resample.

    Returns:
        `[resamples]`, `nan` where nothing is true.
    """
    predicted, tp = _predicted_and_tp(truth, scores, weights)
    gained = np.diff(tp, axis=1, prepend=0)
    total = np.divide(gained * tp, predicted, out=np.zeros_like(predicted), where=predicted > 0).sum(axis=1)
    return _fraction(total, tp[:, -1], np.nan)


def aurocs(
    truth: NDArray[np.floating[Any]], scores: NDArray[np.floating[Any]], weights: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Returns the area under the ROC curve (trapezoids) of each resample, `nan` where all or nothing is true.

    Args and result as for `average_precisions`.
    """
    predicted, tp = _predicted_and_tp(truth, scores, weights)
    fp = predicted - tp
    heights = tp - np.diff(tp, axis=1, prepend=0) / 2
    area = (heights * np.diff(fp, axis=1, prepend=0)).sum(axis=1)
    return _fraction(area, tp[:, -1] * fp[:, -1], np.nan)


def _predicted_and_tp(
    truth: NDArray[np.floating[Any]], scores: NDArray[np.floating[Any]], weights: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Returns `[resamples, steps]`: how many reach each distinct score, best first, and how many of them are true."""
    order = np.argsort(-scores, kind="stable")
    steps = np.flatnonzero(np.diff(scores[order], append=-np.inf))
    ranked = weights[:, order]
    return np.cumsum(ranked, axis=1)[:, steps], np.cumsum(ranked * truth[order], axis=1)[:, steps]


def _fraction(part: NDArray[np.float64], whole: NDArray[np.float64], otherwise: float) -> NDArray[np.float64]:
    result: NDArray[np.float64] = np.full(np.shape(whole), otherwise)
    return np.divide(part, whole, out=result, where=whole > 0)
