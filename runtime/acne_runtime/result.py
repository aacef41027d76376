"""The result of every model and backend, and its drawing and export."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from acne_runtime.draw import DARK, WARNING, Box, Caption, Color, class_colors, draw_annotations
from acne_runtime.quality import Quality
from acne_runtime.severity import Severity

SCHEMA = 2
"""Version of the JSON format: 1 had no `types`, and one box per type of a lesion."""
UNSURE_RATIO = 0.8
"""A lesion's type is unsure if the second type's probability is at least this fraction of the first's."""


@dataclass(frozen=True, slots=True)
class Track:
    """What tracking knows of a lesion, see `predictors.tracked_model`.

    Attributes:
        id: Of the lesion in this video, from 1; `None` before it is confirmed.
        state: `confirmed`; `held`, which is confirmed though this frame does not show it; or `tentative`, which this
            frame shows and which has not proved itself.
        since_s: When it was first detected, in seconds from the start of the source.
    """

    id: int | None
    state: str
    since_s: float

    def to_dict(self) -> dict[str, Any]:
        """Returns the JSON form."""
        return {"id": self.id, "state": self.state, "since_s": round(self.since_s, 3)}


@dataclass(frozen=True, slots=True)
class Lesion:
    """One lesion found by a detection model. A result has each lesion once.

    Attributes:
        name: The most probable lesion type.
        score: Probability that a lesion of any type is present, 0 to 1; for Ultralytics models, the class score.
        box: x1, y1, x2, y2 in pixels of the image.
        types: The probability of each type, 0 to 1, in the order of `Result.classes`; `None` for models without them
            (Ultralytics).
        unsure: Whether another type is nearly as probable, see `UNSURE_RATIO`.
        track: Its identity in a video, from a `TrackedModel` only.
    """

    name: str
    score: float
    box: tuple[float, float, float, float]
    types: tuple[float, ...] | None = None
    unsure: bool = False
    track: Track | None = None

    @classmethod
    def of_types(
        cls, classes: Sequence[str], score: float, box: tuple[float, float, float, float], types: tuple[float, ...]
    ) -> Lesion:
        """Returns a lesion of the most probable type, the first of equal ones.

        Args:
            classes: The model's class names.
            score: The lesion score, 0 to 1.
            box: x1, y1, x2, y2 in pixels of the image.
            types: The probability of each class, in the order of `classes`.
        """
        largest = max(types)
        best = types.index(largest)
        second = max((*types[:best], *types[best + 1 :]), default=-1.0)
        return cls(classes[best], score, box, types, unsure=second >= UNSURE_RATIO * largest)

    def to_dict(self, classes: Sequence[str]) -> dict[str, Any]:
        """Returns the JSON form: scores rounded to four digits, pixels to two; `unsure` only if true.

        Args:
            classes: The model's class names, for `types`.
        """
        return {
            "class": self.name,
            "score": round(self.score, 4),
            **self._types_to_dict(classes),
            "box": [round(side, 2) for side in self.box],
        } | ({"track": self.track.to_dict()} if self.track is not None else {})

    def _types_to_dict(self, classes: Sequence[str]) -> dict[str, Any]:
        fields: dict[str, Any] = {}
        if self.types is not None:
            fields["types"] = {name: round(value, 4) for name, value in zip(classes, self.types, strict=True)}
        return fields | ({"unsure": True} if self.unsure else {})


@dataclass(frozen=True, slots=True)
class Label:
    """A multi-label model's prediction for one lesion type.

    Attributes:
        name: The lesion type.
        score: Probability, 0 to 1.
        present: Whether the score reaches the threshold of the type.
    """

    name: str
    score: float
    present: bool

    def to_dict(self) -> dict[str, Any]:
        """Returns the JSON form: scores rounded to four digits."""
        return {"class": self.name, "score": round(self.score, 4), "present": self.present}


@dataclass(frozen=True, slots=True)
class Timing:
    """Milliseconds of each step."""

    preprocess: float
    inference: float
    postprocess: float


