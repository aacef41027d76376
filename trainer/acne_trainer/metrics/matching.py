"""Found boxes matched with marked ones and ranked by score: average precision of many resamples without matching again.

The COCO evaluator keeps its matches to itself and would have to be run once a resample. The matching here is the same,
done once; what differs between resamples is only how often each photograph counts.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from faster_coco_eval.core import mask
from numpy.typing import NDArray

from acne_runtime.manifest import MAX_DETECTIONS
from acne_trainer.metrics.coco_eval import RECALLS, SIDES
from acne_trainer.metrics.scored_image import MarkedAndFound

Overlap = float | Literal["centre"]
"""When two boxes mean one lesion: from this intersection over union on, or where one holds the other's centre.

Small lesions are loosely drawn, in some sets twice as wide as in others: a box that sits on its lesion may then have an
IoU below one half. By centre, how wide the boxes are drawn does not count.
"""


@dataclass(frozen=True, slots=True)
class RankedBoxes:
    """The found boxes of one class on all photographs, best first, at one overlap.

    Attributes:
        photograph: `[m]` int64, the index of the photograph that each box is on.
        scores: `[m]` float64, falling.
        right: `[m]` bool, whether the box lies on a lesion that no better box lies on.
        lesions: `[photographs]` int64, how many lesions of the class are marked on each.
    """

    photograph: NDArray[np.int64]
    scores: NDArray[np.float64]
    right: NDArray[np.bool_]
    lesions: NDArray[np.int64]


def match(
    marked: NDArray[np.float64],
    found: NDArray[np.float64],
    overlap: Overlap,
    counts: NDArray[np.bool_] | None = None,
) -> NDArray[np.int64]:
    """Matches boxes one to one, the best found box first, each with the free marked box that it overlaps most.

    This is what the COCO evaluator does on one photograph (`COCOeval.evaluateImg` of pycocotools), and its overlap.

    Args:
        marked: `[n, 4]` `xyxy`.
        found: `[m, 4]` `xyxy`, best first.
        overlap: Least intersection over union, 0 to 1, or "centre".
        counts: `[n]`, whether a marked box counts; one that does not is taken only where no other can be.

    Returns:
        `[m]` int64, the index of the marked box, or -1.
    """
    partner = np.full(len(found), -1, np.int64)
    if not len(marked) or not len(found):
        return partner
    if overlap == "centre":
        overlaps, limit = _centre_closeness(found, marked), float(np.finfo(float).tiny)
    else:
        overlaps, limit = mask.iou(_xywh(found), _xywh(marked), [0] * len(marked)), min(overlap, 1 - 1e-10)
    counts = np.ones(len(marked), np.bool_) if counts is None else counts
    free = np.ones(len(marked), np.bool_)
    for box in np.flatnonzero(overlaps.max(axis=1) >= limit):
        open_to = free & (overlaps[box] >= limit)
        if (open_to & counts).any():
            open_to &= counts
        if open_to.any():
            # Of equally good ones the last, as in the evaluator.
            best = len(marked) - 1 - int(np.where(open_to, overlaps[box], -1.0)[::-1].argmax())
            partner[box], free[best] = best, False
    return partner


def rank(
    photographs: Sequence[MarkedAndFound],
    class_index: int,
    overlap: Overlap = 0.5,
    side: tuple[float, float] = SIDES["all"],
) -> RankedBoxes:
    """Matches and ranks the boxes of one class.

    Args:
        photographs: With boxes in pixels of the model's input, where a `side` is given.
        class_index: The class.
        overlap: Least intersection over union of a right box, or "centre".
        side: The range of sides that counts, with COCO's rule: see `coco_evaluator.precision_curves`.
    """
    photograph, scores, right, lesions = [], [], [], np.zeros(len(photographs), np.int64)
    for number, one in enumerate(photographs):
        marked = one.marked[one.marked_classes == class_index]
        chosen = np.flatnonzero(one.found_classes == class_index)[:MAX_DETECTIONS]
        counts = within(marked, side)
        partner = match(marked, one.found[chosen], overlap, counts)
        is_right = partner >= 0
        is_right[is_right] = counts[partner[is_right]]
        kept = is_right | ((partner < 0) & within(one.found[chosen], side))
        photograph.append(np.full(int(kept.sum()), number, np.int64))
        scores.append(one.scores[chosen][kept])
        right.append(is_right[kept])
        lesions[number] = counts.sum()
    together = np.concatenate([*scores, np.zeros(0)])
    order = np.argsort(-together, kind="stable")
    return RankedBoxes(
        np.concatenate([*photograph, np.zeros(0, np.int64)])[order],
        together[order],
        np.concatenate([*right, np.zeros(0, np.bool_)])[order],
        lesions,
    )


def precision_and_recall(ranked: RankedBoxes) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Returns precision and recall `[m]` when the best 1, 2, ... m boxes are said; recall is `nan` without a lesion."""
    found = np.cumsum(ranked.right)
    with np.errstate(invalid="ignore"):
        return found / np.arange(1, len(found) + 1), found / np.float64(ranked.lesions.sum())


