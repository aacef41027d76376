"""Average precision by the COCO evaluator (faster-coco-eval), with limits that fit lesions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from faster_coco_eval import COCO, COCOeval_faster
from numpy.typing import NDArray

from acne_runtime.manifest import MAX_DETECTIONS
from acne_trainer.metrics.scored_image import MarkedAndFound

OVERLAPS = np.linspace(0.5, 0.95, 10)
RECALLS = np.linspace(0, 1, 101)
"""The evaluator's overlaps (IoU) and recall points."""
AT_75 = 5
"""The place of overlap 0.75."""
SIDES = {"all": (0.0, 1e5), "under 12 px": (0.0, 12.0), "12 to 32 px": (12.0, 32.0), "over 32 px": (32.0, 1e5)}
"""Ranges of a lesion's side (square root of its area) in pixels of the model's input.

COCO's own (under 32, 32 to 96, over 96 px) would call nearly every lesion small: at 640 px their sides are 8 / 18 /
47 px at 10 / 50 / 90 % (`shared/data/README.md`). 12 px is one and a half cells of the finest grid (stride 8), 32 px
one cell of the coarsest.
"""


def precision_curves(
    photographs: Sequence[MarkedAndFound], class_count: int, sides: Sequence[tuple[float, float]] = (SIDES["all"],)
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Runs the evaluator.

    Args:
        photographs: With boxes in pixels of the model's input, where `sides` are asked for.
        class_count: The number of classes.
        sides: Ranges of the lesions' side to score apart. As in COCO, a found box counts by the lesion it lies on, a
            false one by its own size, and a box on the border of two ranges in both.

    Returns:
        Precision `[overlaps, 101, classes, sides]`, `nan` where there is nothing to find, and the scores `[101,
        classes]` at overlap 0.5 in the first range.
    """
    truths, detections = [], []
    for image_id, one in enumerate(photographs, start=1):
        for box, index in zip(one.marked.tolist(), one.marked_classes.tolist(), strict=True):
            truths.append(_annotation(image_id, index, box))
        for box, index, score in zip(one.found.tolist(), one.found_classes.tolist(), one.scores.tolist(), strict=True):
            detections.append(_annotation(image_id, index, box) | {"score": score})
    truth = COCO(
        {
            "images": [{"id": number, "width": 1, "height": 1} for number in range(1, len(photographs) + 1)],
            "categories": [{"id": number, "name": str(number)} for number in range(1, class_count + 1)],
            "annotations": [one | {"id": number} for number, one in enumerate(truths, start=1)],
        }
    )
    evaluation = COCOeval_faster(truth, truth.loadRes(detections), "bbox", print_function=_silent)
    # COCO's 100 are too few for a face with 182 lesions.
    evaluation.params.maxDets = [1, 10, MAX_DETECTIONS]
    evaluation.params.iouThrs = OVERLAPS
    evaluation.params.areaRng = [[low**2, high**2] for low, high in sides]
    evaluation.params.areaRngLbl = [str(number) for number in range(len(sides))]
    evaluation.evaluate()
    evaluation.accumulate()
    # [overlaps, recalls, classes, areas, detection limits], -1 where there is nothing to find.
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
