"""A detector that follows lesions through a video, for steady counts."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

import numpy as np

from acne_runtime.errors import ModelError
from acne_runtime.frame import Frame
from acne_runtime.model import Model, Predictor
from acne_runtime.predictors.camera_motion import CameraMotion
from acne_runtime.predictors.severity_model import SeverityModel
from acne_runtime.predictors.tracker import FLOOR, MIN_FRAMES, TrackedLesion, Tracker
from acne_runtime.result import Lesion, Result, Track


class TrackedModel(Predictor):
    """A detector whose results hold the lesions of the frames so far; it takes the frames of one video, in order.

    A result lists the lesions that are confirmed now, each with its id, whether or not this frame shows it, and those
    that this frame shows and that have not proved themselves yet (`tentative`). `stable_counts` are the confirmed ones.
    """

    def __init__(self, model: Model, severity: SeverityModel | None = None):
        """Wraps a detector.

        Args:
            model: The detector; lesions are confirmed at its thresholds.
            severity: Grades the steady counts; of the same model.

        Raises:
            ModelError: The model is not a detector, or its file drops what is below the threshold.
        """
        manifest = model.manifest
        if manifest.task != "detection":
            raise ModelError(f"{manifest.name}: not a detector, which tracking needs")
        if manifest.has_nms:
            raise ModelError(
                f"{manifest.name}: the threshold inside the file drops weak detections, which tracking needs; "
                "export it without NMS"
            )
        self.manifest = manifest
        shown = model.thresholds.astype(float).tolist()
        by_class = shown * len(manifest.classes) if manifest.one_box_per_lesion else shown
        self._thresholds: Mapping[str, float] = dict(zip(manifest.classes, by_class, strict=True))
        lowered = tuple(FLOOR * threshold for threshold in shown)
        self._model = Model(dataclasses.replace(manifest, thresholds=lowered), model.backend)
        self._severity = severity
        self._motion = CameraMotion()
        self.tracker = Tracker(manifest.classes)

    def predict(self, frame: Frame) -> Result:
        """Processes the next frame; see `Predictor.predict`."""
        result = self._model.predict(frame)
        detected = result.lesions or ()
        motion = self._motion(frame.image).copy()
        motion[:, 2] *= result.width / frame.image.shape[1]  # an image may be read at a fraction of its size
        ratios = np.array([lesion.score / max(self._thresholds[lesion.name], 1e-9) for lesion in detected])
        self.tracker.update(detected, ratios, frame.time_s, motion, (result.width, result.height))
        confirmed = [self._lesion(one) for one in self.tracker.lesions if one.confirmed]
        tentative = [self._lesion(one) for one in self.tracker.lesions if not one.confirmed and one.newest_ratio >= 1]
        names = [lesion.name for lesion in confirmed]
        result = dataclasses.replace(
            result,
            lesions=tuple(sorted([*confirmed, *tentative], key=lambda lesion: -lesion.score)),
            stable_counts={name: names.count(name) for name in self.manifest.classes},
        )
        if self._severity is None:
            return result
        known = [self._lesion(one) for one in self.tracker.lesions if one.frames >= MIN_FRAMES]
        return dataclasses.replace(result, severity=self._severity.severity(sum(map(self._severity.is_counted, known))))

    def _lesion(self, one: TrackedLesion) -> Lesion:
        x1, y1, x2, y2 = one.box.tolist()
        lesion = Lesion.of_types(self.manifest.classes, one.score, (x1, y1, x2, y2), tuple(one.types.tolist()))
        if not self.manifest.one_box_per_lesion:  # their class scores are no probabilities of types
            lesion = dataclasses.replace(lesion, types=None, unsure=False)
        state = "tentative" if not one.confirmed else "confirmed" if one.newest_ratio else "held"
        return dataclasses.replace(lesion, track=Track(one.id if one.confirmed else None, state, one.first_s))
