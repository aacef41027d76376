"""What a report says of a detector."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from acne_runtime.manifest import Manifest
from acne_runtime.result import Result
from acne_trainer.data.dataset import Sample
from acne_trainer.evaluation.error_analysis import Failure, detection_failures
from acne_trainer.evaluation.predictions import LEAST_SCORE
from acne_trainer.metrics.coco_eval import RECALLS
from acne_trainer.metrics.confusion import box_confusion
from acne_trainer.metrics.matching import precision_and_recall, rank
from acne_trainer.metrics.scored_image import MarkedAndFound, beside
from acne_trainer.reports.charts import Axis, Series, chart
from acne_trainer.reports.html import Html, element, paragraph, section, shaded_table, table
from acne_trainer.reports.tables import OVERALL, Figure, cards, class_table, figure_text, number, overall_table

_HEADLINE = (
    Figure("AP50", "ap50"),
    Figure("AP50, lesions as one class", "ap50_one_class"),
    Figure("F1 at the thresholds", "f1"),
    Figure("count error, lesions a photograph", "count_error", lower_is_better=True),
)
_BY_CLASS = (
    Figure("AP50", "ap50"),
    Figure("F1", "f1"),
    Figure("count error", "count_error", lower_is_better=True),
)


def figure_sections(manifest: Manifest, metrics: Mapping[str, Any]) -> list[Html]:
    """Returns what `metrics.json` alone tells."""
    # Metrics of 0.1.0 have the counting baseline only.
    constant = metrics.get("constant_predictor") or {"count_error": metrics.get("count_error_constant")}
    parts = [
        cards(_HEADLINE, metrics, constant),
        section(
            "All figures",
            paragraph(
                "A box is right where it overlaps a marked lesion by half (IoU 0.5). The constant predictor puts the "
                "same boxes, drawn from the training photographs, on every photograph, and counts their median."
            ),
            overall_table(OVERALL["detection"], metrics, constant),
            class_table(_BY_CLASS, manifest.classes, metrics, constant),
        ),
    ]
    if several := metrics.get("several_types"):
        parts.append(
            section(
                "Photographs with two or more types",
                paragraph(f"{metrics['photographs_several_types']} of {metrics['photographs']} photographs."),
                overall_table(OVERALL["detection"], several, constant.get("several_types") or {}),
            )
        )
    if "ap50_by_size" in metrics:
        rows = [
            (
                size,
                f"{lesions}",
                figure_text(metrics, "ap50_by_size", size),
                number((constant.get("ap50_by_size") or {}).get(size)),
            )
            for size, lesions in metrics["lesions_by_size"].items()
        ]
        parts.append(
            section(
                "By size",
                paragraph(
                    "The side (square root of the area) of the marked box, in pixels of the model's "
                    f"{manifest.input.width} x {manifest.input.height} input."
                ),
                table(("side", "lesions", "AP50 (95 % interval)", "constant"), rows),
            )
        )
    parts.append(section("Thresholds", _threshold_table(manifest, metrics)))
    return parts


def answer_sections(
    manifest: Manifest, samples: Sequence[Sample], results: Sequence[Result], metrics: Mapping[str, Any]
) -> tuple[list[Html], dict[str, list[Failure]]]:
    """Returns what the answers tell, and the failures among them."""
    classes = manifest.classes
    photographs = beside(samples, results, classes, manifest.input)
    limits = _limits(manifest)
    said = [one.reaching(limits) for one in photographs]
    confusion = box_confusion(said, len(classes))
    parts = [
        section(
            "Precision and recall",
            paragraph(
                "Of boxes from a falling score of the type on; the dot is what the model decides at its threshold. The "
                f"curves end where scores fall below {LEAST_SCORE:g}, from which predictions are kept."
            ),
            _precision_recall(photographs, manifest, metrics),
        ),
        section(
            "Confusion",
            paragraph("Boxes matched one to one, whatever their type; rows are what is marked, columns what was said."),
            shaded_table(
                ("marked", *classes, "missed"), (*classes, "nothing (false)"), confusion.tolist(), "boxes at IoU 0.5"
            ),
        ),
        section("Counts", _counts(said)),
    ]
    return parts, detection_failures(said, classes)


def _threshold_table(manifest: Manifest, metrics: Mapping[str, Any]) -> Html:
    names = ("precision", "recall", "f1")
    rows = [
        (one, number(threshold), *(figure_text(metrics, f"{name}_by_class", one) for name in names))
        for one, threshold in zip(manifest.classes, _limits(manifest).tolist(), strict=True)
    ]
    return element(
        "div",
        paragraph("Chosen for the highest F1 on the validation photographs; what they give here."),
        table(("type", "threshold", "precision", "recall", "F1"), rows),
    )


def _precision_recall(photographs: list[MarkedAndFound], manifest: Manifest, metrics: Mapping[str, Any]) -> Html:
    series, limits = [], _limits(manifest)
    ranking = [photograph.under_each_type() for photograph in photographs]
    for index, one in enumerate(manifest.classes):
        ranked = rank(ranking, index)
        if not ranked.lesions.any():
            continue
        precision, recall = precision_and_recall(ranked)
        best = np.maximum.accumulate(precision[::-1])[::-1]  # as average precision reads it
        reached = np.searchsorted(recall, RECALLS)
        inside = reached < len(recall)
        points = list(zip(RECALLS[inside].tolist(), best[reached[inside]].tolist(), strict=True))
        name = f"{one}, AP50 {number((metrics.get('ap50_by_class') or {}).get(one))}"
        series.append(Series(name, points, index))
        lesions = rank(photographs, index)  # a decision is made on a lesion, by its most probable type
        decided = int((lesions.scores >= limits[index]).sum())
        if decided:
            precision, recall = precision_and_recall(lesions)
            dot = (float(recall[decided - 1]), float(precision[decided - 1]))
            series.append(Series("", [dot], index, line=False, dots=True))
    return chart("Boxes at IoU 0.5", series, Axis("recall", 0, 1), Axis("precision", 0, 1))


def _limits(manifest: Manifest) -> NDArray[np.float64]:
    """Returns `[classes]`, the threshold that lesions of each class have to reach."""
    return np.broadcast_to(np.asarray(manifest.thresholds, np.float64), len(manifest.classes))


def _counts(said: list[MarkedAndFound]) -> Html:
    points = [(float(len(one.marked)), float(len(one.found))) for one in said]
    most = max((max(point) for point in points), default=1.0)
    axes = Axis.over("lesions marked", [most]), Axis.over("lesions found", [most])
    series = [Series("one photograph", points, 0, line=False, dots=True)]
    return chart("Lesions a photograph; on the line both counts are equal", series, *axes, diagonal=True)
