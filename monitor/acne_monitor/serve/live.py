"""The camera behind the page: one thread follows the lesions, and any number of readers take the newest frame."""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from time import monotonic, sleep
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from acne_runtime.errors import AcneEdgeError, SourceError
from acne_runtime.frame import Frame
from acne_runtime.load import load_model
from acne_runtime.model import Predictor
from acne_runtime.predictors.severity_model import SeverityModel
from acne_runtime.predictors.tracked_model import TrackedModel
from acne_runtime.predictors.video_quality import VideoQuality
from acne_runtime.result import annotate
from acne_runtime.severity import supports_severity
from acne_runtime.sources.open_source import open_camera, open_source

logger = logging.getLogger(__name__)

MAX_SIDE = 720
"""Longest side in pixels of the frames that the page shows; phones choke on more."""
_QUALITY = 80
_RETRY_S = 2.0
_IDLE_S = 10.0
"""Seconds without a reader after which the camera is closed."""


@dataclass(frozen=True, slots=True)
class Shown:
    """What the page shows of one frame.

    Attributes:
        number: From 1; larger ones are newer.
        jpeg: The annotated frame.
        info: Counts, severity, quality; or `error`.
    """

    number: int
    jpeg: bytes
    info: dict[str, Any]


class Live:
    """Runs a tracked model on a camera, a stream or a repeated video; the camera is off unless somebody looks."""

    def __init__(self, source: int | str, model_name: str):
        """Loads the model; the camera is opened by `start`.

        Args:
            source: The number of a camera, or a video's path or a stream's URL.
            model_name: A shipped model or a model file.
        """
        self._source, self._name = source, model_name
        self._model = load_model(model_name)
        TrackedModel(self._model)  # says now whether it can be tracked
        self._changed = threading.Condition()
        self._newest = Shown(0, b"", {"error": "the camera is starting"})
        self._burst: list[NDArray[np.uint8]] | None = None
        self._stop = threading.Event()
        self._asked_s = monotonic()
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Starts the thread."""
        self._thread = threading.Thread(target=self._run, name="live", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Ends the thread and closes the camera."""
        self._stop.set()
        if self._thread is not None:
            self._thread.join(timeout=5)

    async def after(self, number: int) -> Shown:
        """Waits for a frame newer than one that is known; a slow reader misses those between."""
        self._asked_s = monotonic()
        while self._newest.number <= number and not self._stop.is_set():
            await asyncio.sleep(0.01)
            self._asked_s = monotonic()
        return self._newest

    def take_burst(self, frames: int, timeout_s: float = 20.0) -> list[NDArray[np.uint8]]:
        """Returns the next frames as the camera gives them.

        Raises:
            SourceError: The camera gives none.
        """
        self._asked_s = monotonic()
        with self._changed:
            if self._burst is not None:
                raise SourceError("a photograph is being taken already")
            self._burst = []
            try:
                if not self._changed.wait_for(lambda: len(self._burst or ()) >= frames, timeout_s):
                    raise SourceError("the camera gives no picture; check that it is connected and not in use")
                return self._burst[:frames]
            finally:
                self._burst = None

    def _run(self) -> None:
        while not self._stop.is_set():
            if not self._is_watched:
                self._stop.wait(0.1)
                continue
            try:
                self._follow()
            except AcneEdgeError as error:
                logger.warning("%s", error)
                self._publish(None, {"error": str(error)})
            except Exception as error:  # or the page would show an old picture for ever
                logger.exception("live view failed")
                self._publish(None, {"error": f"the live view failed ({type(error).__name__})"})
            if self._newest.info.get("error"):
                self._stop.wait(_RETRY_S)

    @property
    def _is_watched(self) -> bool:
        return monotonic() - self._asked_s < _IDLE_S

    def _follow(self) -> None:
        """Follows the lesions until the source ends."""
        severity = SeverityModel(self._model) if supports_severity(self._model.manifest) else None
        model: Predictor = TrackedModel(self._model, severity)
        measure, size = VideoQuality(), None
        for frame in self._frames():
            if self._stop.is_set() or not self._is_watched:
                return
            result = model.predict(frame)
            height, width = frame.image.shape[:2]
            if size not in (None, (height, width)):  # another camera: a burst has one size
                raise SourceError("the picture's size changed")
            size = (height, width)
            info = {
                "counts": dict(result.stable_counts or {}),
                "severity": None if result.severity is None else result.severity.to_dict(),
                "quality": measure(frame).to_dict(),
                "milliseconds": round(
                    sum((result.timing.preprocess, result.timing.inference, result.timing.postprocess))
                ),
                "width": width,
                "height": height,
            }
            with self._changed:
                if self._burst is not None:
                    self._burst.append(frame.image.copy())
                    self._changed.notify_all()
            self._publish(annotate(frame.image, result), info)

    def _frames(self) -> Iterator[Frame]:
        if isinstance(self._source, int):
            yield from open_camera(self._source).frames
            return
        source = open_source(self._source)
        if source.live is not None or not source.is_video:
            yield from source.frames
            return
        begun = monotonic()
        for frame in source.frames:  # at the speed of life; late frames are left out
            ahead = frame.time_s - (monotonic() - begun)
            if ahead > 0:
                sleep(ahead)
            elif ahead < -0.2:
                continue
            yield frame

    def _publish(self, image: NDArray[np.uint8] | None, info: dict[str, Any]) -> None:
        jpeg = self._newest.jpeg if image is None else _small_jpeg(image)
        self._newest = Shown(self._newest.number + 1, jpeg, info)


def _small_jpeg(image: NDArray[np.uint8]) -> bytes:
    scale = min(1.0, MAX_SIDE / max(image.shape[:2]))
    if scale < 1:
        size = (round(image.shape[1] * scale), round(image.shape[0] * scale))
        image = np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_AREA), np.uint8)
    return cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, _QUALITY])[1].tobytes()
