"""How good a detector is, from the runtime's own results: average precision, decisions and counts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from acne_runtime.manifest import InputSpec
from acne_runtime.result import Result
from acne_trainer.data.dataset import Sample, names_of
from acne_trainer.data.source_names import source_of
from acne_trainer.metrics.baselines import ConstantDetector
from acne_trainer.metrics.bootstrap import nanmean, resample_weights
from acne_trainer.metrics.coco_eval import AT_75, RECALLS, precision_curves
from acne_trainer.metrics.detection_figures import Scored, detection_figures
from acne_trainer.metrics.scored_image import beside
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
    """Scores detections against the marked boxes.

    Args:
        samples: The photographs.
        results: One for each photograph, in the same order, with all boxes from `SCORE_THRESHOLD` on.
        classes: Class names in the order of the samples' indices.
        one_class: Whether to ask only if a box is a lesion, of whatever type.
    """
    names = ("lesion",) if one_class else classes
    photographs = [
        one.as_one_class() if one_class else one.under_each_type() for one in beside(samples, results, classes)
    ]
    curves, scores = precision_curves(photographs, len(names))
    precision = curves[..., 0]
    return AveragePrecision(
        ap=nanmean(precision),
        ap50=nanmean(precision[0]),
        ap75=nanmean(precision[AT_75]),
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
    """Returns all figures of a detector on one split, for `metrics.json`.

    Every figure comes with `..._interval_95`, from a bootstrap over source photographs.

    Args:
        samples: The photographs.
        results: As for `average_precision`.
        classes: Class names.
        thresholds: For precision, recall and the counts: the lesion threshold, or the decision threshold of each class.
        spec: The model's input, in whose pixels lesions are large or small.
        constant: What answers without looking; its figures stand under `constant_predictor`.
    """
    weights = resample_weights([source_of(name) for name in names_of(samples)])
    several = [number for number, sample in enumerate(samples) if len(set(sample.classes.tolist())) > 1]

    photographs = beside(samples, results, classes, spec)
    limits = np.broadcast_to(np.asarray(thresholds, np.float64), len(classes))
    said = np.array([one.found_counts(limits) for one in photographs])
    model = Scored(photographs, limits, said.sum(axis=1), said)

    usual = np.broadcast_to(constant.usual_counts, said.shape)
    unseen = beside(samples, constant.answers(results, classes), classes, spec)
    blind = Scored(
        unseen, np.full(len(classes), constant.threshold), np.full(len(samples), constant.usual_count), usual
    )

    report = {"photographs": len(samples), "boxes": sum(len(one.marked) for one in photographs)}
    report |= _with_several_types(model, several, classes, weights)
    beside_it = _with_several_types(blind, several, classes, weights)
    # Under their own names too: counting has had its baseline there from the first.
    report |= {
        name.replace("count_error", "count_error_constant"): value
        for name, value in beside_it.items()
        if name.startswith("count_error")
    }
    return report | {"constant_predictor": beside_it}


def _with_several_types(
    who: Scored, several: list[int], classes: tuple[str, ...], weights: NDArray[np.float64]
) -> dict[str, Any]:
    """Returns the figures on all photographs, and apart the same on those with two or more types."""
    mixed = detection_figures(who.on(several), classes, weights[:, several])
    return {
        **detection_figures(who, classes, weights),
        "photographs_several_types": len(several),
        "ap50_several_types": mixed["ap50"],
        "ap50_several_types_interval_95": mixed["ap50_interval_95"],
        "several_types": mixed,
    }
