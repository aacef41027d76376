"""The report's sections about a detector."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from markupsafe import Markup
from numpy.typing import NDArray

from acne_runtime.manifest import Manifest
from acne_runtime.result import Result
from acne_trainer.data.dataset import Sample
from acne_trainer.evaluation.error_analysis import Failure, detection_failures
from acne_trainer.evaluation.predictions import LEAST_SCORE
from acne_trainer.metrics.catalog import CLASS_METRICS, METRICS, headline
from acne_trainer.metrics.coco_eval import RECALLS
from acne_trainer.metrics.confusion import box_confusion
from acne_trainer.metrics.matching import match_and_rank, precision_recall
from acne_trainer.metrics.scored_image import ScoredImage, pair_with_ground_truth
from acne_trainer.reports.charts import Axis, Series, chart
from acne_trainer.reports.render import section, shaded_table, table
from acne_trainer.reports.tables import cards, class_table, number, overall_table, with_interval_text


def metric_sections(manifest: Manifest, metrics: Mapping[str, Any]) -> list[Markup]:
    """Returns what `metrics.json` alone tells."""
    model, baseline = metrics["model"], metrics["baseline"]
    by_size = baseline.get("ap50_by_size") or {}
    return [
        cards(headline("detection"), model, baseline),
        section(
            "All metrics",
            (
                "A box is a true positive where its IoU with a marked lesion reaches 0.5. The trivial baseline puts "
                "the same boxes, drawn from the training photographs, on every photograph, and counts their median."
            ),
            overall_table(METRICS["detection"], model, baseline),
            class_table(CLASS_METRICS["detection"], manifest.classes, model, baseline),
        ),
        section(
            "Photographs with two or more types",
            (f"{metrics['images_multi_class']} of {metrics['images']} photographs."),
            overall_table(METRICS["detection"], model["multi_class_images"], baseline["multi_class_images"]),
        ),
        section(
            "By size",
            (
                "The size (square root of the area) of the ground truth box, in pixels of the model's "
                f"{manifest.input.width} x {manifest.input.height} input."
            ),
            table(
                ("size", "lesions", "AP50 (95 % interval)", "baseline"),
                [
                    (size, f"{lesions}", with_interval_text(model, "ap50_by_size", size), number(by_size.get(size)))
                    for size, lesions in model["lesions_by_size"].items()
                ],
            ),
        ),
        _threshold_section(manifest, model),
    ]


def prediction_sections(
    manifest: Manifest, samples: Sequence[Sample], results: Sequence[Result], metrics: Mapping[str, Any]
) -> tuple[list[Markup], dict[str, list[Failure]]]:
    """Returns what the predictions tell, and the failures among them."""
    classes = manifest.classes
    images = pair_with_ground_truth(samples, results, classes, manifest.input)
    limits = _limits(manifest)
    shown = [image.reaching(limits) for image in images]
    confusion = box_confusion(shown, len(classes))
    parts = [
        section(
            "Precision and recall",
            (
                "Of boxes from a falling score of the type on; the dot is the model at its threshold. The "
                f"curves end where scores fall below {LEAST_SCORE:g}, from which predictions are kept."
            ),
            _precision_recall(images, manifest, metrics["model"]),
        ),
        section(
            "Confusion",
            "Boxes matched one to one, whatever their type; rows: ground truth, columns: predictions.",
            shaded_table(
                ("ground truth", *classes, "missed"),
                (*classes, "false positive"),
                confusion.tolist(),
                "boxes at IoU 0.5",
            ),
        ),
        section("Counts", _counts(shown)),
    ]
    return parts, detection_failures(shown, classes)


def _threshold_section(manifest: Manifest, model: Mapping[str, Any]) -> Markup:
    names = ("precision", "recall", "f1")
    rows = [
        (class_name, number(threshold), *(with_interval_text(model, f"{name}_by_class", class_name) for name in names))
        for class_name, threshold in zip(manifest.classes, _limits(manifest).tolist(), strict=True)
    ]
    return section(
        "Thresholds",
        "Chosen for the highest F1 on the validation photographs; what they give here.",
        table(("type", "threshold", "precision", "recall", "F1"), rows),
    )


def _precision_recall(images: list[ScoredImage], manifest: Manifest, model: Mapping[str, Any]) -> Markup:
    series, limits = [], _limits(manifest)
    by_type = [image.under_each_type() for image in images]
    for index, class_name in enumerate(manifest.classes):
        ranked = match_and_rank(by_type, index)
        if not ranked.num_gt.any():
            continue
        precision, recall = precision_recall(ranked)
        best = np.maximum.accumulate(precision[::-1])[::-1]  # as average precision reads it
        reached = np.searchsorted(recall, RECALLS)
        inside = reached < len(recall)
        points = list(zip(RECALLS[inside].tolist(), best[reached[inside]].tolist(), strict=True))
        name = f"{class_name}, AP50 {number(model['ap50_by_class'].get(class_name))}"
        series.append(Series(name, points, index))
        lesions = match_and_rank(images, index)  # a lesion is decided on by its most probable type
        positives = int((lesions.scores >= limits[index]).sum())
        if positives:
            precision, recall = precision_recall(lesions)
            dot = (float(recall[positives - 1]), float(precision[positives - 1]))
            series.append(Series("", [dot], index, line=False, dots=True))
    return chart("Boxes at IoU 0.5", series, Axis("recall", 0, 1), Axis("precision", 0, 1))


def _limits(manifest: Manifest) -> NDArray[np.float64]:
    """Returns `[classes]`, the decision threshold of each class."""
    return np.broadcast_to(np.asarray(manifest.thresholds, np.float64), len(manifest.classes))


def _counts(shown: list[ScoredImage]) -> Markup:
    points = [(float(len(image.gt_boxes)), float(len(image.pred_boxes))) for image in shown]
    largest = max((max(point) for point in points), default=1.0)
    axes = Axis.over("lesions marked", [largest]), Axis.over("lesions predicted", [largest])
    series = [Series("one photograph", points, 0, line=False, dots=True)]
    return chart("Lesions a photograph; on the line both counts are equal", series, *axes, diagonal=True)
