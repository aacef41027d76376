"""How good a detector is, from the runtime's own results: average precision by the COCO evaluator, and counts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from faster_coco_eval import COCO, COCOeval_faster
from numpy.typing import NDArray

from acne_runtime.result import Result
from acne_trainer.labels.dataset import Sample
from acne_trainer.thresholds import best_f1_threshold

SCORE_THRESHOLD = 0.001
"""Score from which boxes count for average precision; a higher one would cut the curve short."""
_MAX_DETECTIONS = 300
_RESAMPLES = 200
_IOU = np.linspace(0.5, 0.95, 10)
_RECALL = np.linspace(0, 1, 101)
"""The evaluator's overlaps and recall points."""


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
    """Scores detections against the marked boxes.

    Args:
        samples: The photographs.
        results: One for each photograph, in the same order, with all boxes from `SCORE_THRESHOLD` on.
        classes: Class names in the order of the samples' indices.
        one_class: Whether to ask only if a box is a lesion, of whatever type.
    """
    names = ("lesion",) if one_class else classes
    precision, scores = _curves(samples, results, classes, one_class, _IOU)
    return AveragePrecision(
        ap=_mean(precision),
        ap50=_mean(precision[0]),
        ap75=_mean(precision[5]),
        ap50_by_class={name: float(precision[0, :, index].mean()) for index, name in enumerate(names)},
        thresholds={
            name: best_f1_threshold(np.nan_to_num(precision[0, :, index]), _RECALL, scores[:, index])[0]
            for index, name in enumerate(names)
        },
    )


def _curves(
    samples: Sequence[Sample],
    results: Sequence[Result],
    classes: tuple[str, ...],
    one_class: bool,
    overlaps: NDArray[np.float64],
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Returns precision `[overlaps, 101, classes]`, nan where there is nothing to find, and scores `[101, classes]`."""
    count = 1 if one_class else len(classes)
    truths, detections = [], []
    for image_id, (sample, result) in enumerate(zip(samples, results, strict=True), start=1):
        for box, one in zip(sample.boxes.tolist(), sample.classes.tolist(), strict=True):
            truths.append(_annotation(image_id, 0 if one_class else one, box))
        for lesion in result.lesions or ():
            found = _annotation(image_id, 0 if one_class else classes.index(lesion.name), lesion.box)
            detections.append(found | {"score": lesion.score})
    if not detections:
        marked = {one["category_id"] - 1 for one in truths}
        nothing = np.where([one in marked for one in range(count)], 0.0, np.nan)
        return np.tile(nothing, (len(overlaps), len(_RECALL), 1)), np.zeros((len(_RECALL), count))
    truth = COCO(
        {
            "images": [{"id": number, "width": 1, "height": 1} for number in range(1, len(samples) + 1)],
            "categories": [{"id": number, "name": str(number)} for number in range(1, count + 1)],
            "annotations": [one | {"id": number} for number, one in enumerate(truths, start=1)],
        }
    )
    evaluation = COCOeval_faster(truth, truth.loadRes(detections), "bbox", print_function=_silent)
    evaluation.params.maxDets = [1, 10, _MAX_DETECTIONS]
    evaluation.params.iouThrs = overlaps
    evaluation.params.areaRng, evaluation.params.areaRngLbl = [evaluation.params.areaRng[0]], ["all"]
    evaluation.evaluate()
    evaluation.accumulate()
    # [overlaps, recalls, classes, areas, detection limits], -1 where there is nothing to find.
    precision = np.asarray(evaluation.eval["precision"])[..., 0, -1]
    return np.where(precision < 0, np.nan, precision), np.asarray(evaluation.eval["scores"])[0, ..., 0, -1]


def detection_report(
    samples: Sequence[Sample],
    results: Sequence[Result],
    classes: tuple[str, ...],
    thresholds: Sequence[float],
    usual_count: float,
) -> dict[str, Any]:
    """Returns all figures of a detector on one split, for `metrics.json`.

    Args:
        samples: The photographs.
        results: As for `average_precision`.
        classes: Class names.
        thresholds: The decision threshold of each class, for the counts.
        usual_count: The median number of lesions on a training photograph: what the constant predictor answers.
    """
    overall = average_precision(samples, results, classes)
    one_class = average_precision(samples, results, classes, one_class=True)
    several = [i for i, sample in enumerate(samples) if len(set(sample.classes.tolist())) > 1]
    mixed = average_precision([samples[i] for i in several], [results[i] for i in several], classes)
    limit = dict(zip(classes, thresholds, strict=True))
    counted = np.array([sum(one.score >= limit[one.name] for one in result.lesions or ()) for result in results])
    true = np.array([len(sample.boxes) for sample in samples])
    resamples = np.random.default_rng(0).integers(len(samples), size=(_RESAMPLES, len(samples)))
    return {
        "photographs": len(samples),
        "boxes": int(true.sum()),
        "ap": overall.ap,
        "ap50": overall.ap50,
        "ap50_interval_95": _interval([_ap50(samples, results, classes, rows) for rows in resamples]),
        "ap75": overall.ap75,
        "ap50_by_class": overall.ap50_by_class,
        "ap50_one_class": one_class.ap50,
        "ap50_several_types": mixed.ap50,
        "photographs_several_types": len(several),
        "count_error": float(np.abs(counted - true).mean()),
        "count_error_constant": float(np.abs(usual_count - true).mean()),
    }


def _ap50(
    samples: Sequence[Sample], results: Sequence[Result], classes: tuple[str, ...], rows: NDArray[np.int64]
) -> float:
    chosen = [samples[i] for i in rows], [results[i] for i in rows]
    return _mean(_curves(*chosen, classes, one_class=False, overlaps=_IOU[:1])[0])


def _mean(precision: NDArray[np.float64]) -> float:
    """Returns the mean over the classes that can be found; `nan` where there is none."""
    return float("nan") if np.isnan(precision).all() else float(np.nanmean(precision))


def _interval(values: Sequence[float]) -> list[float]:
    """Returns the 95 % percentile interval of a bootstrap over photographs."""
    return [float(value) for value in np.nanpercentile(values, [2.5, 97.5])]


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
