"""One model: image in, `Result` out, in three steps: preprocess, run, postprocess."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from time import perf_counter
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from acne_runtime.backends.base import Backend
from acne_runtime.errors import ModelError
from acne_runtime.frame import Frame
from acne_runtime.manifest import ANY, Manifest
from acne_runtime.postprocess.box_voting import vote_on_boxes
from acne_runtime.postprocess.decode import (
    Candidates,
    are_probabilities,
    clip_rounding,
    decode,
    decode_ultralytics,
    read_nms_outputs,
)
from acne_runtime.postprocess.nms import drop_surrounding, non_max_suppression
from acne_runtime.preprocess import Letterbox, preprocess
from acne_runtime.result import Label, Lesion, Result, Timing

_MAX_COORDINATE = 1e6
"""Pixels from the input's origin; a box beyond them is invalid."""


class Predictor(Protocol):
    """Turns images into results: a model, or one that wraps a model.

    Attributes:
        manifest: The model's manifest.
    """

    manifest: Manifest

    def predict(self, frame: Frame) -> Result:
        """Processes one frame.

        Raises:
            ModelError: The model cannot process single images, or its outputs do not match its manifest.
            SourceError: The image is not a `[height, width, 3]` uint8 array.
        """
        ...

    def __call__(
        self,
        image: NDArray[np.uint8],
        *,
        source: str = "",
        frame_index: int = 0,
        time_s: float = 0.0,
        size: tuple[int, int] | None = None,
    ) -> Result:
        """Processes one image.

        Args:
            image: `[height, width, 3]` uint8, BGR as OpenCV reads it.
            source: Where it came from, for the result.
            frame_index: Its index in the source, from 0.
            time_s: Seconds from the start of the source.
            size: Width and height of the original, where `image` was read at 1/2, 1/4 or 1/8 of it; see
                `preprocess.reading_scale`.

        Raises:
            ModelError, SourceError: As `predict` does.
        """
        return self.predict(Frame(image, source, frame_index, time_s, size))

    def stream(self, frames: Iterable[Frame]) -> Iterator[Result]:
        """Processes the frames of a source as they come."""
        for frame in frames:
            yield self.predict(frame)


