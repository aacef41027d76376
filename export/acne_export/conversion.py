"""Converts a model to one file and validates it."""

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
from acne_export.graph.nms import append_nms, nms_outputs
from acne_export.quantization.bias_correction import correct_biases
from acne_export.recipe import Format, Recipe
from acne_export.reference import Reference
from acne_export.tflite_export.checks import check_integer_only, check_operations
from acne_export.validation import (
    Outputs,
    ValidationError,
    check_finite,
    check_float32,
    check_reduced,
    check_same_lesions,
    check_size,
)
from acne_runtime.backends.base import Backend
from acne_runtime.backends.litert import LiteRtBackend
from acne_runtime.backends.onnx import OnnxBackend
from acne_runtime.errors import AcneEdgeError, ModelError, one_line
from acne_runtime.manifest import Manifest
from acne_runtime.model import Model


@dataclass(frozen=True, slots=True)
class Conversion:
    """A validated file.

    Attributes:
        file: Its bytes, still without a manifest.
        manifest: The manifest it needs to run; without provenance and validation of this export.
        metrics: How far it is from the Keras model, by metric.
        golden: Its outputs for the golden image, by name.
    """

    file: bytes
    manifest: Manifest
    metrics: Mapping[str, Any]
    golden: Mapping[str, NDArray[np.float32]]


def convert(reference: Reference, recipe: Recipe) -> Conversion:
    """Converts a model with raw outputs, and compares the file's outputs with the model's.

    Raises:
        ValidationError: The outputs differ, or the file has operations that devices cannot run.
        ModelError: The recipe's format does not have its precision, or a range is missing.
    """
    exporter = exporter_of(recipe)
    file = _run_converter(reference, recipe)
    if recipe.format == "tflite":
        check_operations(file)
        if exporter.integer_only:
            check_integer_only(file)
    check_size(len(file), reference.model, exporter.limits)
    backend = open_in_runtime(file, recipe.format)
    pairs = [(vector, backend.run(vector.image.astype(recipe.input))) for vector in reference.test_vectors]
    metrics: Mapping[str, Any]
    if exporter.limits is None:
        checked = [check_float32(vector.outputs, outputs, vector.rounding) for vector, outputs in pairs]
        metrics = {"max_error": max(vector_metrics["max_error"] for vector_metrics in checked)}
    else:
        for vector, outputs in pairs:
            check_finite(vector.outputs, outputs)
        # All photographs as one: a single one with few lesions says little.
        photographs = [(vector.outputs, outputs) for vector, outputs in pairs if not vector.is_noise]
        expected, got = (_concatenate(outputs) for outputs in zip(*photographs, strict=True))
        metrics = check_reduced(
            expected, got, exporter.limits, min(reference.manifest.thresholds), reference.manifest.bins
        )
    manifest = dataclasses.replace(reference.manifest, precision=recipe.precision)
    return Conversion(file, manifest, metrics, backend.run(golden_batch(manifest.input)))


def convert_with_nms(reference: Reference, recipe: Recipe, plain: Conversion) -> Conversion:
    """Converts again with box decoding and NMS in the graph, and compares the lesions.

    Args:
        reference: The model.
        recipe: Its recipe.
        plain: The same conversion with raw outputs; the threshold of its manifest goes into the graph.

    Raises:
        ValidationError: The graph finds other lesions than the runtime does in the raw outputs of `plain`.
    """
    file = _run_converter(reference, recipe, lambda model: append_nms(model, plain.manifest))
    if recipe.format == "tflite":
        check_operations(file)
    check_size(len(file), reference.model, exporter_of(recipe).limits)
    manifest = dataclasses.replace(plain.manifest, outputs=nms_outputs())
    in_runtime = Model(plain.manifest, open_in_runtime(plain.file, recipe.format))
    in_graph = Model(manifest, open_in_runtime(file, recipe.format))
    count = 0
    for vector in reference.test_vectors:
        image = np.ascontiguousarray(vector.image[0, ..., ::-1])
        expected = in_runtime(image)
        check_same_lesions(expected, in_graph(image), exact=recipe.precision == "float32")
        count += len(expected.lesions or ())
    if not count:
        raise ValidationError(
            "`nms`: the model finds no lesion in any test image, so NMS cannot be validated; give photographs with "
            "lesions as `calibration`",
            parameter="nms",
        )
    return Conversion(file, manifest, plain.metrics, in_graph.backend.run(golden_batch(manifest.input)))


def _run_converter(reference: Reference, recipe: Recipe, finish: Finish = unchanged) -> bytes:
    model = reference.model
    if reference.activations.means and recipe.precision not in ("float32", "float16"):  # with int8 weights
        model = correct_biases(model, reference.activations.means)
    try:
        return exporter_of(recipe).convert(model, recipe, reference.activations.ranges, finish)
    except (AcneEdgeError, OSError):
        raise
    except Exception as error:  # the converters' errors share no class, and have many lines
        first = next((line for line in str(error).splitlines() if line.strip()), "")
        raise ValidationError(f"the converter failed: {first.strip() or one_line(error)}") from error


def open_in_runtime(file: bytes, format: Format, threads: int = 0) -> Backend:
    """Opens a converted file in the runtime's backend, as a device does.

    Raises:
        ValidationError: The backend cannot open it.
    """
    backend: type[OnnxBackend | LiteRtBackend] = OnnxBackend if format == "onnx" else LiteRtBackend
    with tempfile.TemporaryDirectory() as folder:
        draft = Path(folder) / f"draft.{format}"
        draft.write_bytes(file)
        try:
            return backend(draft, device="cpu", threads=threads)
        except ModelError as error:
            reason = str(error).removeprefix(f"{draft}: ")
            raise ValidationError(f"the converted file cannot be opened: {reason}") from error


def _concatenate(outputs: Sequence[Outputs]) -> Outputs:
    """Returns the outputs of several calls as those of one."""
    return {name: np.concatenate([call[name] for call in outputs]) for name in outputs[0]}
