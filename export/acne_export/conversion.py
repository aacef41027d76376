"""One conversion and its proof."""

from __future__ import annotations

import dataclasses
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from acne_export.exporters import exporter_of
from acne_export.golden.image import golden_batch
from acne_export.graph.fold import Finish, unchanged
from acne_export.graph.nms import nms_outputs, with_nms
from acne_export.recipe import Format, Recipe
from acne_export.reference import Source
from acne_export.run_folder import Ranges
from acne_export.tflite_export.checks import prove_integer_only, prove_operations
from acne_export.validation import (
    Outputs,
    ProofError,
    prove_finite,
    prove_float32,
    prove_reduced,
    prove_same_lesions,
    prove_size,
)
from acne_runtime.backends.base import Backend
from acne_runtime.backends.litert import LiteRtBackend
from acne_runtime.backends.onnx import OnnxBackend
from acne_runtime.errors import AcneEdgeError, ModelError
from acne_runtime.manifest import Manifest
from acne_runtime.model import Model


@dataclass(frozen=True, slots=True)
class Conversion:
    """A file that has passed its proof.

    Attributes:
        file: Its bytes, still without a manifest.
        manifest: What it says about itself.
        figures: What it lost against its source, by the name of the figure.
        golden: Its answer to the golden picture, by output.
    """

    file: bytes
    manifest: Manifest
    figures: Mapping[str, Any]
    golden: Mapping[str, NDArray[np.float32]]


def convert(source: Source, recipe: Recipe, ranges: Ranges) -> Conversion:
    """Converts a model, raw heads out, and compares the file's answers with the model's.

    Raises:
        ProofError: The file answers otherwise, or holds what a device cannot run.
        ModelError: The recipe's format and precision do not go together, or a range is missing.
    """
    exporter = exporter_of(recipe)
    file = _converted(source, recipe, ranges)
    if recipe.form == "tflite":
        prove_operations(file)
        if exporter.integer_only:
            prove_integer_only(file)
    prove_size(len(file), source.model, exporter.limits)
    backend = opened(file, recipe.form)
    got = [backend.run(asked.picture.astype(recipe.input)) for asked in source.asked]
    figures: Mapping[str, Any]
    if exporter.limits is None:
        proven = (
            prove_float32(one.answer, answer, one.rounding) for one, answer in zip(source.asked, got, strict=True)
        )
        figures = {"max_error": max(one["max_error"] for one in proven)}
    else:
        least = min(source.manifest.thresholds)
        for asked, answer in zip(source.asked, got, strict=True):
            prove_finite(asked.answer, answer)
        # All photographs as one: a single one with few lesions on it says little.
        like_photographs = [place for place, asked in enumerate(source.asked) if not asked.is_noise]
        expected = _joined([source.asked[place].answer for place in like_photographs])
        figures = prove_reduced(expected, _joined([got[place] for place in like_photographs]), exporter.limits, least)
    manifest = dataclasses.replace(source.manifest, precision=recipe.precision)
    return Conversion(file, manifest, figures, backend.run(golden_batch(manifest.input)))


def with_suppression(source: Source, recipe: Recipe, ranges: Ranges, plain: Conversion) -> Conversion:
    """Converts once more, with box decoding and suppression inside the graph, and compares the lesions.

    Args:
        source: The model.
        recipe: Its recipe.
        ranges: Of its activations.
        plain: The same conversion with raw heads, whose manifest has the threshold that goes into the graph.

    Raises:
        ProofError: The graph finds other lesions than the runtime does in the raw heads of `plain`.
    """
    file = _converted(source, recipe, ranges, lambda model: with_nms(model, plain.manifest))
    if recipe.form == "tflite":
        prove_operations(file)
    prove_size(len(file), source.model, exporter_of(recipe).limits)
    manifest = dataclasses.replace(plain.manifest, outputs=nms_outputs())
    outside = Model(plain.manifest, opened(plain.file, recipe.form))
    inside = Model(manifest, opened(file, recipe.form))
    seen = 0
    for asked in source.asked:
        photograph = np.ascontiguousarray(asked.picture[0, ..., ::-1])
        found = outside(photograph)
        prove_same_lesions(found, inside(photograph), exact=recipe.precision == "float32")
        seen += len(found.lesions or ())
    if not seen:
        raise ProofError(
            "--nms: the model finds no lesion on any picture that it was asked about, so that nothing shows whether "
            "suppression works; give it photographs with lesions by --calibration DIR"
        )
    return Conversion(file, manifest, plain.figures, inside.backend.run(golden_batch(manifest.input)))


def _converted(source: Source, recipe: Recipe, ranges: Ranges, finish: Finish = unchanged) -> bytes:
    try:
        return exporter_of(recipe).convert(source.model, recipe, ranges, finish)
    except (AcneEdgeError, OSError):
        raise
    except Exception as error:  # the converters' errors share no class, and have many lines
        said = str(error).strip().splitlines()
        raise ProofError(f"the converter gives up: {said[0] if said else type(error).__name__}") from error


def opened(file: bytes, form: Format, threads: int = 0) -> Backend:
    """Opens a converted file in the runtime's own backend, as a device will.

    Raises:
        ProofError: It cannot be opened.
    """
    backend: type[OnnxBackend | LiteRtBackend] = OnnxBackend if form == "onnx" else LiteRtBackend
    with tempfile.TemporaryDirectory() as folder:
        draft = Path(folder) / f"draft.{form}"
        draft.write_bytes(file)
        try:
            return backend(draft, device="cpu", threads=threads)
        except ModelError as error:
            raise ProofError(
                f"the converted file does not even open: {str(error).removeprefix(f'{draft}: ')}"
            ) from error


def _joined(answers: Sequence[Outputs]) -> Outputs:
    """Returns the answers to several pictures as that to one call."""
    return {name: np.concatenate([one[name] for one in answers]) for name in answers[0]}
