"""The report's sections about a multi-label model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from markupsafe import Markup
from numpy.typing import NDArray
from sklearn.metrics import precision_recall_curve

from acne_runtime.manifest import Manifest
from acne_runtime.result import Result
from acne_trainer.data.dataset import Sample
from acne_trainer.evaluation.error_analysis import Failure, multilabel_failures
from acne_trainer.metrics.calibration import BINS, reliability
from acne_trainer.metrics.catalog import CLASS_METRICS, METRICS, headline
from acne_trainer.metrics.confusion import argmax_confusion, class_outcomes
from acne_trainer.reports.charts import Axis, Series, chart
from acne_trainer.reports.render import section, shaded_table, table
from acne_trainer.reports.tables import cards, class_table, number, overall_table, with_interval_text

_MIN_IN_BIN = 5


def metric_sections(manifest: Manifest, metrics: Mapping[str, Any]) -> list[Markup]:
    """Returns what `metrics.json` alone tells."""
    model, baseline = metrics["model"], metrics["baseline"]
    names = ("precision", "recall", "f1")
    thresholds = [
        (
            class_name,
            number(threshold),
            *(with_interval_text(model, f"{name}_by_class", class_name) for name in names),
            number((baseline.get("f1_by_class") or {}).get(class_name)),
        )
        for class_name, threshold in zip(manifest.classes, manifest.thresholds, strict=True)
    ]
    return [
        cards(headline("multilabel"), model, baseline),
        section(
            "All metrics",
            (
                "The trivial baseline scores every photograph by the fraction of training photographs that show a "
                f"type, and predicts every type. Calibration error: {BINS} bins of equal width."
            ),
            overall_table(METRICS["multilabel"], model, baseline),
            class_table(CLASS_METRICS["multilabel"], manifest.classes, model, baseline),
        ),
        section(
            "Thresholds",
            "Chosen for the highest F1 on the validation photographs; what they give here.",
            table(("type", "threshold", "precision", "recall", "F1", "baseline F1"), thresholds),
        ),
    ]


def prediction_sections(
    manifest: Manifest, samples: Sequence[Sample], results: Sequence[Result], metrics: Mapping[str, Any]
) -> tuple[list[Markup], dict[str, list[Failure]]]:
    """Returns what the predictions tell, and the failures among them."""
    classes = manifest.classes
    truth = np.stack([sample.presence(len(classes)) for sample in samples])
    scores = np.array([[label.score for label in result.labels or ()] for result in results], np.float32)
    predicted = np.array([[label.present for label in result.labels or ()] for result in results])
    outcomes = class_outcomes(truth, predicted)
    parts = [
        section(
            "Precision and recall",
            "Of photographs, from a falling score on; the dot is the model's threshold.",
            _precision_recall(truth, scores, predicted, classes, metrics["model"]),
        ),
        section(
            "Confusion",
            shaded_table(
                ("type", "true positive", "false negative", "false positive", "true negative"),
                classes,
                outcomes.tolist(),
                "photographs by type, at the thresholds",
            ),
            shaded_table(
                ("first ground truth type", *classes),
                classes,
                argmax_confusion(truth, scores).tolist(),
                "photographs by highest score (columns), as the argmax agreement sees them",
            ),
        ),
        section(
            "Calibration",
            (f"{BINS} bins of equal width; those that hold fewer than {_MIN_IN_BIN} photographs are left out."),
            _calibration(truth, scores, classes),
        ),
    ]
    return parts, multilabel_failures(truth, scores, predicted, classes)


def _precision_recall(
    truth: NDArray[np.float32],
    scores: NDArray[np.float32],
    predicted: NDArray[np.bool_],
    classes: tuple[str, ...],
    model: Mapping[str, Any],
) -> Markup:
    series = []
    for index, class_name in enumerate(classes):
        shown = truth[:, index] > 0
        if not shown.any():
            continue
        precision, recall, _ = precision_recall_curve(shown, scores[:, index])
        name = f"{class_name}, AP {number(model['ap_by_class'].get(class_name))} (baseline {shown.mean():.3f})"
        series.append(Series(name, list(zip(recall.tolist(), precision.tolist(), strict=True)), index))
        tp = int((predicted[:, index] & shown).sum())
        if predicted[:, index].any():
            dot = tp / int(shown.sum()), tp / int(predicted[:, index].sum())
            series.append(Series("", [dot], index, line=False, dots=True))
    return chart("Each type", series, Axis("recall", 0, 1), Axis("precision", 0, 1))


def _calibration(truth: NDArray[np.float32], scores: NDArray[np.float32], classes: tuple[str, ...]) -> Markup:
    series = [
        Series(
            class_name,
            [(x, y) for x, y, count in reliability(truth[:, index], scores[:, index]) if count >= _MIN_IN_BIN],
            index,
            dots=True,
        )
        for index, class_name in enumerate(classes)
    ]
    axes = Axis("mean score of a bin", 0, 1), Axis("fraction of photographs that show the type", 0, 1)
    return chart("On the line, scores are probabilities", series, *axes, diagonal=True)
