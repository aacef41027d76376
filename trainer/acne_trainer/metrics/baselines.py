"""What a detector scores that never looks: the same boxes on every photograph, and the usual counts."""

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
        usual_count: The median number of lesions on a training photograph.
        usual_counts: `[classes]`, the same of each class.
    """

    boxes: NDArray[np.float64]
    classes: NDArray[np.int64]
    usual_count: float
    usual_counts: NDArray[np.float64]

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
        """The score that the first `usual_count` boxes reach: what it says when it has to decide."""
        return 1 - (round(self.usual_count) - 0.5) / max(1, len(self.boxes))

    def answers(self, results: Sequence[Result], classes: tuple[str, ...]) -> list[Result]:
        """Returns its answer for the photographs of other results: scores fall from 1 in the order of the draw."""
        scores = (1 - np.arange(len(self.boxes)) / max(1, len(self.boxes))).tolist()
        names = [classes[index] for index in self.classes]

        def answer(width: int, height: int) -> tuple[Lesion, ...]:
            boxes = (self.boxes * [width, height, width, height]).tolist()
            return tuple(Lesion(name, score, tuple(box)) for name, score, box in zip(names, scores, boxes, strict=True))

        return [dataclasses.replace(one, lesions=answer(one.width, one.height)) for one in results]
