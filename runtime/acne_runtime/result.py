"""The one answer that every model, backend, camera and test gives."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

SCHEMA = 1
NO_DIAGNOSIS = "For education and monitoring; this is no diagnosis."


@dataclass(frozen=True, slots=True)
class Lesion:
    """One lesion found by a detection model.

    Attributes:
        name: The lesion type.
        score: 0 to 1.
        box: x1, y1, x2, y2 in pixels of the photograph.
    """

    name: str
    score: float
    box: tuple[float, float, float, float]

    def to_dict(self) -> dict[str, Any]:
        """Returns the JSON form: scores to four digits, pixels to two."""
        return {"class": self.name, "score": round(self.score, 4), "box": [round(side, 2) for side in self.box]}


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
        frame: Index of the frame in its source, from 0.
        time_s: Seconds from the start of the source.
        width: Width of the frame in pixels.
        height: Height of the frame in pixels.
        model: The model's name.
        classes: The model's class names, in its order.
        lesions: Best score first; None for a multi-label model.
        labels: One for each class; None for a detection model.
        timing: How long each step took.
    """

    source: str
    frame: int
    time_s: float
    width: int
    height: int
    model: str
    classes: tuple[str, ...]
    lesions: tuple[Lesion, ...] | None
    labels: tuple[Label, ...] | None
    timing: Timing

    def __post_init__(self) -> None:
        """Raises `ValueError` unless exactly one of `lesions` and `labels` is there."""
        if (self.lesions is None) == (self.labels is None):
            raise ValueError("expected either lesions or labels, got both or neither")

    def counts(self) -> dict[str, int]:
        """Returns the number of lesions (detection) or 0/1 for present (multi-label), by class."""
        if self.lesions is not None:
            names = [lesion.name for lesion in self.lesions]
        else:
            names = [label.name for label in self.labels or () if label.present]
        return {name: names.count(name) for name in self.classes}

    def to_dict(self) -> dict[str, Any]:
        """Returns the JSON form: the README's "Output" describes its fields."""
        answer: dict[str, Any] = {
            "schema": SCHEMA,
            "source": self.source,
            "frame": self.frame,
            "time_s": round(self.time_s, 3),
            "width": self.width,
            "height": self.height,
            "model": self.model,
        }
        if self.lesions is not None:
            answer["lesions"] = [one.to_dict() for one in self.lesions]
        if self.labels is not None:
            answer["labels"] = [one.to_dict() for one in self.labels]
        answer["counts"] = self.counts()
        answer["timing_ms"] = {
            "preprocess": round(self.timing.preprocess, 3),
            "inference": round(self.timing.inference, 3),
            "postprocess": round(self.timing.postprocess, 3),
        }
        return answer
