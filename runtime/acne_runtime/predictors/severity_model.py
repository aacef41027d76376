"""A detector whose results carry a severity grade."""

from __future__ import annotations

import dataclasses

import numpy as np

from acne_runtime.errors import ModelError
from acne_runtime.frame import Frame
from acne_runtime.manifest import Manifest
from acne_runtime.model import Model, Predictor
from acne_runtime.result import Lesion, Result
from acne_runtime.severity import COUNTED, COUNTING, Severity, counted_types, grade_of, supports_severity

_MAX_RATIO = 1e6


class SeverityModel(Predictor):
    """A detector whose results carry a severity, for images of half a face."""

    def __init__(self, model: Model):
        """Wraps a detector.

        Args:
            model: Its manifest's `validation["counting"]` holds `threshold`, the score from which a lesion counts;
                `ratio_90`, the 5 % and 95 % quantiles of (labelled + 1) / (counted + 1) on validation images;
                `ratio_50`, their median, 1 if it is missing; and `types`, the types that count, unless they are
                `COUNTED`. Without it the lesions shown are counted and there is no interval.

        Raises:
            ModelError: The model does not detect the types that count, its manifest's counting is invalid, or the
                threshold in its file is too high.
        """
        manifest = model.manifest
        if not supports_severity(manifest):
            raise ModelError(f"{manifest.name}: does not detect {' and '.join(COUNTED)}, which the severity needs")
        self.manifest = manifest
        self._types = counted_types(manifest)
        shown = model.thresholds.tolist()
        by_class = shown * len(manifest.classes) if manifest.one_box_per_lesion else shown
        self._shown = dict(zip(manifest.classes, by_class, strict=True))
        self._counted, self._ratios = {name: self._shown[name] for name in self._types}, None
        if COUNTING in manifest.validation:
            threshold, self._ratios = _read_counting(manifest)
            self._counted = dict.fromkeys(self._types, float(np.float32(threshold)))
        lowest = [min(threshold, self._counted.get(name, threshold)) for name, threshold in self._shown.items()]
        if manifest.one_box_per_lesion:
            lowest = [min(lowest)]
        if manifest.has_nms and lowest != shown:
            raise ModelError(
                f"{manifest.name}: the threshold inside the file is above the one that the severity counts with; "
                "export it without NMS"
            )
        self._model = Model(dataclasses.replace(manifest, thresholds=tuple(lowest)), model.backend)

    def predict(self, frame: Frame) -> Result:
        """Processes one image of half a face; see `Model.predict`."""
        result, count = self.count(frame)
        return dataclasses.replace(result, severity=self.severity(count))

    def count(self, frame: Frame) -> tuple[Result, int]:
        """Returns the lesions shown in an image, and how many the grade would count; see `Model.predict`."""
        result = self._model.predict(frame)
        lesions = result.lesions or ()
        shown = tuple(lesion for lesion in lesions if lesion.score >= self._shown[lesion.name])
        return dataclasses.replace(result, lesions=shown), sum(map(self.is_counted, lesions))

    def is_counted(self, lesion: Lesion) -> bool:
        """Returns whether the grade counts a lesion, which need not be shown."""
        return lesion.name in self._types and lesion.score >= self._counted[lesion.name]

    def severity(self, count: float) -> Severity:
        """Returns the severity for a number of counted lesions, which may be a mean of several photographs."""
        if self._ratios is None:
            return Severity(grade_of(round(count)), round(count), types=self._types)
        low, middle, high = (max(0, round((count + 1) * ratio - 1)) for ratio in self._ratios)
        return Severity(grade_of(middle), middle, (low, high), self._types)


def _read_counting(manifest: Manifest) -> tuple[float, tuple[float, float, float]]:
    """Returns the counting threshold; and the low end, the median and the high end of the ratio's interval."""
    counting = manifest.validation[COUNTING]
    try:
        threshold, (low, high) = counting["threshold"], counting["ratio_90"]
        middle = counting.get("ratio_50", min(max(1, low), high))
        if type(threshold) in (int, float) and 0 <= threshold <= 1 and 0 <= low <= middle <= high <= _MAX_RATIO:
            return threshold, (low, middle, high)
    except (TypeError, ValueError, KeyError, AttributeError):
        pass
    raise ModelError(
        f"{manifest.name}: validation.{COUNTING} {counting!r} needs threshold, a number within 0 to 1, and ratio_90, "
        "two numbers in ascending order, with ratio_50 between them"
    )