class Model(Predictor):
    """A manifest and the backend that runs its file. Calling it does not change it."""

    def __init__(self, manifest: Manifest, backend: Backend, score_threshold: float | None = None):
        """Creates a model; `load_model` does so from a file.

        Args:
            manifest: The file's manifest.
            backend: The opened file.
            score_threshold: Replaces the manifest's thresholds, 0 to 1.

        Raises:
            ModelError: The threshold is part of the file and higher than `score_threshold`.
        """
        if manifest.has_nms and score_threshold is not None and score_threshold < manifest.thresholds[0]:
            raise ModelError(
                f"{manifest.name}: the threshold is part of the file, `score_threshold` must be at least "
                f"{manifest.thresholds[0]}",
                parameter="score_threshold",
            )
        self.manifest = manifest
        self.backend = backend
        thresholds = manifest.thresholds if score_threshold is None else [score_threshold] * len(manifest.thresholds)
        self.thresholds: NDArray[np.float32] = np.array(thresholds, np.float32)
        self.thresholds.setflags(write=False)
        self._shapes = {spec.name: manifest.output_shape(spec) for spec in manifest.outputs}

    def predict(self, frame: Frame) -> Result:
        """Processes one frame; see `Predictor.predict`."""
        if self.manifest.input.batch > 1:
            raise ModelError(
                f"{self.manifest.name}: takes batches of {self.manifest.input.batch} images, not single ones"
            )
        (result,) = self._run([frame])
        return result

    def batch(self, images: Sequence[NDArray[np.uint8]]) -> list[Result]:
        """Processes several images, each `[height, width, 3]` uint8 BGR of any size.

        A model with a dynamic batch size runs them in one call; each result then holds its share of the time.

        Raises:
            ModelError, SourceError: As `predict` does.
        """
        frames = [Frame(image, "") for image in images]
        if self.manifest.input.batch == 1 or len(frames) < 2:
            return [self.predict(frame) for frame in frames]
        return self._run(frames)

    def postprocess(
        self, outputs: Mapping[str, NDArray[Any]], letterbox: Letterbox
    ) -> tuple[tuple[Lesion, ...] | None, tuple[Label, ...] | None]:
        """Turns the outputs for one image into lesions (detection) or labels (multi-label); the other is None.

        Raises:
            ModelError: The outputs do not match the manifest.
        """
        for name, expected in self._shapes.items():
            shape = outputs[name].shape if name in outputs else ()
            if len(shape) != len(expected) or any(
                stated not in (side, ANY) for side, stated in zip(shape, expected, strict=True)
            ):
                raise ModelError(
                    f"{self.manifest.name}: output {name!r} has shape {shape}, expected {expected} from the manifest"
                )
            if outputs[name].dtype != np.float32:
                raise ModelError(f"{self.manifest.name}: output {name!r} is {outputs[name].dtype}, expected float32")
        if self.manifest.task == "multilabel":
            return None, self._labels(outputs[self.manifest.outputs[0].name])
        return self._lesions(outputs, letterbox), None

    def _run(self, frames: Sequence[Frame]) -> list[Result]:
        """Processes the frames in one call of the backend."""
        count = len(frames)
        started = perf_counter()
        inputs = [preprocess(frame.image, self.manifest.input, frame.size) for frame in frames]
        tensor = inputs[0][0] if count == 1 else np.concatenate([tensor for tensor, _ in inputs])
        preprocessed = perf_counter()
        outputs = self.backend.run(tensor)
        inferred = perf_counter()
        for name, output in outputs.items():
            if count > 1 and len(output) != count:
                raise ModelError(f"{self.manifest.name}: output {name!r} is for {len(output)} images, expected {count}")
        results = []
        for index, (frame, (_, letterbox)) in enumerate(zip(frames, inputs, strict=True)):
            begun = perf_counter()
            own = outputs if count == 1 else {name: output[index : index + 1] for name, output in outputs.items()}
            lesions, labels = self.postprocess(own, letterbox)
            timing = Timing(
                preprocess=1e3 * (preprocessed - started) / count,
                inference=1e3 * (inferred - preprocessed) / count,
                postprocess=1e3 * (perf_counter() - begun),
            )
            results.append(
                Result(
                    source=frame.source,
                    frame_index=frame.index,
                    time_s=frame.time_s,
                    width=letterbox.width,
                    height=letterbox.height,
                    model=self.manifest.name,
                    classes=self.manifest.classes,
                    lesions=lesions,
                    labels=labels,
                    timing=timing,
                )
            )
        return results

    def _labels(self, output: NDArray[np.float32]) -> tuple[Label, ...]:
        scores = clip_rounding(output[0]).tolist()
        if not all(0 <= score <= 1 for score in scores):  # NaN fails too
            raise ModelError(f"{self.manifest.name}: the model returned scores outside 0 to 1")
        return tuple(
            Label(name, score, score >= threshold)
            for name, score, threshold in zip(self.manifest.classes, scores, self.thresholds.tolist(), strict=True)
        )

    def _lesions(self, outputs: Mapping[str, NDArray[Any]], letterbox: Letterbox) -> tuple[Lesion, ...]:
        manifest = self.manifest
        with np.errstate(invalid="ignore"):  # what infinities lead to is rejected below
            if manifest.is_ultralytics_layout:
                candidates = decode_ultralytics(outputs, manifest.outputs[0], manifest.input, self.thresholds)
            elif manifest.has_nms:
                candidates = read_nms_outputs(outputs, manifest, self.thresholds[0])
            else:
                minimum = min(self.thresholds[0], np.float32(manifest.box_voting_score))
                candidates = decode(outputs, manifest.outputs, minimum, manifest.bins)
            types = candidates.types
            if not (are_probabilities(candidates.scores) and (types is None or are_probabilities(types))):
                raise ModelError(f"{manifest.name}: the model returned scores outside 0 to 1")
            if not manifest.has_nms:
                candidates = self._suppress(candidates)
        limit = _MAX_COORDINATE
        for left, top, right, bottom in candidates.boxes.tolist():
            if not (-limit < left <= right < limit and -limit < top <= bottom < limit):  # NaN fails too
                raise ModelError(f"{manifest.name}: the model returned invalid boxes (NaN, infinite or out of range)")
        return to_lesions(candidates, letterbox.to_image(candidates.boxes), manifest.classes)

    def _suppress(self, candidates: Candidates) -> Candidates:
        """Returns each lesion above the threshold once; other candidates only vote on its box."""
        manifest = self.manifest
        if not manifest.one_box_per_lesion:
            return non_max_suppression(candidates, manifest.nms_iou, manifest.max_detections)
        shown = candidates.take(~(candidates.scores < self.thresholds[0]))
        kept = non_max_suppression(shown, manifest.nms_iou, manifest.max_detections)
        voted = vote_on_boxes(kept, candidates, manifest.nms_iou, manifest.box_voting_score)
        if voted is not kept:  # two boxes of one lesion may overlap enough to be known as such only after the vote
            kept = non_max_suppression(voted, manifest.nms_iou, manifest.max_detections)
        return drop_surrounding(kept, manifest.nms_containment)


def to_lesions(candidates: Candidates, boxes: NDArray[np.float32], classes: tuple[str, ...]) -> tuple[Lesion, ...]:
    """Returns candidates as lesions, in their order.

    Args:
        candidates: The candidates.
        boxes: `[n, 4]` float32 `xyxy`, their boxes in pixels of the image.
        classes: The model's class names.
    """
    scores, xyxy = candidates.scores.tolist(), boxes.tolist()
    if candidates.types is None:
        names = [classes[index] for index in candidates.classes.tolist()]
        return tuple(Lesion(name, score, tuple(box)) for name, score, box in zip(names, scores, xyxy, strict=True))
    return tuple(
        Lesion.of_types(classes, score, tuple(box), tuple(types))
        for score, box, types in zip(scores, xyxy, candidates.types.tolist(), strict=True)
    )
