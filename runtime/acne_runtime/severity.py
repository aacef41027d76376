"""Severity grade from lesion counts (Hayashi, Akamatsu and Kawashima 2008, J Dermatol 35:255-260).

The grade counts inflammatory lesions on half of a face: papules and pustules, no comedones. The trainer calibrates a
model's counts on validation images: the counting threshold is that from which counts follow the labelled ones best, the
median ratio of the two corrects them, and the errors give the interval. The threshold for lesions that are shown is
usually higher. A lesion counts once, as its most probable type.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from acne_runtime.errors import ModelError
from acne_runtime.manifest import Manifest

NO_DIAGNOSIS = "For education and monitoring only. Not a medical diagnosis."
"""What every output for people says once."""
GRADES = ("mild", "moderate", "severe", "very severe")
UPPER = (5, 20, 50)
"""Maximum number of lesions of each grade but the last."""
COUNTED = ("papules", "pustules")
"""Types that count, unless the manifest names others."""
NOT_INFLAMMATORY = "comedones"
COUNTING = "counting"
"""Key of the counting calibration in a manifest's `validation`."""


@dataclass(frozen=True, slots=True)
class Severity:
    """A grade and its uncertainty.

    Attributes:
        grade: One of `GRADES`.
        lesions: About how many lesions there are: those counted, which may include some with too low a score to be
            shown, times the median ratio of labelled to counted ones on validation images.
        lesions_interval: 90 % prediction interval of the labelled count (split conformal prediction on validation
            images); `None` for a model without calibrated counts.
        types: The types that were counted.
    """

    grade: str
    lesions: int
    lesions_interval: tuple[int, int] | None = None
    types: tuple[str, ...] = COUNTED

    @property
    def grades_interval(self) -> tuple[str, str] | None:
        """The grades of the ends of the interval."""
        if self.lesions_interval is None:
            return None
        low, high = self.lesions_interval
        return grade_of(low), grade_of(high)

    @property
    def lesions_to_next_grade(self) -> int | None:
        """How many more lesions make the next grade; `None` for the last one."""
        index = GRADES.index(self.grade)
        return UPPER[index] + 1 - self.lesions if index < len(UPPER) else None

    @property
    def grades(self) -> str:
        """The grade and, where they differ, the grades of the interval, such as `moderate (mild to severe)`."""
        return self.grade if self._span() in ("", self.grade) else f"{self.grade} ({self._span()})"

    def to_dict(self) -> dict[str, Any]:
        """Returns the JSON form, with the disclaimer."""
        fields: dict[str, Any] = {
            "grade": self.grade,
            "scale": f"Hayashi 2008: {self._what} on half of a face",
            "lesions": self.lesions,
        }
        if self.lesions_interval is not None:
            fields["lesions_interval_90"] = list(self.lesions_interval)
            fields["grades_interval_90"] = list(self.grades_interval or ())
        if self.lesions_to_next_grade is not None:
            fields["lesions_to_next_grade"] = self.lesions_to_next_grade
        return fields | {"note": NO_DIAGNOSIS}

    def __str__(self) -> str:
        """Returns it as text, such as `moderate (about 12 papules and pustules; 90 %: 4 to 31, mild to severe)`."""
        text = f"{self.grade} (about {self.lesions} {self._what}"
        if self.lesions_interval is not None:
            text += f"; 90 %: {self.lesions_interval[0]} to {self.lesions_interval[1]}, {self._span()}"
        return text + ")"

    @property
    def _what(self) -> str:
        if set(self.types) == set(COUNTED):
            return " and ".join(COUNTED)
        return "lesions" if NOT_INFLAMMATORY in self.types else "inflammatory lesions"

    def _span(self) -> str:
        return " to ".join(dict.fromkeys(self.grades_interval or ()))


def grade_of(lesions: int) -> str:
    """Returns the grade for a number of lesions on half of a face."""
    return GRADES[int(np.searchsorted(UPPER, lesions))]


def counted_types(manifest: Manifest) -> tuple[str, ...]:
    """Returns the types that count: the manifest's `validation["counting"]["types"]`, or `COUNTED`.

    Raises:
        ModelError: They are not a list of distinct classes of the model.
    """
    counting = manifest.validation.get(COUNTING)
    if not isinstance(counting, dict) or "types" not in counting:
        return COUNTED
    types = counting["types"]
    if isinstance(types, list) and types and all(types.count(name) == 1 and name in manifest.classes for name in types):
        return tuple(types)
    raise ModelError(
        f"{manifest.name}: validation.{COUNTING}.types {types!r} must list some of {', '.join(manifest.classes)}"
    )


def supports_severity(manifest: Manifest) -> bool:
    """Returns whether a model detects the types that count.

    Raises:
        ModelError: As `counted_types`.
    """
    return manifest.task == "detection" and set(counted_types(manifest)) <= set(manifest.classes)
