"""The figures of a detector on some photographs, each with its interval."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from acne_trainer.metrics.bootstrap import nanmean, weighted_means, with_interval, with_intervals
from acne_trainer.metrics.coco_eval import AT_75, OVERLAPS, SIDES, precision_curves
from acne_trainer.metrics.lesions import lesion_figures, type_agreement
from acne_trainer.metrics.matching import average_precisions, rank, within
from acne_trainer.metrics.precision_recall import f1, precision, recall
from acne_trainer.metrics.scored_image import MarkedAndFound


@dataclass(frozen=True, slots=True)
class Scored:
    """Who is scored.

    Attributes:
        photographs: What is marked and what it found, in the model's pixels.
        thresholds: `[classes]`.
        counts: `[photographs]`, how many lesions it says there are.
        counts_by_class: `[photographs, classes]`.
    """

    photographs: list[MarkedAndFound]
    thresholds: NDArray[np.float64]
    counts: NDArray[np.float64]
    counts_by_class: NDArray[np.float64]

    def on(self, chosen: list[int]) -> Scored:
        """Returns the same for some of the photographs."""
        photographs = [self.photographs[number] for number in chosen]
        return Scored(photographs, self.thresholds, self.counts[chosen], self.counts_by_class[chosen])


def detection_figures(who: Scored, classes: tuple[str, ...], weights: NDArray[np.float64]) -> dict[str, Any]:
    """Returns all figures, each with its interval beside it.

    Args:
        who: What is scored.
        classes: Class names.
        weights: `[resamples, photographs]`, from `bootstrap.resample_weights`.
    """
    lesions = [one.as_one_class() for one in who.photographs]
    shown = [one.reaching(who.thresholds) for one in who.photographs]
    return {
        **_precisions(who.photographs, classes, weights),
        **lesion_figures(lesions, [one.as_one_class() for one in shown], who.counts, weights),
        **_decisions(who, classes, weights),
        **_count_errors(who, classes, weights),
        **type_agreement(shown, len(classes), weights),
    }


def _precisions(
    photographs: list[MarkedAndFound], classes: tuple[str, ...], weights: NDArray[np.float64]
) -> dict[str, Any]:
    """Returns average precision: the figures from the COCO evaluator, the intervals from boxes ranked once."""
    lesions = [photograph.as_one_class() for photograph in photographs]
    photographs = [photograph.under_each_type() for photograph in photographs]
    curves, _ = precision_curves(photographs, len(classes), list(SIDES.values()))
    by_side = dict(zip(SIDES, np.moveaxis(curves, -1, 0), strict=True))

    def resampled(side: str) -> NDArray[np.float64]:
        ranked = [
            [rank(photographs, index, overlap, SIDES[side]) for index in range(len(classes))] for overlap in OVERLAPS
        ]
        return np.array([[average_precisions(one, weights) for one in row] for row in ranked])

    drawn = resampled("all")  # [overlaps, classes, resamples]
    by_class = by_side["all"].mean(axis=1)  # [overlaps, classes]
    sizes = [name for name in SIDES if name != "all"]
    by_size = np.array([nanmean(by_side[name].mean(axis=1).T, axis=0) for name in sizes]).T  # [overlaps, sizes]
    drawn_by_size = np.array([nanmean(resampled(name).swapaxes(0, 1), axis=0) for name in sizes]).swapaxes(0, 1)
    return {
        **with_interval("ap", nanmean(by_side["all"]), nanmean(nanmean(drawn, axis=0), axis=0)),
        **with_interval("ap50", nanmean(by_class[0]), nanmean(drawn[0], axis=0)),
        **with_interval("ap75", nanmean(by_side["all"][AT_75]), nanmean(drawn[AT_75], axis=0)),
        **with_intervals("ap_by_class", classes, nanmean(by_class, axis=0), nanmean(drawn, axis=0)),
        **with_intervals("ap50_by_class", classes, by_class[0], drawn[0]),
        **with_intervals("ap75_by_class", classes, by_class[AT_75], drawn[AT_75]),
        **with_interval(
            "ap50_one_class",
            nanmean(precision_curves(lesions, 1)[0][0]),
            average_precisions(rank(lesions, 0), weights),
        ),
        **with_intervals("ap_by_size", sizes, nanmean(by_size, axis=0), nanmean(drawn_by_size, axis=0)),
        **with_intervals("ap50_by_size", sizes, by_size[0], drawn_by_size[0]),
        **with_intervals("ap75_by_size", sizes, by_size[AT_75], drawn_by_size[AT_75]),
        "lesions_by_size": {
            name: sum(int(within(one.marked, SIDES[name]).sum()) for one in photographs) for name in sizes
        },
    }


def _decisions(who: Scored, classes: tuple[str, ...], weights: NDArray[np.float64]) -> dict[str, Any]:
    """Returns precision, recall and F1 of the boxes that reach the thresholds, at overlap 0.5."""
    # [classes, photographs]
    said, right, marked = np.zeros((3, len(classes), len(who.photographs)))
    for index, threshold in enumerate(who.thresholds):
        ranked = rank(who.photographs, index)
        reaches = ranked.scores >= threshold
        said[index] = np.bincount(ranked.photograph[reaches], minlength=said.shape[1])
        right[index] = np.bincount(ranked.photograph[reaches & ranked.right], minlength=said.shape[1])
        marked[index] = ranked.lesions

    def shares(s: NDArray[np.float64], r: NDArray[np.float64], m: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.array([precision(s, r), recall(r, m), f1(s, r, m)])

    once = np.ones((len(who.photographs), 1))
    by_class = shares(said @ once, right @ once, marked @ once)[..., 0]
    by_class_drawn = shares(said @ weights.T, right @ weights.T, marked @ weights.T)
    said, right, marked = said.sum(axis=0), right.sum(axis=0), marked.sum(axis=0)
    overall = shares(said @ once, right @ once, marked @ once)[..., 0]
    overall_drawn = shares(said @ weights.T, right @ weights.T, marked @ weights.T)
    figures: dict[str, Any] = {}
    for place, name in enumerate(("precision", "recall", "f1")):
        figures |= with_interval(name, overall[place], overall_drawn[place])
        figures |= with_intervals(f"{name}_by_class", classes, by_class[place], by_class_drawn[place])
    return figures


def _count_errors(who: Scored, classes: tuple[str, ...], weights: NDArray[np.float64]) -> dict[str, Any]:
    """Returns how far the counts are off, mean absolute difference in lesions a photograph."""
    marked = np.array([one.marked_counts(len(classes)) for one in who.photographs]).reshape(-1, len(classes))
    errors = np.abs(who.counts - marked.sum(axis=1))
    by_class = np.abs(who.counts_by_class - marked).T
    return {
        **with_interval("count_error", nanmean(errors), weighted_means(errors, weights)),
        **with_intervals(
            "count_error_by_class", classes, nanmean(by_class.T, axis=0), weighted_means(by_class, weights)
        ),
    }
