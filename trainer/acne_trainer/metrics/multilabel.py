"""The metrics of a multi-label model, and of its trivial baseline."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import precision_recall_curve

from acne_trainer.metrics.baselines import ConstantClassifier
from acne_trainer.metrics.bootstrap import (
    nanmean,
    resample_weights,
    weighted_means,
    wilson_interval,
    with_interval,
    with_intervals,
)
from acne_trainer.metrics.calibration import BINS, calibration_errors
from acne_trainer.metrics.classification import aurocs, average_precisions, f1, precision, recall
from acne_trainer.metrics.thresholds import DEFAULT, best_f1_threshold

_QUANTILES = np.linspace(0, 1, 201)
"""Of a class's scores, those that are tried as thresholds."""

_TINY = 1e-7
"""Least distance of a score from 0 and 1 in the loss: Keras' `epsilon`."""


def choose_thresholds(truth: NDArray[np.float32], scores: NDArray[np.float32]) -> tuple[float, ...]:
    """Returns, for each class, the score at which F1 is highest.

    Args:
        truth: `[images, classes]`, 0 or 1.
        scores: `[images, classes]`, 0 to 1.
    """
    chosen = []
    for index in range(truth.shape[1]):
        if not truth[:, index].any():
            chosen.append(DEFAULT)
            continue
        precisions, recalls, thresholds = precision_recall_curve(truth[:, index], scores[:, index])
        chosen.append(best_f1_threshold(precisions[:-1], recalls[:-1], thresholds)[0])
    return tuple(chosen)


def choose_thresholds_together(truth: NDArray[np.float32], scores: NDArray[np.float32]) -> tuple[float, ...]:
    """Returns the thresholds at which macro F1 and exact match, added, are highest.

    Thresholds of the best F1 alone predict too many classes on an image to be right about all of them. One class
    after the other moves to its best threshold, from the best F1 on, until none moves.

    Args:
        truth: `[images, classes]`, 0 or 1.
        scores: `[images, classes]`, 0 to 1.
    """
    chosen = list(choose_thresholds(truth, scores))
    shown = np.flatnonzero(truth.any(axis=0))
    present = truth > 0
    predicted = scores >= np.array(chosen, np.float32)

    def value() -> float:
        counts = predicted.sum(axis=0), (predicted & present).sum(axis=0), present.sum(axis=0)
        return float(nanmean(f1(*counts)[:, None], axis=0)[0] + (predicted == present).all(axis=1).mean())

    best, moved = value(), True
    while moved:
        moved = False
        for index in shown:
            for threshold in np.unique(np.quantile(scores[:, index], _QUANTILES, method="lower")):
                before = predicted[:, index].copy()
                predicted[:, index] = scores[:, index] >= threshold
                if (new := value()) > best:
                    best, chosen[index], moved = new, float(threshold), True
                else:
                    predicted[:, index] = before
    return tuple(chosen)


def multilabel_report(
    groups: Sequence[str],
    truth: NDArray[np.float32],
    scores: NDArray[np.float32],
    classes: tuple[str, ...],
    thresholds: Sequence[float],
    constant: ConstantClassifier,
) -> dict[str, Any]:
    """Returns all metrics of a multi-label model on one split, for `metrics.json`.

    Every metric comes with `..._interval_95`: Wilson's for the fraction of images with a correct prediction, and for
    precision and recall of a class; a bootstrap over source photographs for the rest. A class that no image shows has
    no metrics (`nan`) and does not count in the macro averages.

    Args:
        groups: The source photograph of each image: versions of one are resampled together.
        truth: `[images, classes]`, 0 or 1.
        scores: `[images, classes]`, 0 to 1.
        classes: Class names.
        thresholds: The decision threshold of each class.
        constant: The trivial baseline; its metrics stand under `baseline`.
    """
    weights = resample_weights(groups)
    always = (0.0,) * len(classes)  # thresholds that every score reaches
    baseline = _metrics(truth, np.broadcast_to(constant.prevalence, scores.shape), classes, always, weights)
    exact = int((truth == np.asarray(constant.commonest)).all(axis=1).sum())
    return {
        "images": len(truth),
        "calibration_bins": BINS,
        "model": _metrics(truth, scores, classes, thresholds, weights),
        "baseline": baseline | _fraction("exact_match", exact, len(truth)),
    }


