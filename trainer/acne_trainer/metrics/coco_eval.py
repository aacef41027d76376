"""Average precision by the COCO evaluator (faster-coco-eval), with limits that fit lesions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from faster_coco_eval import COCO, COCOeval_faster
from numpy.typing import NDArray

from acne_runtime.manifest import MAX_DETECTIONS
from acne_trainer.metrics.scored_image import ScoredImage

IOUS = np.linspace(0.5, 0.95, 10)
RECALLS = np.linspace(0, 1, 101)
"""The evaluator's IoU thresholds and recall points."""
IOU_75 = 5
"""The index of IoU 0.75."""
SIZE_RANGES = {"all": (0.0, 1e5), "under 12 px": (0.0, 12.0), "12 to 32 px": (12.0, 32.0), "over 32 px": (32.0, 1e5)}
"""Ranges of a lesion's size (square root of its area) in pixels of the model's input.

COCO's own (under 32, 32 to 96, over 96 px) would call nearly every lesion small: at 640 px their sizes are 8 / 18 /
47 px at 10 / 50 / 90 %. 12 px is one and a half cells of the finest grid (stride 8), 32 px
one cell of the coarsest.
"""


def precision_curves(
    images: Sequence[ScoredImage], class_count: int, sizes: Sequence[tuple[float, float]] = (SIZE_RANGES["all"],)
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Runs the evaluator.

    Args:
        images: With boxes in pixels of the model's input, where `sizes` are given.
        class_count: The number of classes.
        sizes: Ranges of the lesions' size to score apart. As in COCO, a true positive counts by its ground truth, a
            false positive by its own size, and a box on the border of two ranges in both.

    Returns:
        Precision `[ious, 101, classes, sizes]`, `nan` without ground truth, and the scores `[101, classes]` at IoU 0.5
        in the first range.
    """
    annotations, detections = [], []
    for image_id, image in enumerate(images, start=1):
        for box, index in zip(image.gt_boxes.tolist(), image.gt_classes.tolist(), strict=True):
            annotations.append(_annotation(image_id, index, box))
        predictions = (image.pred_boxes.tolist(), image.pred_classes.tolist(), image.scores.tolist())
        for box, index, score in zip(*predictions, strict=True):
            detections.append(_annotation(image_id, index, box) | {"score": score})
    gt = COCO(
        {
            "images": [{"id": number, "width": 1, "height": 1} for number in range(1, len(images) + 1)],
            "categories": [{"id": number, "name": str(number)} for number in range(1, class_count + 1)],
            "annotations": [annotation | {"id": number} for number, annotation in enumerate(annotations, start=1)],
        }
    )
    evaluation = COCOeval_faster(gt, gt.loadRes(detections), "bbox", print_function=_silent)
    # COCO's 100 are too few for a face with 182 lesions.
    evaluation.params.maxDets = [1, 10, MAX_DETECTIONS]
    evaluation.params.iouThrs = IOUS
    evaluation.params.areaRng = [[low**2, high**2] for low, high in sizes]
    evaluation.params.areaRngLbl = [str(number) for number in range(len(sizes))]
    evaluation.evaluate()
    evaluation.accumulate()
    # [ious, recalls, classes, areas, detection limits], -1 without ground truth.
    precision = np.asarray(evaluation.eval["precision"])[..., -1]
    return np.where(precision < 0, np.nan, precision), np.asarray(evaluation.eval["scores"])[0, ..., 0, -1]


def _annotation(image_id: int, class_index: int, box: Sequence[float]) -> dict[str, Any]:
    x1, y1, x2, y2 = box
    width, height = x2 - x1, y2 - y1
    return {
        "image_id": image_id,
        "category_id": class_index + 1,
        "bbox": [x1, y1, width, height],
        "area": width * height,
        "iscrowd": 0,
        "segmentation": [],  # else the evaluator spends a third of its time on making outlines of boxes
    }


def _silent(*_: object) -> None:
    """Swallows the evaluator's own printing."""