@dataclass(frozen=True, slots=True)
class Result:
    """The result for one frame.

    Attributes:
        source: Where the frame is from: a path, or such as `camera:0`.
        frame_index: Index of the frame in its source, from 0.
        time_s: Seconds from the start of the source.
        width: Width of the frame in pixels.
        height: Height of the frame in pixels.
        model: The model's name.
        classes: The model's class names.
        lesions: Best score first; `None` for a multi-label model.
        labels: One per class; `None` for a detection model.
        timing: How long each step took.
        severity: The severity grade, from a `SeverityModel` only.
        stable_counts: Number of confirmed lesions, by class, from a `TrackedModel` only.
        quality: How good the image is, where that was asked for.
        region: The region of the face that it shows, from a `FaceSeverity` only.
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
    stable_counts: Mapping[str, int] | None = None
    quality: Quality | None = None
    region: str | None = None

    def __post_init__(self) -> None:
        """Raises `ValueError` unless exactly one of `lesions` and `labels` is given."""
        if (self.lesions is None) == (self.labels is None):
            raise ValueError("expected either lesions or labels, got both or neither")

    def counts(self) -> dict[str, int]:
        """Returns the number of lesions (detection) or 0/1 for present (multi-label), by class."""
        if self.lesions is not None:
            names = [lesion.name for lesion in self.lesions]
        else:
            names = [label.name for label in self.labels or () if label.present]
        return {name: names.count(name) for name in self.classes}

    def to_coco(self, image_id: int, categories: Mapping[str, int] | None = None) -> list[dict[str, Any]]:
        """Returns the lesions as COCO annotations without ids, with `types` and `unsure` as in the JSON form.

        Args:
            image_id: The frame's id in the COCO file.
            categories: Category ids by class name; `None` numbers the classes from 1.

        Raises:
            ValueError: The result is of a multi-label model, which has no boxes.
        """
        if self.lesions is None:
            raise ValueError(f"{self.model} is not a detector: it has no boxes")
        ids = categories or {name: number for number, name in enumerate(self.classes, start=1)}
        annotations = []
        for lesion in self.lesions:
            x1, y1, x2, y2 = (round(side, 2) for side in lesion.box)
            width, height = round(x2 - x1, 2), round(y2 - y1, 2)
            annotations.append(
                {
                    "image_id": image_id,
                    "category_id": ids[lesion.name],
                    "bbox": [x1, y1, width, height],
                    "area": round(width * height, 2),
                    "score": round(lesion.score, 4),
                    "iscrowd": 0,
                }
                | lesion._types_to_dict(self.classes)
            )
        return annotations

    def draw(self, image: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Returns a copy of the frame with boxes or labels drawn on it.

        Args:
            image: `[height, width, 3]` uint8 BGR, the image that the result is for.
        """
        return annotate(image, self)

    def to_supervision(self) -> Any:
        """Returns `supervision.Detections`; needs the package supervision.

        Its `data` holds `class_name` and `unsure`, `[n]`, and if the model has them `types`, `[n, classes]` float32.

        Raises:
            ModuleNotFoundError: The package is not installed.
            ValueError: The result is of a multi-label model, which has no boxes.
        """
        import supervision

        if self.lesions is None:
            raise ValueError(f"{self.model} is not a detector: it has no boxes")
        data: dict[str, NDArray[Any] | list[Any]] = {
            "class_name": np.array([lesion.name for lesion in self.lesions], dtype=str),
            "unsure": np.array([lesion.unsure for lesion in self.lesions], bool),
        }
        types = [lesion.types for lesion in self.lesions if lesion.types is not None]
        if len(types) == len(self.lesions):
            data["types"] = np.array(types, np.float32).reshape(-1, len(self.classes))
        return supervision.Detections(
            xyxy=np.array([lesion.box for lesion in self.lesions], np.float32).reshape(-1, 4),
            confidence=np.array([lesion.score for lesion in self.lesions], np.float32),
            class_id=np.array([self.classes.index(lesion.name) for lesion in self.lesions], int),
            data=data,
        )

    def to_dict(self, timing: bool = True) -> dict[str, Any]:
        """Returns the JSON form, whose fields docs/running.md describes under "Sinks".

        Args:
            timing: Whether it says how long each step took, the one thing that differs from run to run.
        """
        fields: dict[str, Any] = {
            "schema": SCHEMA,
            "source": self.source,
            "frame": self.frame_index,
            "time_s": round(self.time_s, 3),
            "width": self.width,
            "height": self.height,
            "model": self.model,
        }
        if self.region is not None:
            fields["region"] = self.region
        if self.lesions is not None:
            fields["lesions"] = [lesion.to_dict(self.classes) for lesion in self.lesions]
        if self.labels is not None:
            fields["labels"] = [label.to_dict() for label in self.labels]
        fields["counts"] = self.counts()
        if self.stable_counts is not None:
            fields["stable_counts"] = dict(self.stable_counts)
        if self.severity is not None:
            fields["severity"] = self.severity.to_dict()
        if self.quality is not None:
            fields["quality"] = self.quality.to_dict()
        if timing:
            fields["timing_ms"] = {
                "preprocess": round(self.timing.preprocess, 3),
                "inference": round(self.timing.inference, 3),
                "postprocess": round(self.timing.postprocess, 3),
            }
        return fields

    def _captions(self, colors: Mapping[str, Color]) -> list[Caption]:
        if self.labels is not None:
            captions = [
                Caption(f"{label.name} {label.score:.2f}", colors[label.name] if label.present else DARK)
                for label in self.labels
            ]
        else:
            counts = self.counts() if self.stable_counts is None else self.stable_counts
            captions = [Caption(f"{count} {name}", colors[name]) for name, count in counts.items() if count]
        captions = captions or [Caption("no lesion found")]
        if self.severity is not None:
            captions.append(Caption(f"severity: {self.severity.grades}"))
        return captions + [Caption(hint, WARNING) for hint in (self.quality.hints if self.quality is not None else ())]


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
        Box(
            lesion.box, _caption(lesion), colors[lesion.name], thin=lesion.track is not None and lesion.track.id is None
        )
        for result in results
        for lesion in reversed(result.lesions or ())  # the best ones last, on top
    ]
    return draw_annotations(image, boxes, [caption for result in results for caption in result._captions(colors)])


def _caption(lesion: Lesion) -> str:
    if lesion.track is not None and lesion.track.id is None:
        return ""  # its score says little yet
    number = f"#{lesion.track.id} " if lesion.track is not None else ""
    return f"{number}{lesion.name}{'?' if lesion.unsure else ''} {lesion.score:.2f}"
