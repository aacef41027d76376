"""How well a detector finds and counts lesions, whatever their type, with measures for small, loosely drawn boxes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.stats import spearmanr

from acne_trainer.metrics.bootstrap import percentile_interval, with_interval
from acne_trainer.metrics.calibration import calibration_errors, reliability
from acne_trainer.metrics.classification import f1, precision, recall
from acne_trainer.metrics.matching import Criterion, average_precisions, match, match_and_rank
from acne_trainer.metrics.scored_image import ScoredImage

DECISION_IOU = 0.3
"""The IoU at which decisions are judged: see `matching.Criterion` for why it is below one half."""
_FLOOR = 0.05
"""Scores below are left out of reliability: most boxes have them, and nobody sees them."""


def lesion_metrics(
    images: Sequence[ScoredImage],
    shown: Sequence[ScoredImage],
    counts: NDArray[np.float64],
    weights: NDArray[np.float64],
) -> dict[str, Any]:
    """Returns metrics of all types as one, each with its interval.

    Args:
        images: With lesions of one class.
        shown: The same with those predicted lesions only that reach the threshold.
        counts: `[images]`, predicted number of lesions.
        weights: `[resamples, images]`, from `bootstrap.resample_weights`.
    """
    gt_counts = np.array([len(image.gt_boxes) for image in images], np.float64)
    return {
        **_average_precision("ap30_one_class", images, 0.3, weights),
        **_average_precision("ap_centre_one_class", images, "centre", weights),
        **_decisions(shown, weights),
        **_rank_correlation(counts, gt_counts, weights),
        **_reliability(images, weights),
    }


def _average_precision(
    name: str, images: Sequence[ScoredImage], criterion: Criterion, weights: NDArray[np.float64]
) -> dict[str, Any]:
    ranked = match_and_rank(images, 0, criterion)
    once = np.ones((1, len(images)))
    return with_interval(name, float(average_precisions(ranked, once)[0]), average_precisions(ranked, weights))


def _decisions(shown: Sequence[ScoredImage], weights: NDArray[np.float64]) -> dict[str, Any]:
    """Returns precision, recall and F1 of the lesions that are shown, at IoU `DECISION_IOU`."""
    ranked = match_and_rank(shown, 0, DECISION_IOU)
    predicted = np.bincount(ranked.image_index, minlength=len(shown))
    tp = np.bincount(ranked.image_index[ranked.is_tp], minlength=len(shown))

    def shares(times: NDArray[np.float64]) -> list[NDArray[np.float64]]:
        p, t, gt = times @ predicted, times @ tp, times @ ranked.num_gt
        return [precision(p, t), recall(t, gt), f1(p, t, gt)]

    once, resampled = shares(np.ones((1, len(shown)))), shares(weights)
    metrics: dict[str, Any] = {}
    for name, point, spread in zip(("precision", "recall", "f1"), once, resampled, strict=True):
        metrics |= with_interval(f"{name}_one_class", float(point[0]), spread)
    return metrics


def _rank_correlation(
    counts: NDArray[np.float64], gt_counts: NDArray[np.float64], weights: NDArray[np.float64]
) -> dict[str, Any]:
    """Returns Spearman's rho of predicted and ground truth counts; `nan` where either is the same everywhere."""

    def rho(chosen: NDArray[np.int64]) -> float:
        a, b = counts[chosen], gt_counts[chosen]
        return float(spearmanr(a, b).statistic) if len(a) > 1 and np.ptp(a) and np.ptp(b) else float("nan")

    everyone = np.arange(len(counts))
    resampled = np.array([rho(np.repeat(everyone, row.astype(int))) for row in weights])
    return with_interval("count_rho", rho(everyone), resampled)


def _reliability(images: Sequence[ScoredImage], weights: NDArray[np.float64]) -> dict[str, Any]:
    """Returns how far scores are from the share of lesions among boxes of such scores."""
    ranked = match_and_rank(images, 0, DECISION_IOU)
    seen = ranked.scores >= _FLOOR
    truth, scores = ranked.is_tp[seen].astype(np.float64), ranked.scores[seen]
    if not len(scores):
        return {"calibration_error": float("nan"), "calibration_error_interval_95": [float("nan")] * 2}
    once = calibration_errors(truth, scores, np.ones((1, len(scores))))
    resampled = calibration_errors(truth, scores, weights[:, ranked.image_index[seen]])
    return {
        "calibration_error": float(once[0]),
        "calibration_error_interval_95": percentile_interval(resampled),
        "reliability": [
            [round(score, 4), round(share, 4), count] for score, share, count in reliability(truth, scores)
        ],
    }


def type_confusion(images: Sequence[ScoredImage], class_count: int) -> NDArray[np.int64]:
    """Counts matched lesions by ground truth type (rows) and predicted type (columns), at IoU `DECISION_IOU`.

    Args:
        images: With those predicted lesions only that are shown.
        class_count: The number of types; lesions of unknown type are not counted.

    Returns:
        `[class_count, class_count]`.
    """
    counts = np.zeros((class_count,) * 2, np.int64)
    for image in images:
        gt_index = match(image.gt_boxes, image.pred_boxes, DECISION_IOU)
        tp = np.flatnonzero(gt_index >= 0)
        gt_types, predicted_types = image.gt_classes[gt_index[tp]], image.pred_classes[tp]
        typed = gt_types < class_count
        np.add.at(counts, (gt_types[typed], predicted_types[typed]), 1)
    return counts


def type_agreement(images: Sequence[ScoredImage], class_count: int, weights: NDArray[np.float64]) -> dict[str, Any]:
    """Returns the fraction of matched lesions whose predicted type is the ground truth's, and the confusion."""
    tables = np.array([type_confusion([image], class_count) for image in images]).reshape(-1, class_count, class_count)
    matched, same = tables.sum(axis=(1, 2)), np.trace(tables, axis1=1, axis2=2)
    with np.errstate(invalid="ignore"):
        resampled = weights @ same / (weights @ matched)
        point = np.float64(same.sum()) / matched.sum() if matched.sum() else float("nan")
    return with_interval("type_agreement", float(point), resampled) | {"type_confusion": tables.sum(axis=0).tolist()}
