"""The one answer that every model, backend, camera and test gives."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from acne_runtime.draw import DARK, Box, Caption, Color, class_colors, draw_annotations
from acne_runtime.severity import Severity

SCHEMA = 2
"""Of the JSON form: 1 had no `types`, and the boxes of one lesion stood there once a type."""
UNSURE_RATIO = 0.8
"""A lesion's type is unsure where the second type's probability is at least this share of the first's."""


@dataclass(frozen=True, slots=True)
class Lesion:
    """One lesion found by a detection model; no other of the result is the same lesion.

    Attributes:
        name: The lesion type, that of the largest probability.
        score: Probability that a lesion of any type is there, 0 to 1; of Ultralytics' models, the score of the type.
        box: x1, y1, x2, y2 in pixels of the photograph.
        types: The probability of each type, 0 to 1, in the order of `Result.classes`; `None` where the model does not
            say (Ultralytics').
        unsure: Whether another type is nearly as probable, see `UNSURE_RATIO`.
    """

    name: str
    score: float
    box: tuple[float, float, float, float]
    types: tuple[float, ...] | None = None
    unsure: bool = False

    @classmethod
    def of_types(
        cls, classes: Sequence[str], score: float, box: tuple[float, float, float, float], types: tuple[float, ...]
    ) -> Lesion:
        """Returns a lesion of the type with the largest probability, of equal ones the first.

        Args:
            classes: The model's class names.
            score: The lesion score, 0 to 1.
            box: x1, y1, x2, y2 in pixels of the photograph.
            types: The probability of each class, in their order.
        """
        largest = max(types)
        best = types.index(largest)
        second = max((*types[:best], *types[best + 1 :]), default=-1.0)
        return cls(classes[best], score, box, types, unsure=second >= UNSURE_RATIO * largest)

    def to_dict(self, classes: Sequence[str]) -> dict[str, Any]:
        """Returns the JSON form: scores to four digits, pixels to two; `unsure` only where it is so.

        Args:
            classes: The model's class names, for `types`.
        """
        return {
            "class": self.name,
            "score": round(self.score, 4),
            **self._types_to_dict(classes),
            "box": [round(side, 2) for side in self.box],
        }

    def _types_to_dict(self, classes: Sequence[str]) -> dict[str, Any]:
        answer: dict[str, Any] = {}
        if self.types is not None:
            answer["types"] = {name: round(one, 4) for name, one in zip(classes, self.types, strict=True)}
        return answer | ({"unsure": True} if self.unsure else {})


@dataclass(frozen=True, slots=True)
class Label:
    """What a multi-label model says of one lesion type.

    Attributes:
        name: The lesion type.
        score: Probability, 0 to 1.
        present: Whether the score reaches the type's threshold.
    """

    name: str
    score: float
    present: bool

    def to_dict(self) -> dict[str, Any]:
        """Returns the JSON form: scores to four digits."""
        return {"class": self.name, "score": round(self.score, 4), "present": self.present}


@dataclass(frozen=True, slots=True)
class Timing:
    """Milliseconds of each step."""

    preprocess: float
    inference: float
    postprocess: float


