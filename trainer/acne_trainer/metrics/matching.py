"""Predictions matched with ground truth and ranked by score: average precision of many resamples, matched once.

The COCO evaluator would have to run once a resample. The matching here is the same (tests/trainer/metrics), done once;
resamples differ only in how often each image counts.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from faster_coco_eval.core import mask
from numpy.typing import NDArray

from acne_runtime.manifest import MAX_DETECTIONS
from acne_trainer.metrics.coco_eval import RECALLS, SIZE_RANGES
from acne_trainer.metrics.scored_image import ScoredImage

Criterion = float | Literal["centre"]
"""When two boxes match: from this IoU on, or where one holds the other's centre.

Small lesions are loosely drawn, in some sets twice as wide as in others: a box that sits on its lesion may then have an
IoU below one half. By centre, how wide the boxes are drawn does not count.
"""


@dataclass(frozen=True, slots=True)
class RankedBoxes:
    """The predicted boxes of one class on all images, best first, under one matching criterion.

    Attributes:
        image_index: `[m]` int64, the image of each box.
        scores: `[m]` float64, falling.
        is_tp: `[m]` bool, whether the box is a true positive.
        num_gt: `[images]` int64, the number of ground truth boxes of the class on each.
    """

    image_index: NDArray[np.int64]
    scores: NDArray[np.float64]
    is_tp: NDArray[np.bool_]
    num_gt: NDArray[np.int64]


def match(
    gt: NDArray[np.float64],
    pred: NDArray[np.float64],
    criterion: Criterion,
    counts: NDArray[np.bool_] | None = None,
) -> NDArray[np.int64]:
    """Matches boxes one to one, the best prediction first, each with the free ground truth box of the highest IoU.

    This is what the COCO evaluator does on one image (`COCOeval.evaluateImg` of pycocotools), with its IoU.

    Args:
        gt: `[n, 4]` `xyxy`.
        pred: `[m, 4]` `xyxy`, best first.
        criterion: Minimum IoU, 0 to 1, or "centre".
        counts: `[n]`, whether a ground truth box counts; one that does not is matched only where no other can be.

    Returns:
        `[m]` int64, the index of the matched ground truth box, or -1.
    """
    matched = np.full(len(pred), -1, np.int64)
    if not len(gt) or not len(pred):
        return matched
    if criterion == "centre":
        affinity, minimum = _centre_closeness(pred, gt), float(np.finfo(float).tiny)
    else:
        affinity, minimum = mask.iou(_xywh(pred), _xywh(gt), [0] * len(gt)), min(criterion, 1 - 1e-10)
    counts = np.ones(len(gt), np.bool_) if counts is None else counts
    free = np.ones(len(gt), np.bool_)
    for box in np.flatnonzero(affinity.max(axis=1) >= minimum):
        open_to = free & (affinity[box] >= minimum)
        if (open_to & counts).any():
            open_to &= counts
        if open_to.any():
            # Of equally good ones the last, as in the evaluator.
            best = len(gt) - 1 - int(np.where(open_to, affinity[box], -1.0)[::-1].argmax())
            matched[box], free[best] = best, False
    return matched


def match_and_rank(
    images: Sequence[ScoredImage],
    class_index: int,
    criterion: Criterion = 0.5,
    sizes: tuple[float, float] = SIZE_RANGES["all"],
) -> RankedBoxes:
    """Matches and ranks the boxes of one class.

    Args:
        images: With boxes in pixels of the model's input, where `sizes` is given.
        class_index: The class.
        criterion: Minimum IoU of a true positive, or "centre".
        sizes: The range of sizes that counts, with COCO's rule: see `coco_eval.precision_curves`.
    """
    image_index, scores, is_tp, num_gt = [], [], [], np.zeros(len(images), np.int64)
    for index, image in enumerate(images):
        gt = image.gt_boxes[image.gt_classes == class_index]
        chosen = np.flatnonzero(image.pred_classes == class_index)[:MAX_DETECTIONS]
        counts = within(gt, sizes)
        matched = match(gt, image.pred_boxes[chosen], criterion, counts)
        tp = matched >= 0
        tp[tp] = counts[matched[tp]]
        kept = tp | ((matched < 0) & within(image.pred_boxes[chosen], sizes))
        image_index.append(np.full(int(kept.sum()), index, np.int64))
        scores.append(image.scores[chosen][kept])
        is_tp.append(tp[kept])
        num_gt[index] = counts.sum()
    together = np.concatenate([*scores, np.zeros(0)])
    order = np.argsort(-together, kind="stable")
    return RankedBoxes(
        np.concatenate([*image_index, np.zeros(0, np.int64)])[order],
        together[order],
        np.concatenate([*is_tp, np.zeros(0, np.bool_)])[order],
        num_gt,
    )


def precision_recall(ranked: RankedBoxes) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Returns precision and recall `[m]` of the best 1, 2, ... m boxes; recall is `nan` without ground truth."""
    tp = np.cumsum(ranked.is_tp)
    with np.errstate(invalid="ignore"):
        return tp / np.arange(1, len(tp) + 1), tp / np.float64(ranked.num_gt.sum())


