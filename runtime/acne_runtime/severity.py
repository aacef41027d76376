"""A severity grade from counts (Hayashi, Akamatsu and Kawashima 2008, J Dermatol 35:255-260).

It counts inflammatory lesions on half of a face: papules and pustules; comedones do not count. A model miscounts, and
by how much was measured: the trainer compares its counts with the labels of validation photographs. From which score on
a lesion counts is chosen there too, so that counts are right in the middle; the threshold from which lesions are shown
serves another end, and misses more. A lesion counts once, as the type that is most probable.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from acne_runtime.disclaimer import NO_DIAGNOSIS
from acne_runtime.errors import ModelError
from acne_runtime.manifest import Manifest

GRADES = ("mild", "moderate", "severe", "very severe")
UPPER = (5, 20, 50)
"""Most lesions of each grade but the last."""
COUNTED = ("papules", "pustules")
"""Types that count unless a manifest names others."""
COUNTING = "counting"
"""Where a manifest's `validation` says how the model counts."""


@dataclass(frozen=True, slots=True)
class Severity:
    """A grade and how sure it is.

    Attributes:
        grade: One of `GRADES`.
        lesions: Lesions counted, also such as are too uncertain to be shown.
        lesions_interval: What 90 % of the labelled counts lay between on validation photographs on which the model
            found so many (split conformal prediction); `None` where the model does not say how it counts.
        types: The types that were counted.
    """

    grade: str
    lesions: int
    lesions_interval: tuple[int, int] | None = None
    types: tuple[str, ...] = COUNTED

    @property
    def grades_interval(self) -> tuple[str, str] | None:
        """The grades of the interval's ends."""
        if self.lesions_interval is None:
            return None
        low, high = self.lesions_interval
        return grade_of(low), grade_of(high)

    @property
    def grades(self) -> str:
        """The grade and, where they differ, the grades of the interval, such as `moderate (mild to severe)`."""
        return self.grade if self._span() in ("", self.grade) else f"{self.grade} ({self._span()})"

    def to_dict(self) -> dict[str, Any]:
        """Returns the JSON form, with the sentence that this is no diagnosis."""
        answer: dict[str, Any] = {
            "grade": self.grade,
            "scale": f"Hayashi 2008: {self._what} on half of a face",
            "lesions": self.lesions,
        }
        if self.lesions_interval is not None:
            answer["lesions_interval_90"] = list(self.lesions_interval)
            answer["grades_interval_90"] = list(self.grades_interval or ())
        return answer | {"note": NO_DIAGNOSIS}

    def __str__(self) -> str:
        """Returns it in words, such as `moderate (about 12 papules and pustules; 90 %: 4 to 31, mild to severe)`."""
        text = f"{self.grade} (about {self.lesions} {self._what}"
        if self.lesions_interval is not None:
            text += f"; 90 %: {self.lesions_interval[0]} to {self.lesions_interval[1]}, {self._span()}"
        return text + ")"

    @property
    def _what(self) -> str:
        return " and ".join(COUNTED) if set(self.types) == set(COUNTED) else "lesions"

    def _span(self) -> str:
        return " to ".join(dict.fromkeys(self.grades_interval or ()))


def grade_of(lesions: int) -> str:
    """Returns the grade of a number of lesions on half of a face."""
    return GRADES[int(np.searchsorted(UPPER, lesions))]


def counted_types(manifest: Manifest) -> tuple[str, ...]:
    """Returns the types that count: those that the manifest's `validation["counting"]["types"]` names, or `COUNTED`.

    Raises:
        ModelError: They are not a list of its classes, each named once.
    """
    counting = manifest.validation.get(COUNTING)
    if not isinstance(counting, dict) or "types" not in counting:
        return COUNTED
    types = counting["types"]
    if isinstance(types, list) and types and all(types.count(one) == 1 and one in manifest.classes for one in types):
        return tuple(types)
    raise ModelError(
        f"{manifest.name}: validation.{COUNTING}.types {types!r} must list some of {', '.join(manifest.classes)}"
    )


def supports_severity(manifest: Manifest) -> bool:
    """Returns whether a model finds what the grade counts.

    Raises:
        ModelError: As `counted_types`.
    """
    return manifest.task == "detection" and set(counted_types(manifest)) <= set(manifest.classes)
