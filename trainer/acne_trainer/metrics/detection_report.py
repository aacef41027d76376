"""What `metrics.json` says of a detector, from the runtime's own results."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from acne_runtime.manifest import InputSpec
from acne_runtime.result import Result
from acne_trainer.data.dataset import Sample, names_of
from acne_trainer.data.source_names import source_of
from acne_trainer.metrics.baselines import ConstantDetector
from acne_trainer.metrics.bootstrap import nanmean, resample_weights
from acne_trainer.metrics.coco_eval import IOU_75, RECALLS, precision_curves
from acne_trainer.metrics.detection_metrics import DetectionEval, detection_metrics
from acne_trainer.metrics.scored_image import pair_with_ground_truth
from acne_trainer.metrics.thresholds import best_f1_threshold

SCORE_THRESHOLD = 0.001
"""Score from which boxes count for average precision; a higher one would cut the curve short."""


@dataclass(frozen=True, slots=True)
class AveragePrecision:
    """Average precision, 0 to 1; `nan` for a class without a single box.

    Attributes:
        ap: Mean over IoU 0.50 to 0.95 and classes.
        ap50: Mean over classes at IoU 0.50.
        ap75: The same at IoU 0.75.
        ap50_by_class: By class name.
        thresholds: By class name, the score at which F1 (IoU 0.50) is highest.
    """

    ap: float
    ap50: float
    ap75: float
    ap50_by_class: dict[str, float]
    thresholds: dict[str, float]


def average_precision(
    samples: Sequence[Sample], results: Sequence[Result], classes: tuple[str, ...], one_class: bool = False
) -> AveragePrecision:
    """Scores detections against the ground truth.

    Args:
        samples: The labelled images.
        results: One for each image, in the same order, with all boxes from `SCORE_THRESHOLD` on.
        classes: Class names in the order of the samples' indices.
        one_class: Whether all types count as one.
    """
    names = ("lesion",) if one_class else classes
    images = pair_with_ground_truth(samples, results, classes)
    images = [image.as_one_class() if one_class else image.under_each_type() for image in images]
    curves, scores = precision_curves(images, len(names))
    precision = curves[..., 0]
    return AveragePrecision(
        ap=nanmean(precision),
        ap50=nanmean(precision[0]),
        ap75=nanmean(precision[IOU_75]),
        ap50_by_class={name: float(precision[0, :, index].mean()) for index, name in enumerate(names)},
        thresholds={
            name: best_f1_threshold(np.nan_to_num(precision[0, :, index]), RECALLS, scores[:, index])[0]
            for index, name in enumerate(names)
        },
    )


def detection_report(
    samples: Sequence[Sample],
    results: Sequence[Result],
    classes: tuple[str, ...],
    thresholds: Sequence[float],
    spec: InputSpec,
    constant: ConstantDetector,
) -> dict[str, Any]:
    """Returns all metrics of a detector on one split, for `metrics.json`.

    Args:
        samples: The labelled images.
        results: As for `average_precision`.
        classes: Class names.
        thresholds: For precision, recall and the counts: the lesion threshold, or the decision threshold of each class.
        spec: The model's input, in whose pixels lesions are large or small.
        constant: The trivial baseline.

    Returns:
        `images`, `images_multi_class` and `boxes`, their numbers; `model` and `baseline`: what `detection_metrics`
        returns, and under `multi_class_images` the same of the images with two or more types. Intervals are from a
        bootstrap over source photographs.
    """
    weights = resample_weights([source_of(name) for name in names_of(samples)])
    multi_class = [index for index, sample in enumerate(samples) if len(set(sample.classes.tolist())) > 1]

    images = pair_with_ground_truth(samples, results, classes, spec)
    limits = np.broadcast_to(np.asarray(thresholds, np.float64), len(classes))
    counts = np.array([image.pred_counts(limits) for image in images])
    model = DetectionEval(images, limits, counts.sum(axis=1), counts)

    constant_images = pair_with_ground_truth(samples, constant.predict(results, classes), classes, spec)
    baseline = DetectionEval(
        constant_images,
        np.full(len(classes), constant.threshold),
        np.full(len(samples), constant.median_count),
        np.broadcast_to(constant.median_counts, counts.shape),
    )

    def metrics(detector: DetectionEval) -> dict[str, Any]:
        mixed = detection_metrics(detector.on(multi_class), classes, weights[:, multi_class])
        return detection_metrics(detector, classes, weights) | {"multi_class_images": mixed}

    return {
        "images": len(samples),
        "images_multi_class": len(multi_class),
        "boxes": sum(len(image.gt_boxes) for image in images),
        "model": metrics(model),
        "baseline": metrics(baseline),
    }
