"""Average precision of a detector, by the COCO evaluator, from the runtime's own results."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from faster_coco_eval import COCO, COCOeval_faster

from acne_runtime.result import Result
from acne_trainer.labels.dataset import Sample

MAX_DETECTIONS = 300


@dataclass(frozen=True, slots=True)
class AveragePrecision:
    """Average precision, 0 to 1; `nan` for a class without a single box.

    Attributes:
        ap: Mean over IoU 0.50 to 0.95 and classes.
        ap50: Mean over classes at IoU 0.50.
        ap75: The same at IoU 0.75.
        ap50_by_class: By class name.
    """

    ap: float
    ap50: float
    ap75: float
    ap50_by_class: dict[str, float]


def average_precision(
    samples: Sequence[Sample], results: Sequence[Result], classes: tuple[str, ...], one_class: bool = False
) -> AveragePrecision:
    """Scores detections against the marked boxes.

    Args:
        samples: The photographs.
        results: One for each photograph, in the same order, with a low score threshold.
        classes: Class names in the order of the samples' indices.
        one_class: Whether to ask only if a box is a lesion, of whatever type.
    """
    names = ("lesion",) if one_class else classes
    truths, detections = [], []
    for image_id, (sample, result) in enumerate(zip(samples, results, strict=True), start=1):
        for box, one in zip(sample.boxes.tolist(), sample.classes.tolist(), strict=True):
            truths.append(_annotation(image_id, 0 if one_class else one, box))
        for lesion in result.lesions or ():
            found = _annotation(image_id, 0 if one_class else classes.index(lesion.name), lesion.box)
            detections.append(found | {"score": lesion.score})
    if not detections:
        return AveragePrecision(0.0, 0.0, 0.0, dict.fromkeys(names, 0.0))
    truth = COCO(
        {
            "images": [{"id": number, "width": 1, "height": 1} for number in range(1, len(samples) + 1)],
            "categories": [{"id": number, "name": name} for number, name in enumerate(names, start=1)],
            "annotations": [one | {"id": number} for number, one in enumerate(truths, start=1)],
        }
    )
    evaluation = COCOeval_faster(truth, truth.loadRes(detections), "bbox", print_function=_silent)
    evaluation.params.maxDets = [1, 10, MAX_DETECTIONS]
    evaluation.evaluate()
    evaluation.accumulate()
    # [IoU thresholds, recalls, classes, areas, detection limits], -1 where there is nothing to find.
    precision = np.where(evaluation.eval["precision"] < 0, np.nan, evaluation.eval["precision"])[..., 0, -1]
    by_class = {name: float(precision[0, :, index].mean()) for index, name in enumerate(names)}
    return AveragePrecision(
        ap=float(np.nanmean(precision)),
        ap50=float(np.nanmean(precision[0])),
        ap75=float(np.nanmean(precision[5])),
        ap50_by_class=by_class,
    )


def _annotation(image_id: int, class_index: int, box: Sequence[float]) -> dict[str, Any]:
    x1, y1, x2, y2 = box
    width, height = x2 - x1, y2 - y1
    return {
        "image_id": image_id,
        "category_id": class_index + 1,
        "bbox": [x1, y1, width, height],
        "area": width * height,
        "iscrowd": 0,
    }


def _silent(*_: object) -> None:
    """Swallows the evaluator's own printing."""