def average_precisions(ranked: RankedBoxes, weights: NDArray[np.float64]) -> NDArray[np.float64]:
    """Returns COCO's average precision (mean over 101 recall points) of each resample.

    A photograph that stands in a resample k times is a step of k boxes in the ranking. The interpolated curve has its
    corners at right boxes only, so those suffice.

    Args:
        ranked: The ranked boxes.
        weights: `[resamples, photographs]`, how often each photograph stands in each resample.

    Returns:
        `[resamples]`, `nan` where no lesion is marked.
    """
    at = np.flatnonzero(ranked.right)
    lesions = weights @ ranked.lesions
    answers = np.where(lesions > 0, 0.0, np.nan)
    if not len(at):
        return answers
    # [right boxes, photographs]: the boxes of each photograph from one right box (excluded) to the next (included).
    count, until = weights.shape[1], at[-1] + 1
    stretch = np.searchsorted(at, np.arange(until))
    boxes = np.bincount(stretch * count + ranked.photograph[:until], minlength=len(at) * count).reshape(-1, count)
    said = np.cumsum(boxes @ weights.T, axis=0)  # [right boxes, resamples]
    found = np.cumsum(weights.T[ranked.photograph[at]], axis=0)
    precision = np.maximum.accumulate((found / np.maximum(said, 1))[::-1])[::-1]
    for resample in np.flatnonzero(lesions):
        reached = np.searchsorted(found[:, resample] / lesions[resample], RECALLS)
        answers[resample] = precision[reached[reached < len(at)], resample].sum() / len(RECALLS)
    return answers


def _centre_closeness(found: NDArray[np.float64], marked: NDArray[np.float64]) -> NDArray[np.float64]:
    """Returns `[m, n]`, up to 1 the nearer the centres are, and 0 where neither box holds the other's centre."""
    distance = np.abs(_middles(found)[:, None] - _middles(marked)[None])
    half = np.maximum(_halves(found)[:, None], _halves(marked)[None])
    held = (distance <= _halves(found)[:, None]).all(-1) | (distance <= _halves(marked)[None]).all(-1)
    return np.where(held, 1 / (1 + np.square(distance / np.maximum(half, 1e-9)).sum(-1)), 0.0)


def _middles(boxes: NDArray[np.float64]) -> NDArray[np.float64]:
    return (boxes[:, :2] + boxes[:, 2:]) / 2


def _halves(boxes: NDArray[np.float64]) -> NDArray[np.float64]:
    return (boxes[:, 2:] - boxes[:, :2]) / 2


def _xywh(boxes: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.concatenate([boxes[:, :2], boxes[:, 2:] - boxes[:, :2]], axis=1)


def within(boxes: NDArray[np.float64], side: tuple[float, float]) -> NDArray[np.bool_]:
    """Returns `[n]`, whether the side (square root of the area) of each `xyxy` box lies in a range, ends included."""
    width, height = (boxes[:, 2:] - boxes[:, :2]).T
    inside: NDArray[np.bool_] = (width * height >= side[0] ** 2) & (width * height <= side[1] ** 2)
    return inside
