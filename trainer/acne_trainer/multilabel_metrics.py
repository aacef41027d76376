"""How good a multi-label model is, with the constant predictor beside every figure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.stats import binomtest
from sklearn.metrics import average_precision_score, f1_score, log_loss, precision_recall_curve, roc_auc_score

from acne_trainer.thresholds import DEFAULT, best_f1_threshold


def choose_thresholds(truth: NDArray[np.float32], scores: NDArray[np.float32]) -> tuple[float, ...]:
    """Returns, for each class, the score at which F1 is highest.

    Args:
        truth: `[photographs, classes]`, 0 or 1.
        scores: `[photographs, classes]`, 0 to 1.
    """
    chosen = []
    for one in range(truth.shape[1]):
        if not truth[:, one].any():
            chosen.append(DEFAULT)
            continue
        precision, recall, thresholds = precision_recall_curve(truth[:, one], scores[:, one])
        chosen.append(best_f1_threshold(precision[:-1], recall[:-1], thresholds)[0])
    return tuple(chosen)


def multilabel_report(
    truth: NDArray[np.float32],
    scores: NDArray[np.float32],
    classes: tuple[str, ...],
    thresholds: Sequence[float],
    prevalence: NDArray[np.float32],
) -> dict[str, Any]:
    """Returns all figures of a multi-label model on one split, for `metrics.json`.

    Args:
        truth: `[photographs, classes]`, 0 or 1.
        scores: `[photographs, classes]`, 0 to 1.
        classes: Class names.
        thresholds: The decision threshold of each class.
        prevalence: `[classes]`, how often each class stands on training photographs: the constant predictor's answer.
    """
    constant = np.broadcast_to(prevalence, scores.shape)
    always = (0.0,) * len(classes)  # the constant predictor's best F1: every class on every photograph
    return {
        "photographs": len(truth),
        "model": _figures(truth, scores, classes, thresholds),
        "constant_predictor": _figures(truth, constant, classes, always),
    }


def _figures(
    truth: NDArray[np.float32], scores: NDArray[np.float32], classes: tuple[str, ...], thresholds: Sequence[float]
) -> dict[str, Any]:
    said = scores >= np.asarray(thresholds, np.float32)
    # The paper's "accuracy": Keras' categorical_accuracy, the argmax of the truth against that of the scores.
    agree = int((truth.argmax(axis=1) == scores.argmax(axis=1)).sum())
    interval = binomtest(agree, len(truth)).proportion_ci(method="wilson")
    average = [float(average_precision_score(truth[:, i], scores[:, i])) for i in range(len(classes))]
    return {
        "loss": float(np.mean([log_loss(truth[:, i], scores[:, i], labels=[0, 1]) for i in range(len(classes))])),
        "argmax_agreement": agree / len(truth),
        "argmax_agreement_interval_95": [float(interval.low), float(interval.high)],
        "exact_match": float((said == truth).all(axis=1).mean()),
        "macro_f1": float(f1_score(truth, said, average="macro", zero_division=0)),
        "macro_ap": float(np.mean(average)),
        "macro_auroc": float(roc_auc_score(truth, scores, average="macro")),
        "f1_by_class": dict(
            zip(classes, map(float, f1_score(truth, said, average=None, zero_division=0)), strict=True)
        ),
        "ap_by_class": dict(zip(classes, average, strict=True)),
    }
