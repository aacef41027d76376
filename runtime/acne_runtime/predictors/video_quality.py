"""Quality of the frames of one video, with the motion between them."""

from __future__ import annotations

from acne_runtime.frame import Frame
from acne_runtime.predictors.camera_motion import CameraMotion, speed
from acne_runtime.quality import Quality, measure_quality


class VideoQuality:
    """Measures the frames of one video, in order."""

    def __init__(self) -> None:
        self._motion, self._last_s = CameraMotion(), 0.0

    def __call__(self, frame: Frame) -> Quality:
        """Returns the quality of the next frame."""
        height, width = frame.image.shape[:2]
        moved = speed(self._motion(frame.image), width, height) / max(frame.time_s - self._last_s, 1e-3)
        self._last_s = frame.time_s
        return measure_quality(frame.image, moved)