@dataclass(frozen=True, slots=True)
class Result:
    """The answer for one frame.

    Attributes:
        source: Where the frame came from: a path, or `camera:0`.
        frame_index: Index of the frame in its source, from 0.
        time_s: Seconds from the start of the source.
        width: Width of the frame in pixels.
        height: Height of the frame in pixels.
        model: The model's name.
        classes: The model's class names, in its order.
        lesions: Best score first; None for a multi-label model.
        labels: One for each class; None for a detection model.
        timing: How long each step took.
        severity: A grade, where one was asked for.
    """

    source: str
    frame_index: int
    time_s: float
    width: int
    height: int
    model: str
    classes: tuple[str, ...]
    lesions: tuple[Lesion, ...] | None
    labels: tuple[Label, ...] | None
    timing: Timing
    severity: Severity | None = None

    def __post_init__(self) -> None:
        """Raises `ValueError` unless exactly one of `lesions` and `labels` is there."""
        if (self.lesions is None) == (self.labels is None):
            raise ValueError("expected either lesions or labels, got both or neither")

    def counts(self) -> dict[str, int]:
        """Returns the number of lesions (detection), each counted once, or 0/1 for present (multi-label), by class."""
        if self.lesions is not None:
            names = [lesion.name for lesion in self.lesions]
        else:
            names = [label.name for label in self.labels or () if label.present]
        return {name: names.count(name) for name in self.classes}

    def to_coco(self, image_id: int, categories: Mapping[str, int] | None = None) -> list[dict[str, Any]]:
        """Returns the lesions as COCO annotations without ids of their own, with `types` and `unsure` as in the JSON.

        Args:
            image_id: The frame's id in the COCO file.
            categories: Category ids by class; `None` counts the classes from 1.

        Raises:
            ValueError: It is a multi-label model's result, which has no boxes.
        """
        if self.lesions is None:
            raise ValueError(f"{self.model} finds no boxes")
        ids = categories or {name: number for number, name in enumerate(self.classes, start=1)}
        found = []
        for one in self.lesions:
            x1, y1, x2, y2 = (round(side, 2) for side in one.box)
            width, height = round(x2 - x1, 2), round(y2 - y1, 2)
            found.append(
                {
                    "image_id": image_id,
                    "category_id": ids[one.name],
                    "bbox": [x1, y1, width, height],
                    "area": round(width * height, 2),
                    "score": round(one.score, 4),
                    "iscrowd": 0,
                }
                | one._types_to_dict(self.classes)
            )
        return found

    def draw(self, image: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Returns a copy of the frame with boxes or labels drawn on it.

        Args:
            image: `[height, width, 3]` uint8 BGR, the frame that was looked at.
        """
        return annotate(image, self)

    def to_supervision(self) -> Any:
        """Returns `supervision.Detections`, if that package is installed.

        Its `data` holds `class_name` and `unsure`, `[n]`, and of models that say them `types`, `[n, classes]` float32.

        Raises:
            ModuleNotFoundError: It is not.
            ValueError: It is a multi-label model's result, which has no boxes.
        """
        import supervision

        if self.lesions is None:
            raise ValueError(f"{self.model} finds no boxes")
        data: dict[str, NDArray[Any] | list[Any]] = {
            "class_name": np.array([one.name for one in self.lesions], dtype=str),
            "unsure": np.array([one.unsure for one in self.lesions], bool),
        }
        types = [one.types for one in self.lesions if one.types is not None]
        if len(types) == len(self.lesions):
            data["types"] = np.array(types, np.float32).reshape(-1, len(self.classes))
        return supervision.Detections(
            xyxy=np.array([one.box for one in self.lesions], np.float32).reshape(-1, 4),
            confidence=np.array([one.score for one in self.lesions], np.float32),
            class_id=np.array([self.classes.index(one.name) for one in self.lesions], int),
            data=data,
        )

    def to_dict(self) -> dict[str, Any]:
        """Returns the JSON form, whose fields docs/running.md describes under "Sinks"."""
        answer: dict[str, Any] = {
            "schema": SCHEMA,
            "source": self.source,
            "frame": self.frame_index,
            "time_s": round(self.time_s, 3),
            "width": self.width,
            "height": self.height,
            "model": self.model,
        }
        if self.lesions is not None:
            answer["lesions"] = [one.to_dict(self.classes) for one in self.lesions]
        if self.labels is not None:
            answer["labels"] = [one.to_dict() for one in self.labels]
        answer["counts"] = self.counts()
        if self.severity is not None:
            answer["severity"] = self.severity.to_dict()
        answer["timing_ms"] = {
            "preprocess": round(self.timing.preprocess, 3),
            "inference": round(self.timing.inference, 3),
            "postprocess": round(self.timing.postprocess, 3),
        }
        return answer

    def _captions(self, colors: Mapping[str, Color]) -> list[Caption]:
        if self.labels is not None:
            captions = [
                Caption(f"{label.name} {label.score:.2f}", colors[label.name] if label.present else DARK)
                for label in self.labels
            ]
        else:
            captions = [Caption(f"{count} {name}", colors[name]) for name, count in self.counts().items() if count]
        captions = captions or [Caption("no lesion found")]
        return captions + ([Caption(f"severity: {self.severity.grades}")] if self.severity is not None else [])


def annotate(image: NDArray[np.uint8], *results: Result) -> NDArray[np.uint8]:
    """Returns a copy of the image with boxes or labels drawn on it; a `?` marks a lesion whose type is unsure.

    Args:
        image: `[height, width, 3]` uint8 BGR, the one the results are for.
        *results: One per model.

    Raises:
        SourceError: The image is not such an array.
    """
    colors = class_colors(name for result in results for name in result.classes)
    boxes = [
        Box(lesion.box, f"{lesion.name}{'?' if lesion.unsure else ''} {lesion.score:.2f}", colors[lesion.name])
        for result in results
        for lesion in reversed(result.lesions or ())  # the best ones last, on top
    ]
    return draw_annotations(image, boxes, [caption for result in results for caption in result._captions(colors)])