def average_precisions(ranked: RankedBoxes, weights: NDArray[np.float64]) -> NDArray[np.float64]:
    """Returns COCO's average precision (mean over 101 recall points) of each resample.

    An image that stands in a resample k times is a step of k boxes in the ranking. The interpolated curve has its
    corners at true positives only, so those suffice.

    Args:
        ranked: The ranked boxes.
        weights: `[resamples, images]`, how often each image stands in each resample.

    Returns:
        `[resamples]`, `nan` without ground truth.
    """
    at = np.flatnonzero(ranked.is_tp)
    num_gt = weights @ ranked.num_gt
    result = np.where(num_gt > 0, 0.0, np.nan)
    if not len(at):
        return result
    # [true positives, images]: the boxes of each image from one true positive (excluded) to the next (included).
    count, until = weights.shape[1], at[-1] + 1
    stretch = np.searchsorted(at, np.arange(until))
    boxes = np.bincount(stretch * count + ranked.image_index[:until], minlength=len(at) * count).reshape(-1, count)
    predicted = np.cumsum(boxes @ weights.T, axis=0)  # [true positives, resamples]
    tp = np.cumsum(weights.T[ranked.image_index[at]], axis=0)
    precision = np.maximum.accumulate((tp / np.maximum(predicted, 1))[::-1])[::-1]
    for resample in np.flatnonzero(num_gt):
        reached = np.searchsorted(tp[:, resample] / num_gt[resample], RECALLS)
        result[resample] = precision[reached[reached < len(at)], resample].sum() / len(RECALLS)
    return result


def _centre_closeness(pred: NDArray[np.float64], gt: NDArray[np.float64]) -> NDArray[np.float64]:
    """Returns `[m, n]`, up to 1 the nearer the centres are, and 0 where neither box holds the other's centre."""
    distance = np.abs(_middles(pred)[:, None] - _middles(gt)[None])
    half = np.maximum(_halves(pred)[:, None], _halves(gt)[None])
    held = (distance <= _halves(pred)[:, None]).all(-1) | (distance <= _halves(gt)[None]).all(-1)
    return np.where(held, 1 / (1 + np.square(distance / np.maximum(half, 1e-9)).sum(-1)), 0.0)


def _middles(boxes: NDArray[np.float64]) -> NDArray[np.float64]:
    return (boxes[:, :2] + boxes[:, 2:]) / 2


def _halves(boxes: NDArray[np.float64]) -> NDArray[np.float64]:
    return (boxes[:, 2:] - boxes[:, :2]) / 2


def _xywh(boxes: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.concatenate([boxes[:, :2], boxes[:, 2:] - boxes[:, :2]], axis=1)


def within(boxes: NDArray[np.float64], sizes: tuple[float, float]) -> NDArray[np.bool_]:
    """Returns `[n]`, whether the size (square root of the area) of each `xyxy` box lies in a range, ends included."""
    width, height = (boxes[:, 2:] - boxes[:, :2]).T
    inside: NDArray[np.bool_] = (width * height >= sizes[0] ** 2) & (width * height <= sizes[1] ** 2)
    return inside
