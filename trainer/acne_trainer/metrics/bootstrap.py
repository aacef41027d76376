"""95 % intervals: Wilson's for proportions, a bootstrap over source photographs for everything else."""

from __future__ import annotations

import warnings
from collections.abc import Hashable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.stats import binomtest

RESAMPLES = 1000
"""Resamples of every bootstrap here."""

_SEED = 0


def resample_weights(groups: Sequence[Hashable], count: int = RESAMPLES) -> NDArray[np.float64]:
    """Resamples whole groups with replacement (Efron and Tibshirani 1993, chapter 8).

    Args:
        groups: The group of each image, such as its source photograph: what is not independent of each other.
        count: Number of resamples.

    Returns:
        `[count, len(groups)]`, how often each image stands in each resample. The same groups give the same resamples.
    """
    order = {group: index for index, group in enumerate(dict.fromkeys(groups))}
    member = [order[group] for group in groups]
    resampled = np.random.default_rng(_SEED).integers(len(order), size=(count, len(order)))
    times = np.stack([np.bincount(row, minlength=len(order)) for row in resampled])
    return times[:, member].astype(np.float64)


def nanmean(values: NDArray[np.floating[Any]], axis: int | None = None) -> Any:
    """Returns `np.nanmean`, and `nan` without its warning where every value is `nan`."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)
        return np.nanmean(values, axis=axis, dtype=np.float64)


def weighted_means(values: NDArray[np.floating[Any]], weights: NDArray[np.float64]) -> NDArray[np.float64]:
    """Returns the mean of the values in each resample, `[..., resamples]`, `nan` where it holds none of them.

    Args:
        values: `[..., photographs]`.
        weights: `[resamples, photographs]`.
    """
    with np.errstate(invalid="ignore"):
        means: NDArray[np.float64] = values @ weights.T / weights.sum(axis=1)
    return means


def percentile_interval(values: NDArray[np.float64]) -> list[float]:
    """Returns the 2.5 % and 97.5 % percentiles of a metric's resamples, `nan` where none of them has it."""
    known = values[~np.isnan(values)]
    return [float("nan")] * 2 if not known.size else [float(value) for value in np.percentile(known, [2.5, 97.5])]


def wilson_interval(successes: int, trials: int) -> list[float]:
    """Returns Wilson's 95 % score interval of a proportion (Wilson 1927), `nan` without a trial."""
    if not trials:
        return [float("nan")] * 2
    interval = binomtest(successes, trials).proportion_ci(method="wilson")
    return [float(interval.low), float(interval.high)]


def with_interval(name: str, point: float, resampled: NDArray[np.float64]) -> dict[str, Any]:
    """Returns a metric under its name, and its interval from the resamples `[resamples]` under `NAME_interval_95`."""
    return {name: float(point), f"{name}_interval_95": percentile_interval(resampled)}


def with_intervals(
    name: str, keys: Sequence[str], points: NDArray[np.float64], resampled: NDArray[np.float64]
) -> dict[str, Any]:
    """Returns metrics by key, as `with_interval`.

    Args:
        name: Of the metrics.
        keys: Such as class names.
        points: `[keys]`.
        resampled: `[keys, resamples]`.
    """
    return {
        name: dict(zip(keys, points.tolist(), strict=True)),
        f"{name}_interval_95": dict(zip(keys, map(percentile_interval, resampled), strict=True)),
    }
