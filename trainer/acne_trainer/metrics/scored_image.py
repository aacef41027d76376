"""The annotated lesions of an image paired with the predicted ones, as arrays."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from acne_runtime.manifest import InputSpec
from acne_runtime.result import Result
from acne_trainer.data.dataset import Sample

LEAST_OF_A_TYPE = 0.001
"""Probability from which a lesion is ranked under a type; it is that from which boxes count for average precision."""


@dataclass(frozen=True, slots=True)
class ScoredImage:
    """One photograph; boxes are `xyxy`, in one and the same pixels.

    A detector that says the probability of each type finds a lesion once: its class is the most probable type, its
    score that of a lesion of any type.

    Attributes:
        gt_boxes: `[n, 4]` float64, the boxes that people drew.
        gt_classes: `[n]` int64, class indices.
        pred_boxes: `[m, 4]` float64, the detector's boxes, best first.
        pred_classes: `[m]` int64, class indices.
        scores: `[m]` float64, 0 to 1, falling.
        types: `[m, classes]` float64, the probability of each type; `None` where the detector does not say.
    """

    gt_boxes: NDArray[np.float64]
    gt_classes: NDArray[np.int64]
    pred_boxes: NDArray[np.float64]
    pred_classes: NDArray[np.int64]
    scores: NDArray[np.float64]
    types: NDArray[np.float64] | None = None

    def gt_counts(self, class_count: int) -> NDArray[np.int64]:
        """Returns `[class_count]`, how many lesions of each class are marked."""
        return np.bincount(self.gt_classes, minlength=class_count)

    def pred_counts(self, thresholds: NDArray[np.float64]) -> NDArray[np.int64]:
        """Returns `[classes]`, how many found boxes of each class reach its threshold."""
        return np.bincount(self.reaching(thresholds).pred_classes, minlength=len(thresholds))

    def as_one_class(self) -> ScoredImage:
        """Returns the same boxes with class 0 throughout: lesions of whatever type."""
        return dataclasses.replace(
            self,
            gt_classes=np.zeros_like(self.gt_classes),
            pred_classes=np.zeros_like(self.pred_classes),
            types=None,
        )

    def under_each_type(self) -> ScoredImage:
        """Returns each found box under every type, scored by that type's probability, as COCO ranks detections.

        For average precision by type, from `LEAST_OF_A_TYPE` on; decisions and counts are of the lesions themselves.
        Where the detector does not say the types, the boxes stay as they are.
        """
        if self.types is None:
            return self
        boxes, classes = np.nonzero(self.types >= LEAST_OF_A_TYPE)
        order = np.argsort(-self.types[boxes, classes], kind="stable")
        boxes, classes = boxes[order], classes[order]
        scores = self.types[boxes, classes]
        return dataclasses.replace(
            self, pred_boxes=self.pred_boxes[boxes], pred_classes=classes, scores=scores, types=None
        )

    def reaching(self, thresholds: NDArray[np.float64]) -> ScoredImage:
        """Returns the photograph with those found boxes only whose scores reach the thresholds `[classes]`."""
        kept = self.scores >= thresholds[self.pred_classes]
        return dataclasses.replace(
            self,
            pred_boxes=self.pred_boxes[kept],
            pred_classes=self.pred_classes[kept],
            scores=self.scores[kept],
            types=None if self.types is None else self.types[kept],
        )


def pair_with_ground_truth(
    samples: Sequence[Sample], results: Sequence[Result], classes: tuple[str, ...], spec: InputSpec | None = None
) -> list[ScoredImage]:
    """Puts labels and results of the same photographs side by side.

    Args:
        samples: The photographs.
        results: One for each photograph, in the same order.
        classes: Class names in the order of the samples' indices.
        spec: The model's input, to give all boxes in its pixels; without it they are in the photograph's own.

    Raises:
        ValueError: There are more or fewer results than photographs, or some lesions of one say the types and some not.
    """
    index = {name: number for number, name in enumerate(classes)}
    together = []
    for sample, result in zip(samples, results, strict=True):
        scale = np.ones(4) if spec is None else np.tile(_input_pixels(spec, result.width, result.height), 2)
        lesions = sorted(result.lesions or (), key=lambda lesion: -lesion.score)
        types = [lesion.types for lesion in lesions if lesion.types is not None]
        if len(types) not in (0, len(lesions)):
            raise ValueError(f"{result.source}: some lesions say the probability of each type and some do not")
        together.append(
            ScoredImage(
                sample.boxes.astype(np.float64) * scale,
                sample.classes.astype(np.int64),
                np.array([lesion.box for lesion in lesions], np.float64).reshape(-1, 4) * scale,
                np.array([index[lesion.name] for lesion in lesions], np.int64),
                np.array([lesion.score for lesion in lesions], np.float64),
                np.array(types, np.float64) if types else None,
            )
        )
    return together


def _input_pixels(spec: InputSpec, width: int, height: int) -> tuple[float, float]:
    """Returns how many of the model's pixels one of the photograph's is, horizontally and vertically."""
    across, down = spec.width / width, spec.height / height
    return (across, down) if spec.resize == "stretch" else (min(across, down),) * 2
