"""Trivial baselines: what is scored without looking at an image."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from acne_runtime.manifest import MAX_DETECTIONS
from acne_runtime.result import Lesion, Result
from acne_trainer.data.dataset import Sample

_SEED = 0


@dataclass(frozen=True, slots=True)
class ConstantDetector:
    """Boxes drawn from the training photographs, and the training photographs' median counts.

    Attributes:
        boxes: `[n, 4]` `xyxy`, fractions of the photograph's sides, in the order they were drawn.
        classes: `[n]` class indices.
        median_count: The median number of lesions on a training photograph.
        median_counts: `[classes]`, the same of each class.
    """

    boxes: NDArray[np.float64]
    classes: NDArray[np.int64]
    median_count: float
    median_counts: NDArray[np.float64]

    @classmethod
    def of(cls, train: Sequence[Sample], class_count: int) -> ConstantDetector:
        """Draws as many boxes as a detector may find at most, or all there are; the same set gives the same boxes.

        Raises:
            SourceError: A photograph, whose size is needed, cannot be decoded.
        """
        places = [(number, row) for number, sample in enumerate(train) for row in range(len(sample.boxes))]
        rng = np.random.default_rng(_SEED)
        drawn = [places[i] for i in rng.permutation(len(places))[:MAX_DETECTIONS]]
        sizes = {number: train[number].image().shape[1::-1] for number, _ in drawn}
        boxes = [train[number].boxes[row] / np.tile(sizes[number], 2) for number, row in drawn]
        counts = np.array([np.bincount(sample.classes, minlength=class_count) for sample in train])
        return cls(
            np.array(boxes, np.float64).reshape(-1, 4),
            np.array([train[number].classes[row] for number, row in drawn], np.int64),
            float(np.median(counts.sum(axis=1))),
            np.median(counts, axis=0),
        )

    @property
    def threshold(self) -> float:
        """The score that the first `median_count` boxes reach: its decision threshold."""
        return 1 - (round(self.median_count) - 0.5) / max(1, len(self.boxes))

    def predict(self, results: Sequence[Result], classes: tuple[str, ...]) -> list[Result]:
        """Returns its predictions on the images of other results: scores fall from 1 in the order of the draw."""
        scores = (1 - np.arange(len(self.boxes)) / max(1, len(self.boxes))).tolist()
        names = [classes[index] for index in self.classes]

        def lesions(width: int, height: int) -> tuple[Lesion, ...]:
            boxes = (self.boxes * [width, height, width, height]).tolist()
            return tuple(Lesion(name, score, tuple(box)) for name, score, box in zip(names, scores, boxes, strict=True))

        return [dataclasses.replace(result, lesions=lesions(result.width, result.height)) for result in results]


@dataclass(frozen=True, slots=True)
class ConstantClassifier:
    """The same answer for every image.

    Attributes:
        prevalence: `[classes]`, fraction of training images that show each class: its scores.
        commonest: The most common set of classes among them, 0 or 1 each: its prediction of the exact set. For the
            other metrics it predicts every class of every image, which gives it its best F1.
    """

    prevalence: NDArray[np.float32]
    commonest: Sequence[float]
