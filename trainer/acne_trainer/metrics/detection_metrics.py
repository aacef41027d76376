"""The metrics of a detector on some images, each with its 95 % interval."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from acne_trainer.metrics.bootstrap import nanmean, weighted_means, with_interval, with_intervals
from acne_trainer.metrics.classification import f1, precision, recall
from acne_trainer.metrics.coco_eval import IOU_75, IOUS, SIZE_RANGES, precision_curves
from acne_trainer.metrics.lesions import lesion_metrics, type_agreement
from acne_trainer.metrics.matching import average_precisions, match_and_rank, within
from acne_trainer.metrics.scored_image import ScoredImage


@dataclass(frozen=True, slots=True)
class DetectionEval:
    """A detector's predictions to score.

    Attributes:
        images: Ground truth and predictions, boxes in the model's pixels.
        thresholds: `[classes]`.
        counts: `[images]`, predicted number of lesions.
        counts_by_class: `[images, classes]`.
    """

    images: list[ScoredImage]
    thresholds: NDArray[np.float64]
    counts: NDArray[np.float64]
    counts_by_class: NDArray[np.float64]

    def on(self, chosen: list[int]) -> DetectionEval:
        """Returns the same for some of the images."""
        images = [self.images[index] for index in chosen]
        return DetectionEval(images, self.thresholds, self.counts[chosen], self.counts_by_class[chosen])


def detection_metrics(
    detector: DetectionEval, classes: tuple[str, ...], weights: NDArray[np.float64]
) -> dict[str, Any]:
    """Returns all metrics, each with its interval under `..._interval_95`.

    Args:
        detector: The predictions.
        classes: Class names.
        weights: `[resamples, images]`, from `bootstrap.resample_weights`.
    """
    lesions = [image.as_one_class() for image in detector.images]
    shown = [image.reaching(detector.thresholds) for image in detector.images]
    return {
        **_average_precisions(detector.images, classes, weights),
        **lesion_metrics(lesions, [image.as_one_class() for image in shown], detector.counts, weights),
        **_at_thresholds(detector, classes, weights),
        **_count_errors(detector, classes, weights),
        **type_agreement(shown, len(classes), weights),
    }


def _average_precisions(
    images: list[ScoredImage], classes: tuple[str, ...], weights: NDArray[np.float64]
) -> dict[str, Any]:
    """Returns average precision: the values from the COCO evaluator, the intervals from boxes ranked once."""
    lesions = [image.as_one_class() for image in images]
    images = [image.under_each_type() for image in images]
    curves, _ = precision_curves(images, len(classes), list(SIZE_RANGES.values()))
    by_range = dict(zip(SIZE_RANGES, np.moveaxis(curves, -1, 0), strict=True))

    def resample(size: str) -> NDArray[np.float64]:
        ranked = [
            [match_and_rank(images, index, iou, SIZE_RANGES[size]) for index in range(len(classes))] for iou in IOUS
        ]
        return np.array([[average_precisions(of_class, weights) for of_class in of_iou] for of_iou in ranked])

    resampled = resample("all")  # [ious, classes, resamples]
    by_class = by_range["all"].mean(axis=1)  # [ious, classes]
    sizes = [name for name in SIZE_RANGES if name != "all"]
    by_size = np.array([nanmean(by_range[name].mean(axis=1).T, axis=0) for name in sizes]).T  # [ious, sizes]
    resampled_by_size = np.array([nanmean(resample(name).swapaxes(0, 1), axis=0) for name in sizes]).swapaxes(0, 1)
    one_class = match_and_rank(lesions, 0)
    return {
        **with_interval("ap", nanmean(by_range["all"]), nanmean(nanmean(resampled, axis=0), axis=0)),
        **with_interval("ap50", nanmean(by_class[0]), nanmean(resampled[0], axis=0)),
        **with_interval("ap75", nanmean(by_range["all"][IOU_75]), nanmean(resampled[IOU_75], axis=0)),
        **with_intervals("ap_by_class", classes, nanmean(by_class, axis=0), nanmean(resampled, axis=0)),
        **with_intervals("ap50_by_class", classes, by_class[0], resampled[0]),
        **with_intervals("ap75_by_class", classes, by_class[IOU_75], resampled[IOU_75]),
        **with_interval(
            "ap50_one_class", nanmean(precision_curves(lesions, 1)[0][0]), average_precisions(one_class, weights)
        ),
        **with_intervals("ap_by_size", sizes, nanmean(by_size, axis=0), nanmean(resampled_by_size, axis=0)),
        **with_intervals("ap50_by_size", sizes, by_size[0], resampled_by_size[0]),
        **with_intervals("ap75_by_size", sizes, by_size[IOU_75], resampled_by_size[IOU_75]),
        "lesions_by_size": {
            name: sum(int(within(image.gt_boxes, SIZE_RANGES[name]).sum()) for image in images) for name in sizes
        },
    }


def _at_thresholds(detector: DetectionEval, classes: tuple[str, ...], weights: NDArray[np.float64]) -> dict[str, Any]:
    """Returns precision, recall and F1 of the boxes that reach the thresholds, at IoU 0.5."""
    predicted, tp, actual = np.zeros((3, len(classes), len(detector.images)))  # [classes, images] each
    for index, threshold in enumerate(detector.thresholds):
        ranked = match_and_rank(detector.images, index)
        reaches = ranked.scores >= threshold
        predicted[index] = np.bincount(ranked.image_index[reaches], minlength=predicted.shape[1])
        tp[index] = np.bincount(ranked.image_index[reaches & ranked.is_tp], minlength=predicted.shape[1])
        actual[index] = ranked.num_gt

    def rates(weights: NDArray[np.float64], total: bool) -> NDArray[np.float64]:
        p, t, a = (counts.sum(axis=0) if total else counts for counts in (predicted, tp, actual))
        p, t, a = p @ weights.T, t @ weights.T, a @ weights.T
        return np.array([precision(p, t), recall(t, a), f1(p, t, a)])

    once = np.ones((1, len(detector.images)))
    overall, overall_resampled = rates(once, total=True)[..., 0], rates(weights, total=True)
    by_class, by_class_resampled = rates(once, total=False)[..., 0], rates(weights, total=False)
    metrics: dict[str, Any] = {}
    for index, name in enumerate(("precision", "recall", "f1")):
        metrics |= with_interval(name, overall[index], overall_resampled[index])
        metrics |= with_intervals(f"{name}_by_class", classes, by_class[index], by_class_resampled[index])
    return metrics


def _count_errors(detector: DetectionEval, classes: tuple[str, ...], weights: NDArray[np.float64]) -> dict[str, Any]:
    """Returns the mean absolute error of the counts, in lesions an image."""
    gt = np.array([image.gt_counts(len(classes)) for image in detector.images]).reshape(-1, len(classes))
    errors = np.abs(detector.counts - gt.sum(axis=1))
    by_class = np.abs(detector.counts_by_class - gt).T
    return {
        **with_interval("count_error", nanmean(errors), weighted_means(errors, weights)),
        **with_intervals(
            "count_error_by_class", classes, nanmean(by_class.T, axis=0), weighted_means(by_class, weights)
        ),
    }
