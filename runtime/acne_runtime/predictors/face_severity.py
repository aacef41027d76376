"""One severity grade from photographs of a face's regions: their counts, added up."""

from __future__ import annotations

import dataclasses
from collections import defaultdict

import numpy as np
from numpy.typing import NDArray

from acne_runtime.errors import AcneEdgeError
from acne_runtime.frame import Frame
from acne_runtime.model import Model
from acne_runtime.predictors.severity_model import SeverityModel
from acne_runtime.result import Result
from acne_runtime.severity import Severity

REGIONS = ("forehead", "left-cheek", "right-cheek", "nose", "chin")
_BOTH_CHEEKS = {"left-cheek", "right-cheek"}


class FaceSeverity:
    """Grades half of a face, or a whole one, from photographs of its regions.

    Regions must not overlap in the photographs, or their common lesions count twice. Several photographs of one region
    count as their mean, which is steadier than each. Regions with both cheeks show a whole face: the grade, which is of
    half of a face, then rests on half of the sum.

    Attributes:
        manifest: The model's manifest.
    """

    def __init__(self, model: Model):
        """Starts without photographs.

        Args:
            model: A detector whose counts are calibrated, as for `SeverityModel`.

        Raises:
            ModelError: As `SeverityModel` does.
        """
        self._model = SeverityModel(model)
        self.manifest = self._model.manifest
        self._counted: defaultdict[str, list[int]] = defaultdict(list)

    def add(self, region: str, image: NDArray[np.uint8], source: str = "") -> Result:
        """Counts the lesions of a photograph.

        Args:
            region: One of `REGIONS`.
            image: The photograph of it, `[height, width, 3]` uint8, BGR as OpenCV reads it.
            source: Where it came from, for the result.

        Returns:
            The lesions shown, with `region`, and without a severity, since one region has none.

        Raises:
            AcneEdgeError: As `add_frame` does.
        """
        return self.add_frame(region, Frame(image, source))

    def add_frame(self, region: str, frame: Frame) -> Result:
        """Counts the lesions of a photograph; may be called from several threads.

        Args:
            region: One of `REGIONS`.
            frame: The photograph of it.

        Returns:
            The lesions shown, with `region`, and without a severity, since one region has none.

        Raises:
            AcneEdgeError: The region is none of `REGIONS`; or as `Predictor.predict`.
        """
        if region not in REGIONS:
            raise AcneEdgeError(f"region {region!r}: expected one of {', '.join(REGIONS)}")
        result, count = self._model.count(frame)
        self._counted[region].append(count)
        return dataclasses.replace(result, region=region)

    @property
    def photographs(self) -> dict[str, int]:
        """Number of photographs of each region."""
        return {region: len(self._counted[region]) for region in REGIONS if region in self._counted}

    @property
    def counted(self) -> dict[str, float]:
        """Mean number of counted lesions of each region, before the correction by the model's median ratio."""
        return {region: sum(self._counted[region]) / count for region, count in self.photographs.items()}

    @property
    def is_whole(self) -> bool:
        """Whether both cheeks were photographed."""
        return self._counted.keys() >= _BOTH_CHEEKS

    @property
    def severity(self) -> Severity:
        """The grade of all photographs added so far.

        Raises:
            AcneEdgeError: There are none.
        """
        if not self._counted:
            raise AcneEdgeError("no photograph of a region was added")
        return self._model.severity(sum(self.counted.values()) / (2 if self.is_whole else 1))

    def to_dict(self) -> dict[str, object]:
        """Returns the JSON form: `face` (`half` or `whole`), `regions` and `severity`."""
        counted = self.counted
        return {
            "face": "whole" if self.is_whole else "half",
            "regions": {
                region: {"photographs": count, "counted": round(counted[region], 2)}
                for region, count in self.photographs.items()
            },
            "severity": self.severity.to_dict(),
        }

    def __str__(self) -> str:
        """Returns it as text, such as `half of the face (forehead, chin): severity mild (about 3 ...)`."""
        regions = ", ".join(self.photographs)
        face = f"face ({regions}; half of the sum)" if self.is_whole else f"half of the face ({regions})"
        return f"{face}: severity {self.severity}"
