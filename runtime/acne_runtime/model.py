"""One model: photograph in, `Result` out, in three plain steps."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from time import perf_counter
from typing import Any

import numpy as np
from numpy.typing import NDArray

from acne_runtime.backends.base import Backend
from acne_runtime.errors import ModelError
from acne_runtime.frame import Frame
from acne_runtime.manifest import Manifest
from acne_runtime.postprocess.decode import Candidates, are_probabilities, decode, decode_ultralytics, read_nms_outputs
from acne_runtime.postprocess.nms import non_max_suppression
from acne_runtime.preprocess import Letterbox, preprocess
from acne_runtime.result import Label, Lesion, Result, Timing

_FAR = 1e6
"""Pixels from the input's corner at which no box of a sound graph lies."""


class Model:
    """A manifest and the backend that runs its file. Calling it changes nothing in it."""

    def __init__(self, manifest: Manifest, backend: Backend, score_threshold: float | None = None):
        """Puts a model together; `load_model` does it from a file.

        Args:
            manifest: What the file says about itself.
            backend: The opened file.
            score_threshold: The lesion threshold, or one for all classes, 0 to 1, instead of the manifest's own.

        Raises:
            ModelError: The file has the threshold inside that another is asked instead of.
        """
        if manifest.has_nms and score_threshold is not None and score_threshold < manifest.thresholds[0]:
            raise ModelError(
                f"{manifest.name}: its threshold lies inside the file; --score-threshold can only be above "
                f"{manifest.thresholds[0]}"
            )
        self.manifest = manifest
        self.backend = backend
        thresholds = manifest.thresholds if score_threshold is None else [score_threshold] * len(manifest.thresholds)
        self.thresholds: NDArray[np.float32] = np.array(thresholds, np.float32)
        self.thresholds.setflags(write=False)
        self._shapes = {spec.name: manifest.output_shape(spec) for spec in manifest.outputs}

    def __call__(
        self,
        image: NDArray[np.uint8],
        *,
        source: str = "",
        frame: int = 0,
        time_s: float = 0.0,
        size: tuple[int, int] | None = None,
    ) -> Result:
        """Looks at one photograph.

        Args:
            image: `[height, width, 3]` uint8, BGR as OpenCV reads it.
            source: Where it came from, for the result.
            frame: Its index in the source.
            time_s: Seconds from the start of the source.
            size: Its width and height, where `image` is it read at 1/2, 1/4 or 1/8; see `preprocess.reading_scale`.

        Raises:
            ModelError: The file takes batches only, or answers what its manifest does not promise.
            SourceError: The image is no such array.
        """
        if self.manifest.input.batch > 1:
            raise ModelError(
                f"{self.manifest.name}: made for batches of {self.manifest.input.batch}; the runtime asks one by one"
            )
        started = perf_counter()
        tensor, letterbox = preprocess(image, self.manifest.input, size)
        prepared = perf_counter()
        outputs = self.backend.run(tensor)
        inferred = perf_counter()
        lesions, labels = self.postprocess(outputs, letterbox)
        done = perf_counter()
        timing = Timing(1e3 * (prepared - started), 1e3 * (inferred - prepared), 1e3 * (done - inferred))
        return self._result(letterbox, lesions, labels, timing, source, frame, time_s)

    def batch(self, images: Sequence[NDArray[np.uint8]]) -> list[Result]:
        """Looks at several photographs, each `[height, width, 3]` uint8 BGR of any size.

        A file that takes any batch computes them in one call, and each result states its share of the time.

        Raises:
            ModelError, SourceError: As for one.
        """
        if self.manifest.input.batch == 1 or len(images) < 2:
            return [self(image) for image in images]
        started = perf_counter()
        prepared = [preprocess(image, self.manifest.input) for image in images]
        ready = perf_counter()
        outputs = self.backend.run(np.concatenate([tensor for tensor, _ in prepared]))
        inferred = perf_counter()
        for name, output in outputs.items():
            if len(output) != len(images):
                raise ModelError(
                    f"{self.manifest.name}: output {name!r} answers for {len(output)} photographs of {len(images)}"
                )
        results = []
        for place, (_, letterbox) in enumerate(prepared):
            begun = perf_counter()
            own = {name: output[place : place + 1] for name, output in outputs.items()}
            lesions, labels = self.postprocess(own, letterbox)
            spent = 1e3 * (perf_counter() - begun)
            timing = Timing(1e3 * (ready - started) / len(images), 1e3 * (inferred - ready) / len(images), spent)
            results.append(self._result(letterbox, lesions, labels, timing))
        return results

    def stream(self, frames: Iterable[Frame]) -> Iterator[Result]:
        """Looks at each frame of a source as it comes."""
        for frame in frames:
            yield self(frame.image, source=frame.source, frame=frame.index, time_s=frame.time_s, size=frame.size)

    def postprocess(
        self, outputs: Mapping[str, NDArray[Any]], letterbox: Letterbox
    ) -> tuple[tuple[Lesion, ...] | None, tuple[Label, ...] | None]:
        """Turns raw outputs into lesions (detection) or labels (multi-label); the other of the two is None.

        Raises:
            ModelError: The file's outputs are not those that its manifest promises.
        """
        for name, expected in self._shapes.items():
            got = outputs[name].shape if name in outputs else ()
            if got != expected:
                raise ModelError(
                    f"{self.manifest.name}: output {name!r} has shape {got}, not what the manifest promises: {expected}"
                )
            if outputs[name].dtype != np.float32:
                raise ModelError(f"{self.manifest.name}: output {name!r} is of {outputs[name].dtype}, not of float32")
        if self.manifest.task == "multilabel":
            return None, self._labels(outputs[self.manifest.outputs[0].name])
        return self._lesions(outputs, letterbox), None

    def _result(
        self,
        letterbox: Letterbox,
        lesions: tuple[Lesion, ...] | None,
        labels: tuple[Label, ...] | None,
        timing: Timing,
        source: str = "",
        frame: int = 0,
        time_s: float = 0.0,
    ) -> Result:
        return Result(
            source=source,
            frame=frame,
            time_s=time_s,
            width=letterbox.width,
            height=letterbox.height,
            model=self.manifest.name,
            classes=self.manifest.classes,
            lesions=lesions,
            labels=labels,
            timing=timing,
        )

    def _labels(self, output: NDArray[np.float32]) -> tuple[Label, ...]:
        scores = output[0].tolist()
        if not all(0 <= score <= 1 for score in scores):  # nor any NaN
            raise ModelError(f"{self.manifest.name}: its graph gives scores that are no probabilities")
        return tuple(
            Label(name, score, score >= threshold)
            for name, score, threshold in zip(self.manifest.classes, scores, self.thresholds.tolist(), strict=True)
        )

    def _lesions(self, outputs: Mapping[str, NDArray[Any]], letterbox: Letterbox) -> tuple[Lesion, ...]:
        manifest = self.manifest
        with np.errstate(invalid="ignore"):  # what comes of infinities is refused below
            if manifest.is_ultralytics_layout:
                found = decode_ultralytics(outputs, manifest.outputs[0], manifest.input, self.thresholds)
            elif manifest.has_nms:
                found = read_nms_outputs(outputs, manifest, self.thresholds[0])
            else:
                found = decode(outputs, manifest.outputs, self.thresholds[0], manifest.bins)
            if not (are_probabilities(found.scores) and (found.types is None or are_probabilities(found.types))):
                raise ModelError(f"{manifest.name}: its graph gives scores that are no probabilities")
            if not manifest.has_nms:
                found = non_max_suppression(found, manifest.nms_iou, manifest.max_detections)
        for left, top, right, bottom in found.boxes.tolist():
            if not (-_FAR < left <= right < _FAR and -_FAR < top <= bottom < _FAR):  # nor any NaN
                raise ModelError(f"{manifest.name}: its graph gives boxes that are none")
        return to_lesions(found, letterbox.to_image(found.boxes), manifest.classes)


def to_lesions(found: Candidates, boxes: NDArray[np.float32], classes: tuple[str, ...]) -> tuple[Lesion, ...]:
    """Returns candidates as lesions, in their order.

    Args:
        found: The candidates.
        boxes: `[n, 4]` float32 `xyxy`, theirs in pixels of the photograph.
        classes: The model's class names.
    """
    scores, places = found.scores.tolist(), boxes.tolist()
    if found.types is None:
        names = [classes[index] for index in found.classes.tolist()]
        return tuple(Lesion(name, one, tuple(box)) for name, one, box in zip(names, scores, places, strict=True))
    return tuple(
        Lesion.of_types(classes, score, tuple(box), tuple(types))
        for score, box, types in zip(scores, places, found.types.tolist(), strict=True)
    )
