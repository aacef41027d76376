"""Processes one part of an archive after the other, with one model and one thread."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import cv2

from acne_runtime.archive.listing import read_photograph
from acne_runtime.archive.part_store import Format, PartStore
from acne_runtime.errors import AcneEdgeError, SourceError
from acne_runtime.load import load_model
from acne_runtime.model import Model, Predictor
from acne_runtime.predictors.severity_model import SeverityModel
from acne_runtime.preprocess import reading_scale
from acne_runtime.quality import measure_quality
from acne_runtime.severity import supports_severity
from acne_runtime.sources.image_files import decode_frame

_MAX_DEATHS = 2
"""Deaths at one photograph after which it is a failure. Ray does a part again for ever, and one alone may be chance."""


@dataclass(frozen=True, slots=True)
class ArchiveSettings:
    """What is done with each photograph of an archive.

    Attributes:
        models: Names of shipped models, or model files.
        out: The folder of results, local or a URL.
        format: What results are written as.
        backend: As for `load_model`.
        score_threshold: As for `load_model`.
        severity: Whether severity is graded.
        quality: `off`, `warn` (measured) or `reject` (unusable photographs are failures).
        max_pixels: Larger photographs are failures.
    """

    models: tuple[str, ...]
    out: str
    format: Format = "jsonl"
    backend: str | None = None
    score_threshold: float | None = None
    severity: bool = False
    quality: str = "off"
    max_pixels: int = 256_000_000

    def load_models(self) -> list[Model]:
        """Loads the models, for one thread.

        Raises:
            AcneEdgeError: A model cannot be loaded, or severity cannot be graded by any.
        """
        models = [
            load_model(name, backend=self.backend, threads=1, score_threshold=self.score_threshold)
            for name in self.models
        ]
        if self.severity and not any(supports_severity(model.manifest) for model in models):
            raise AcneEdgeError("`severity`: none of the models detects what the grade counts", parameter="severity")
        return models


class PartWorker:
    """Holds the models; each call processes one part and writes its results."""

    def __init__(self, settings: ArchiveSettings):
        """Loads the models.

        Args:
            settings: What is done with each photograph.

        Raises:
            AcneEdgeError: A model cannot be loaded.
        """
        cv2.setNumThreads(1)
        self._settings = settings
        self._models = settings.load_models()
        self._predictors: list[Predictor] = [
            SeverityModel(model) if settings.severity and supports_severity(model.manifest) else model
            for model in self._models
        ]
        self._store = PartStore(settings.out, settings.format)

    def __call__(self, part: Mapping[str, Any]) -> dict[str, Any]:
        """Processes one part.

        Args:
            part: `number`, and `names`, the photographs.

        Returns:
            `photographs`, how many were processed; `failures`, how many could not be read; and `error`, why the part
            was not finished, or empty.
        """
        results: list[dict[str, Any]] = []
        failures: list[dict[str, str]] = []
        number = int(part["number"])
        try:
            deaths = self._begin(number)
            for name in _names(part):
                try:
                    if deaths is not None:
                        self._note(number, name, deaths)
                    results += self._process(name)
                except SourceError as error:
                    failures.append({"source": name, "error": str(error)})
            self._store.write_part(number, results, failures)
            self._store.remove_started(number)
        except (AcneEdgeError, OSError) as error:  # of the model or the disk: no photograph would do better
            return {"photographs": 0, "failures": 0, "error": str(error)}
        return {"photographs": len(part["names"]), "failures": len(failures), "error": ""}

    def _begin(self, number: int) -> dict[str, int] | None:
        """Returns how often the process died at which photograph of a part, `None` if it has not begun it before."""
        before = self._store.read_started(number)
        if before is None:
            self._store.write_started(number, {})
            return None
        deaths: dict[str, int] = dict(before.get("deaths", {}))
        if "at" in before:
            deaths[before["at"]] = deaths.get(before["at"], 0) + 1
        return deaths

    def _note(self, number: int, name: str, deaths: Mapping[str, int]) -> None:
        """Notes where a part is that died before, should it die again; raises `SourceError` if it always dies there."""
        if deaths.get(name, 0) >= _MAX_DEATHS:
            raise SourceError(f"{name}: ends the process that reads it")
        self._store.write_started(number, {"at": name, "deaths": deaths})

    def _process(self, name: str) -> list[dict[str, Any]]:
        def scale(width: int, height: int) -> int:
            return min(reading_scale(width, height, model.manifest.input) for model in self._models)

        frame = decode_frame(read_photograph(name, self._settings.max_pixels), name, self._settings.max_pixels, scale)
        quality = None
        if self._settings.quality != "off":
            quality = measure_quality(frame.image)
            if self._settings.quality == "reject" and not quality.is_usable:
                raise SourceError(f"{name}: cannot be used: {'; '.join(quality.hints)}")
        results = [replace(predictor.predict(frame), quality=quality) for predictor in self._predictors]
        return [result.to_dict(timing=False) for result in results]


def _names(part: Mapping[str, Any]) -> Sequence[str]:
    return [str(name) for name in part["names"]]
