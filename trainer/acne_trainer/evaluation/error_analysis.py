"""Images worth a look: with the most missed lesions, the most false positives, the most confident errors."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from acne_trainer.metrics.confusion import MATCH_IOU
from acne_trainer.metrics.matching import match
from acne_trainer.metrics.scored_image import ScoredImage


@dataclass(frozen=True, slots=True)
class Failure:
    """One failure on one image.

    Attributes:
        image_index: Its index.
        rank: How bad it is; failures of a kind are sorted by it.
        message: What went wrong.
    """

    image_index: int
    rank: float
    message: str


def detection_failures(
    images: Sequence[ScoredImage], classes: tuple[str, ...], max_per_kind: int = 8
) -> dict[str, list[Failure]]:
    """Returns failures by kind, the worst first. A true positive lies on a lesion of its own class.

    Args:
        images: With those predicted boxes only that reach their threshold.
        classes: Class names.
        max_per_kind: How many of each kind at most.
    """
    missed, false, confident = [], [], []
    for index, image in enumerate(images):
        is_tp = np.zeros(len(image.pred_boxes), np.bool_)
        for class_index in range(len(classes)):
            of_class = np.flatnonzero(image.pred_classes == class_index)
            gt = image.gt_boxes[image.gt_classes == class_index]
            is_tp[of_class] = match(gt, image.pred_boxes[of_class], MATCH_IOU) >= 0
        num_missed, num_false = len(image.gt_boxes) - int(is_tp.sum()), int((~is_tp).sum())
        if num_missed:
            missed.append(Failure(index, num_missed, f"{num_missed} of {len(image.gt_boxes)} lesions missed"))
        if num_false:
            false.append(Failure(index, num_false, f"{num_false} of {len(image.pred_boxes)} boxes are false positives"))
        confident += [
            Failure(index, float(image.scores[box]), f"{classes[image.pred_classes[box]]} at {image.scores[box]:.2f}")
            for box in np.flatnonzero(~is_tp)
        ]
    return {
        "Most missed lesions": _worst(missed, max_per_kind),
        "Most false positives": _worst(false, max_per_kind),
        "Most confident false positives": _worst(confident, max_per_kind),
    }


def multilabel_failures(
    truth: NDArray[np.floating[Any]],
    scores: NDArray[np.floating[Any]],
    predicted: NDArray[np.bool_],
    classes: tuple[str, ...],
    max_per_kind: int = 8,
) -> dict[str, list[Failure]]:
    """Returns failures by kind, the worst first.

    Args:
        truth: `[images, classes]`, 0 or 1.
        scores: `[images, classes]`, 0 to 1.
        predicted: `[images, classes]`, whether the score reaches the class's threshold.
        classes: Class names.
        max_per_kind: How many of each kind at most.
    """
    actual = truth > 0
    wrong = [
        Failure(index, int(count), f"{count} of {len(classes)} types wrong")
        for index, count in enumerate((actual != predicted).sum(axis=1))
        if count
    ]

    def each(cells: NDArray[np.bool_], sign: int) -> list[Failure]:
        return [
            Failure(image, sign * float(scores[image, index]), f"{classes[index]} at {scores[image, index]:.2f}")
            for image, index in np.argwhere(cells)
        ]

    return {
        "Most types wrong": _worst(wrong, max_per_kind),
        "Most confident false positives": _worst(each(predicted & ~actual, 1), max_per_kind),
        "Most confident false negatives": _worst(each(actual & ~predicted, -1), max_per_kind),
    }


def _worst(failures: list[Failure], max_per_kind: int) -> list[Failure]:
    return sorted(failures, key=lambda failure: -failure.rank)[:max_per_kind]
