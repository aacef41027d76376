"""Lesions on a photograph, or on a burst of them, down to what is evidence only."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from acne_runtime.errors import ModelError
from acne_runtime.load import DEFAULT_MODEL, load_model
from acne_runtime.model import Model
from acne_runtime.predictors.camera_motion import CameraMotion
from acne_runtime.predictors.severity_model import SeverityModel
from acne_runtime.predictors.tracker import Tracker
from acne_runtime.quality import measure_quality
from acne_runtime.result import Lesion
from acne_runtime.severity import Severity, supports_severity

EVIDENCE = 0.35
"""Score over the threshold down to which a detection is evidence that a lesion may be there."""
_FLOOR = 0.15
"""The same on a single frame of a burst, or the mean over the burst would be too low: a miss counts as 0."""


@dataclass(frozen=True, slots=True)
class Found:
    """What a model says of a photograph.

    Attributes:
        image: `[height, width, 3]` uint8 BGR, the sharpest of the burst; boxes are in its pixels.
        lesions: Down to `EVIDENCE` times the threshold, best first; the score is the mean over the burst.
        ratios: `[n]`, scores over the threshold.
        frame_counts: Lesions shown on each frame.
        severity: The grade from the mean scores, if the model supports it.
    """

    image: NDArray[np.uint8]
    lesions: tuple[Lesion, ...]
    ratios: tuple[float, ...]
    frame_counts: tuple[int, ...]
    severity: Severity | None


class Detector:
    """A detector for visits.

    Attributes:
        model: The model.
        threshold: Score from which a lesion counts.
    """

    def __init__(self, name: str = DEFAULT_MODEL):
        """Loads a detector by its name or file.

        Raises:
            ModelError: It is not a detector, or its file drops what is below the threshold.
        """
        model = load_model(name)
        manifest = model.manifest
        if not manifest.one_box_per_lesion or manifest.has_nms:
            raise ModelError(
                f"{manifest.name}: not a detector with one box a lesion and its scores; use {DEFAULT_MODEL}"
            )
        self.threshold = float(model.thresholds[0])
        self.model = Model(dataclasses.replace(manifest, thresholds=(_FLOOR * self.threshold,)), model.backend)
        self._severity = SeverityModel(model) if supports_severity(manifest) else None

    def __call__(self, frames: Sequence[NDArray[np.uint8]]) -> Found:
        """Processes a photograph, or several taken one after another.

        Args:
            frames: Each `[height, width, 3]` uint8 BGR, of one size.
        """
        # The sharpest one last: it is kept, and the tracker's boxes are those of the last frame.
        order = sorted(frames, key=lambda frame: measure_quality(frame).sharpness)
        tracker = Tracker(self.model.manifest.classes, time_constant_s=math.inf)
        motion = CameraMotion()
        counts = []
        for frame in order:
            lesions = self.model(frame).lesions or ()
            ratios = np.array([lesion.score / self.threshold for lesion in lesions])
            counts.append(int((ratios >= 1).sum()))
            tracker.update(lesions, ratios, 0.0, motion(frame), (frame.shape[1], frame.shape[0]))
        kept = sorted((one for one in tracker.lesions if one.ratio >= EVIDENCE), key=lambda one: -one.ratio)
        found = []
        for one in kept:
            x1, y1, x2, y2 = one.box.tolist()
            types = tuple(one.types.tolist())
            found.append(Lesion.of_types(self.model.manifest.classes, one.score, (x1, y1, x2, y2), types))
        severity = None
        if self._severity is not None:
            severity = self._severity.severity(sum(map(self._severity.is_counted, found)))
        return Found(order[-1], tuple(found), tuple(one.ratio for one in kept), tuple(counts), severity)
