"""One model: photograph in, `Result` out, in three plain steps."""

from __future__ import annotations

from collections.abc import Mapping
from time import perf_counter
from typing import Any

import numpy as np
from numpy.typing import NDArray

from acne_runtime.backends.base import Backend
from acne_runtime.decode import decode, suppressed_inside
from acne_runtime.errors import ModelError
from acne_runtime.manifest import Manifest
from acne_runtime.nms import suppress
from acne_runtime.preprocess import Placement, preprocess
from acne_runtime.result import Label, Lesion, Result, Timing


class Model:
    """A manifest and the backend that runs its file. Calling it changes nothing in it."""

    def __init__(self, manifest: Manifest, backend: Backend, score_threshold: float | None = None):
        """Puts a model together; `load_model` does it from a file.

        Args:
            manifest: What the file says about itself.
            backend: The opened file.
            score_threshold: One threshold for all classes, 0 to 1, instead of the manifest's own.

        Raises:
            ModelError: The file has the thresholds inside that another is asked instead of.
        """
        if manifest.suppresses and score_threshold is not None and score_threshold < max(manifest.thresholds):
            raise ModelError(
                f"{manifest.name}: its thresholds lie inside the file; --score-threshold can only be above "
                f"{max(manifest.thresholds)}"
            )
        self.manifest = manifest
        self.backend = backend
        thresholds = manifest.thresholds if score_threshold is None else [score_threshold] * len(manifest.classes)
        self.thresholds: NDArray[np.float32] = np.asarray(thresholds, np.float32)

    def __call__(self, image: NDArray[np.uint8], *, source: str = "", frame: int = 0, time_s: float = 0.0) -> Result:
        """Looks at one photograph.

        Args:
            image: `[height, width, 3]` uint8, BGR as OpenCV reads it.
            source: Where it came from, for the result.
            frame: Its index in the source.
            time_s: Seconds from the start of the source.

        Raises:
            ModelError: The file takes batches only.
        """
        if self.manifest.input.batch > 1:
            raise ModelError(
                f"{self.manifest.name}: made for batches of {self.manifest.input.batch}; the runtime asks one by one"
            )
        started = perf_counter()
        tensor, placement = preprocess(image, self.manifest.input)
        prepared = perf_counter()
        outputs = self.backend.run(tensor)
        inferred = perf_counter()
        lesions, labels = self.postprocess(outputs, placement)
        done = perf_counter()
        return Result(
            source=source,
            frame=frame,
            time_s=time_s,
            width=placement.width,
            height=placement.height,
            model=self.manifest.name,
            classes=self.manifest.classes,
            lesions=lesions,
            labels=labels,
            timing=Timing(1e3 * (prepared - started), 1e3 * (inferred - prepared), 1e3 * (done - inferred)),
        )

    def postprocess(
        self, outputs: Mapping[str, NDArray[Any]], placement: Placement
    ) -> tuple[tuple[Lesion, ...] | None, tuple[Label, ...] | None]:
        """Turns raw outputs into lesions (detection) or labels (multi-label); the other of the two is None.

        Raises:
            ModelError: The file's outputs are not those that its manifest promises.
        """
        for spec in self.manifest.outputs:
            expected, got = self.manifest.output_shape(spec), np.shape(outputs.get(spec.name, ()))
            if got != expected:
                raise ModelError(
                    f"{self.manifest.name}: output {spec.name!r} has shape {got}, "
                    f"not what the manifest promises: {expected}"
                )
        if self.manifest.task == "multilabel":
            return None, self._labels(outputs[self.manifest.outputs[0].name])
        return self._lesions(outputs, placement), None

    def _labels(self, output: NDArray[np.float32]) -> tuple[Label, ...]:
        return tuple(
            Label(name, float(score), bool(score >= threshold))
            for name, score, threshold in zip(self.manifest.classes, output[0], self.thresholds, strict=True)
        )

    def _lesions(self, outputs: Mapping[str, NDArray[Any]], placement: Placement) -> tuple[Lesion, ...]:
        manifest = self.manifest
        if manifest.suppresses:
            found = suppressed_inside(outputs, manifest.outputs, self.thresholds)
        else:
            candidates = decode(outputs, manifest.outputs, self.thresholds, manifest.bins)
            found = suppress(candidates, manifest.nms_iou, manifest.max_detections)
        boxes = placement.to_photograph(found.boxes).tolist()
        return tuple(
            Lesion(manifest.classes[one], score, tuple(box))
            for one, score, box in zip(found.classes.tolist(), found.scores.tolist(), boxes, strict=True)
        )
