"""How well a detector finds and counts lesions, whatever their type, with measures for small, loosely drawn boxes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.stats import spearmanr

from acne_trainer.metrics.bootstrap import percentile_interval, with_interval
from acne_trainer.metrics.calibration import calibration_errors, reliability
from acne_trainer.metrics.matching import Overlap, average_precisions, match, rank
from acne_trainer.metrics.precision_recall import f1, precision, recall
from acne_trainer.metrics.scored_image import MarkedAndFound

AT_THRESHOLD = 0.3
"""The IoU at which decisions are judged: see `ranked_boxes.Overlap` for why it is below one half."""
_FLOOR = 0.05
"""Scores below are not looked at for reliability: they are most of all, and nobody sees them."""


def lesion_figures(
    photographs: Sequence[MarkedAndFound],
    shown: Sequence[MarkedAndFound],
    counts: NDArray[np.float64],
    weights: NDArray[np.float64],
) -> dict[str, Any]:
    """Returns figures of all types as one lesion, each with its interval.

    Args:
        photographs: With lesions of one class.
        shown: The same with those predicted lesions only that reach the threshold.
        counts: `[photographs]`, how many lesions are said to be there.
        weights: `[resamples, photographs]`, from `bootstrap.resample_weights`.
    """
    gt_counts = np.array([len(one.marked) for one in photographs], np.float64)
    return {
        **_average_precision("ap30_one_class", photographs, 0.3, weights),
        **_average_precision("ap_centre_one_class", photographs, "centre", weights),
        **_decisions(shown, weights),
        **_rank_correlation(counts, gt_counts, weights),
        **_reliability(photographs, weights),
    }


def _average_precision(
    name: str, photographs: Sequence[MarkedAndFound], overlap: Overlap, weights: NDArray[np.float64]
) -> dict[str, Any]:
    ranked = rank(photographs, 0, overlap)
    once = np.ones((1, len(photographs)))
    return with_interval(name, float(average_precisions(ranked, once)[0]), average_precisions(ranked, weights))


def _decisions(shown: Sequence[MarkedAndFound], weights: NDArray[np.float64]) -> dict[str, Any]:
    """Returns precision, recall and F1 of the lesions that are shown, at IoU `AT_THRESHOLD`."""
    ranked = rank(shown, 0, AT_THRESHOLD)
    predicted = np.bincount(ranked.photograph, minlength=len(shown))
    tp = np.bincount(ranked.photograph[ranked.right], minlength=len(shown))

    def shares(times: NDArray[np.float64]) -> list[NDArray[np.float64]]:
        p, t, gt = times @ predicted, times @ tp, times @ ranked.lesions
        return [precision(p, t), recall(t, gt), f1(p, t, gt)]

    once, drawn = shares(np.ones((1, len(shown)))), shares(weights)
    figures: dict[str, Any] = {}
    for name, point, resampled in zip(("precision", "recall", "f1"), once, drawn, strict=True):
        figures |= with_interval(f"{name}_one_class", float(point[0]), resampled)
    return figures


def _rank_correlation(
    counts: NDArray[np.float64], gt_counts: NDArray[np.float64], weights: NDArray[np.float64]
) -> dict[str, Any]:
    """Returns Spearman's rho of predicted and ground truth counts; `nan` where either is the same everywhere."""

    def rho(chosen: NDArray[np.int64]) -> float:
        a, b = counts[chosen], gt_counts[chosen]
        return float(spearmanr(a, b).statistic) if len(a) > 1 and np.ptp(a) and np.ptp(b) else float("nan")

    everyone = np.arange(len(counts))
    drawn = np.array([rho(np.repeat(everyone, row.astype(int))) for row in weights])
    return with_interval("count_rho", rho(everyone), drawn)


def _reliability(photographs: Sequence[MarkedAndFound], weights: NDArray[np.float64]) -> dict[str, Any]:
    """Returns how far scores are from the share of lesions among boxes of such scores."""
    ranked = rank(photographs, 0, AT_THRESHOLD)
    seen = ranked.scores >= _FLOOR
    truth, scores = ranked.right[seen].astype(np.float64), ranked.scores[seen]
    if not len(scores):
        return {"calibration_error": float("nan"), "calibration_error_interval_95": [float("nan")] * 2}
    once = calibration_errors(truth, scores, np.ones((1, len(scores))))
    drawn = calibration_errors(truth, scores, weights[:, ranked.photograph[seen]])
    return {
        "calibration_error": float(once[0]),
        "calibration_error_interval_95": percentile_interval(drawn),
        "reliability": [
            [round(score, 4), round(share, 4), count] for score, share, count in reliability(truth, scores)
        ],
    }


def type_confusion(photographs: Sequence[MarkedAndFound], class_count: int) -> NDArray[np.int64]:
    """Counts matched lesions by ground truth type (rows) and predicted type (columns), at IoU `AT_THRESHOLD`.

    Args:
        photographs: With those predicted lesions only that are shown.
        class_count: The number of types; lesions of unknown type are not counted.

    Returns:
        `[class_count, class_count]`.
    """
    counts = np.zeros((class_count,) * 2, np.int64)
    for one in photographs:
        partner = match(one.marked, one.found, AT_THRESHOLD)
        matched = np.flatnonzero(partner >= 0)
        gt_types, predicted_types = one.marked_classes[partner[matched]], one.found_classes[matched]
        typed = gt_types < class_count
        np.add.at(counts, (gt_types[typed], predicted_types[typed]), 1)
    return counts


def type_agreement(
    photographs: Sequence[MarkedAndFound], class_count: int, weights: NDArray[np.float64]
) -> dict[str, Any]:
    """Returns the share of matched lesions whose predicted type is the ground truth's, and the confusion."""
    tables = np.array([type_confusion([one], class_count) for one in photographs]).reshape(-1, class_count, class_count)
    matched, same = tables.sum(axis=(1, 2)), np.trace(tables, axis1=1, axis2=2)
    with np.errstate(invalid="ignore"):
        drawn = weights @ same / (weights @ matched)
        point = np.float64(same.sum()) / matched.sum() if matched.sum() else float("nan")
    return with_interval("type_agreement", float(point), drawn) | {"type_confusion": tables.sum(axis=0).tolist()}