def _metrics(
    truth: NDArray[np.float32],
    scores: NDArray[np.float32],
    classes: tuple[str, ...],
    thresholds: Sequence[float],
    weights: NDArray[np.float64],
) -> dict[str, Any]:
    predicted = scores >= np.asarray(thresholds, np.float32)
    # The paper's "accuracy": Keras' categorical_accuracy, the argmax of the truth against that of the scores.
    agree = int((truth.argmax(axis=1) == scores.argmax(axis=1)).sum())
    exact = int((predicted == truth).all(axis=1).sum())
    metrics = _fraction("argmax_agreement", agree, len(truth)) | _fraction("exact_match", exact, len(truth))
    once = _resampled(truth, scores, predicted, np.ones((1, len(truth))))
    for name, resampled in _resampled(truth, scores, predicted, weights).items():
        if resampled.ndim == 1:
            metrics |= with_interval(name, once[name][0], resampled)
        else:
            metrics |= with_intervals(name, classes, once[name][:, 0], resampled)
    tp = (predicted & (truth > 0)).sum(axis=0)
    for name, of in (("precision_by_class", predicted.sum(axis=0)), ("recall_by_class", truth.sum(axis=0))):
        metrics[f"{name}_interval_95"] = {
            name_of_class: wilson_interval(int(tp[index]), int(of[index]))
            for index, name_of_class in enumerate(classes)
        }
    return metrics | {"thresholds": dict(zip(classes, map(float, thresholds), strict=True))}


def _fraction(name: str, count: int, total: int) -> dict[str, Any]:
    return {name: count / total, f"{name}_interval_95": wilson_interval(count, total)}


def _resampled(
    truth: NDArray[np.float32], scores: NDArray[np.float32], predicted: NDArray[np.bool_], weights: NDArray[np.float64]
) -> dict[str, NDArray[np.float64]]:
    """Returns the metrics of each resample: `[resamples]` overall, `[classes, resamples]` by class."""
    likely = np.clip(scores.astype(np.float64), _TINY, 1 - _TINY)
    losses = -(truth * np.log(likely) + (1 - truth) * np.log1p(-likely))
    # [classes, resamples]: images on which a class was predicted, predicted correctly, and is.
    counted = (predicted.T @ weights.T, (predicted & (truth > 0)).T @ weights.T, truth.T @ weights.T)
    columns = range(truth.shape[1])
    pooled = truth.ravel(), scores.ravel(), np.repeat(weights, truth.shape[1], axis=1)
    by_class = {
        "precision": precision(counted[0], counted[1]),
        "recall": recall(counted[1], counted[2]),
        "f1": f1(*counted),
        "ap": np.array([average_precisions(truth[:, i], scores[:, i], weights) for i in columns]),
        "auroc": np.array([aurocs(truth[:, i], scores[:, i], weights) for i in columns]),
    }
    together = [part.sum(axis=0) for part in counted]
    micro = {
        "precision": precision(together[0], together[1]),
        "recall": recall(together[1], together[2]),
        "f1": f1(*together),
        "ap": average_precisions(*pooled),
        "auroc": aurocs(*pooled),
    }
    shown = counted[2] > 0
    return {
        "loss": weighted_means(losses.mean(axis=1), weights),
        **{f"macro_{name}": nanmean(np.where(shown, values, np.nan), axis=0) for name, values in by_class.items()},
        **{f"micro_{name}": values for name, values in micro.items()},
        **{f"{name}_by_class": values for name, values in by_class.items()},
        "calibration_error": calibration_errors(*pooled),
        "calibration_error_by_class": np.array(
            [calibration_errors(truth[:, i], scores[:, i], weights) for i in columns]
        ),
    }
