"""What a report says of a multi-label model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import precision_recall_curve

from acne_runtime.manifest import Manifest
from acne_runtime.result import Result
from acne_trainer.data.dataset import Sample
from acne_trainer.evaluation.error_analysis import Failure, multilabel_failures
from acne_trainer.metrics.calibration import BINS, reliability
from acne_trainer.metrics.confusion import argmax_confusion, class_outcomes
from acne_trainer.reports.charts import Axis, Series, chart
from acne_trainer.reports.html import Html, paragraph, section, shaded_table, table
from acne_trainer.reports.tables import OVERALL, Figure, cards, class_table, figure_text, number, overall_table

_HEADLINE = (
    Figure("argmax agreement (the paper's accuracy)", "argmax_agreement"),
    Figure("exact match", "exact_match"),
    Figure("macro F1", "macro_f1"),
    Figure("macro AP", "macro_ap"),
    Figure("loss", "loss", lower_is_better=True),
)
_BY_CLASS = (
    Figure("AP", "ap"),
    Figure("AUROC", "auroc"),
    Figure("calibration error", "calibration_error", lower_is_better=True),
)

_LEAST_IN_BIN = 5


def figure_sections(manifest: Manifest, metrics: Mapping[str, Any]) -> list[Html]:
    """Returns what `metrics.json` alone tells."""
    model, constant = metrics["model"], metrics.get("constant_predictor") or {}
    names = ("precision", "recall", "f1")
    thresholds = [
        (
            one,
            number(threshold),
            *(figure_text(model, f"{name}_by_class", one) for name in names),
            number((constant.get("f1_by_class") or {}).get(one)),
        )
        for one, threshold in zip(manifest.classes, manifest.thresholds, strict=True)
    ]
    return [
        cards(_HEADLINE, model, constant),
        section(
            "All figures",
            paragraph(
                "The constant predictor answers each type's share of the training photographs, on every photograph; "
                f"where it has to decide, it says every type. Calibration error: {BINS} bins of equal width."
            ),
            overall_table(OVERALL["multilabel"], model, constant),
            class_table(_BY_CLASS, manifest.classes, model, constant),
        ),
        section(
            "Thresholds",
            paragraph("Chosen for the highest F1 on the validation photographs; what they give here."),
            table(("type", "threshold", "precision", "recall", "F1", "constant F1"), thresholds),
        ),
    ]


def answer_sections(
    manifest: Manifest, samples: Sequence[Sample], results: Sequence[Result], metrics: Mapping[str, Any]
) -> tuple[list[Html], dict[str, list[Failure]]]:
    """Returns what the answers tell, and the failures among them."""
    classes = manifest.classes
    truth = np.stack([sample.presence(len(classes)) for sample in samples])
    scores = np.array([[label.score for label in result.labels or ()] for result in results], np.float32)
    said = np.array([[label.present for label in result.labels or ()] for result in results])
    outcomes = class_outcomes(truth, said)
    parts = [
        section(
            "Precision and recall",
            paragraph("Of photographs, from a falling score on; the dot is the model's threshold."),
            _precision_recall(truth, scores, said, classes, metrics["model"]),
        ),
        section(
            "Confusion",
            shaded_table(
                ("type", "there, said", "there, not said", "not there, said", "neither"),
                classes,
                outcomes.tolist(),
                "photographs by type, at the thresholds",
            ),
            shaded_table(
                ("first type marked", *classes),
                classes,
                argmax_confusion(truth, scores).tolist(),
                "photographs by highest score (columns), as the argmax agreement sees them",
            ),
        ),
        section(
            "Calibration",
            paragraph(
                f"{BINS} bins of equal width; those that hold fewer than {_LEAST_IN_BIN} photographs are left out."
            ),
            _calibration(truth, scores, classes),
        ),
    ]
    return parts, multilabel_failures(truth, scores, said, classes)


def _precision_recall(
    truth: NDArray[np.float32],
    scores: NDArray[np.float32],
    said: NDArray[np.bool_],
    classes: tuple[str, ...],
    model: Mapping[str, Any],
) -> Html:
    series = []
    for index, one in enumerate(classes):
        there = truth[:, index] > 0
        if not there.any():
            continue
        precision, recall, _ = precision_recall_curve(there, scores[:, index])
        name = f"{one}, AP {number((model.get('ap_by_class') or {}).get(one))} (constant {there.mean():.3f})"
        series.append(Series(name, list(zip(recall.tolist(), precision.tolist(), strict=True)), index))
        right = int((said[:, index] & there).sum())
        if said[:, index].any():
            dot = right / int(there.sum()), right / int(said[:, index].sum())
            series.append(Series("", [dot], index, line=False, dots=True))
    return chart("Each type", series, Axis("recall", 0, 1), Axis("precision", 0, 1))


def _calibration(truth: NDArray[np.float32], scores: NDArray[np.float32], classes: tuple[str, ...]) -> Html:
    series = [
        Series(
            one,
            [(x, y) for x, y, count in reliability(truth[:, index], scores[:, index]) if count >= _LEAST_IN_BIN],
            index,
            dots=True,
        )
        for index, one in enumerate(classes)
    ]
    axes = Axis("mean score of a bin", 0, 1), Axis("share of photographs that show the type", 0, 1)
    return chart("On the line, scores are probabilities", series, *axes, diagonal=True)
