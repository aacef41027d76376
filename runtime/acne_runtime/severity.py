"""A severity grade from counts (Hayashi, Akamatsu and Kawashima 2008, J Dermatol 35:255-260).

It counts inflammatory lesions on half of a face: papules and pustules; comedones do not count. A model miscounts, and
by how much was measured: the trainer compares its counts with the labels of validation photographs. From which score on
a lesion counts is chosen there too, so that counts are right in the middle; the threshold from which lesions are shown
serves another end, and misses more. A lesion counts once, as the type that is most probable.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from acne_runtime.errors import ModelError
from acne_runtime.manifest import Manifest
from acne_runtime.model import Model
from acne_runtime.result import NO_DIAGNOSIS, Result

GRADES = ("mild", "moderate", "severe", "very severe")
UPPER = (5, 20, 50)
"""Most lesions of each grade but the last."""
COUNTED = ("papules", "pustules")
"""Types that count unless a manifest names others."""
_LARGEST_RATIO = 1e6
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


class SeverityModel:
    """A detector whose results carry a severity. It is called as a `Model` is."""

    def __init__(self, model: Model):
        """Wraps a detector.

        Args:
            model: Its manifest's `validation["counting"]` holds `threshold`, the score from which a lesion counts,
                `ratio_90`, the 5 % and 95 % points of (labelled + 1) / (counted + 1) on validation photographs, and
                `types`, those that count, where it is not `COUNTED`. Without it, what is shown counts, and there is no
                interval.

        Raises:
            ModelError: The model does not find what counts, does not state its counting as it should, or has a
                higher threshold inside its file.
        """
        manifest = model.manifest
        if not supports_severity(manifest):
            raise ModelError(f"--severity: {manifest.name} does not find {' and '.join(COUNTED)}")
        self.manifest = manifest
        self._types = counted_types(manifest)
        shown = model.thresholds.tolist()
        # One threshold for all types, or one a class.
        by_class = shown * len(manifest.classes) if manifest.one_box_per_lesion else shown
        self._shown = dict(zip(manifest.classes, by_class, strict=True))
        self._counted, self._ratio = {name: self._shown[name] for name in self._types}, None
        if COUNTING in manifest.validation:
            least, self._ratio = _stated(manifest)
            self._counted = dict.fromkeys(self._types, float(np.float32(least)))
        lowest = [min(one, self._counted.get(name, one)) for name, one in self._shown.items()]
        if manifest.one_box_per_lesion:
            lowest = [min(lowest)]
        if manifest.has_nms and lowest != shown:
            raise ModelError(
                f"--severity: {manifest.name} has its threshold inside the file, above that from which lesions "
                "count; export it without --nms"
            )
        self._model = Model(dataclasses.replace(manifest, thresholds=tuple(lowest)), model.backend)

    def __call__(
        self,
        image: NDArray[np.uint8],
        *,
        source: str = "",
        frame: int = 0,
        time_s: float = 0.0,
        size: tuple[int, int] | None = None,
    ) -> Result:
        """Looks at one photograph of half a face; see `Model.__call__`."""
        result = self._model(image, source=source, frame=frame, time_s=time_s, size=size)
        found = result.lesions or ()
        count = sum(one.name in self._types and one.score >= self._counted[one.name] for one in found)
        shown = tuple(one for one in found if one.score >= self._shown[one.name])
        return dataclasses.replace(result, lesions=shown, severity=self.severity(count))

    def severity(self, count: int) -> Severity:
        """Returns the severity of so many lesions counted."""
        if self._ratio is None:
            return Severity(grade_of(count), count, types=self._types)
        low, high = (max(0, round((count + 1) * one - 1)) for one in self._ratio)
        return Severity(grade_of(count), count, (low, high), self._types)


def _stated(manifest: Manifest) -> tuple[float, tuple[float, float]]:
    counting = manifest.validation[COUNTING]
    try:
        least, (low, high) = counting["threshold"], counting["ratio_90"]
        if type(least) in (int, float) and 0 <= least <= 1 and 0 <= low <= high <= _LARGEST_RATIO:
            return least, (low, high)
    except (TypeError, ValueError, KeyError):
        pass
    raise ModelError(
        f"{manifest.name}: validation.{COUNTING} {counting!r} states no threshold, 0 to 1, and ratio_90, two numbers"
    )
