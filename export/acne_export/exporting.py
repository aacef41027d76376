"""Exports a run folder to one validated model file, with its manifest inside and next to it."""

from __future__ import annotations

import dataclasses
import hashlib
import logging
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras
import numpy as np
import onnx
import tensorflow as tf
import tf2onnx
from numpy.typing import NDArray

from acne_export.accuracy import HEADLINE, LabelledSet
from acne_export.conversion import Conversion, convert, convert_with_nms, open_in_runtime
from acne_export.exporters import exporter_of, fallbacks_of
from acne_export.golden.image import golden_input, golden_results, sha256
from acne_export.graph.reshape import manifest_of
from acne_export.onnx_export.convert import embed_manifest_in_onnx
from acne_export.quantization.calibration_images import load_calibration_images
from acne_export.recipe import OWN_SIZE, Format, Recipe
from acne_export.reference import MAX_TEST_IMAGES, Reference, make_reference
from acne_export.run_folder import RunFolder, read_run_folder
from acne_export.tflite_export.metadata import embed_manifest_in_tflite
from acne_export.validation import ValidationError, non_finite_layers
from acne_runtime.atomic_write import write_together
from acne_runtime.backends.keras import measure_activations
from acne_runtime.digest import compute_digest
from acne_runtime.errors import ModelError, SourceError
from acne_runtime.manifest import InputSpec, Manifest, manifest_path
from acne_runtime.model import Model
from acne_runtime.run_folder import CALIBRATION, INFERENCE_MODEL

logger = logging.getLogger(__name__)


class AccuracyDropError(ValidationError):
    """A converted file loses more accuracy than allowed."""

    exit_code = 3


@dataclass(frozen=True, slots=True)
class ExportOptions:
    """How a file is calibrated and evaluated.

    Attributes:
        calibration: A folder of photographs to take activation ranges from, instead of the trainer's.
        data: The labelled set on which accuracy is evaluated before and after; `None` evaluates none.
        max_drop: By how much the headline metric may drop, 0 to 1.
        force: Whether existing files are replaced.
    """

    calibration: Path | None = None
    data: LabelledSet | None = None
    max_drop: float = 0.01
    force: bool = False


def export(
    run: RunFolder | Path, recipe: Recipe, out: Path | None = None, options: ExportOptions | None = None
) -> Path:
    """Converts a model, validates the file, and writes it with its manifest next to it.

    Args:
        run: What to export: a run folder, or its path.
        recipe: What to make.
        out: The file to write; `None` names it after model and recipe, in the current folder.
        options: How to calibrate and evaluate.

    Returns:
        The file.

    Raises:
        ModelError: The model does not support the recipe, or the file exists.
        ValidationError: The file fails validation; it is not written.
        AccuracyDropError: The file loses too much accuracy; it is not written.
    """
    options = options or ExportOptions()
    run = read_run_folder(run) if isinstance(run, Path) else run
    if recipe.size == OWN_SIZE:
        recipe = dataclasses.replace(recipe, size=run.manifest.input.width)
    target = out or Path(recipe.file_name(run.manifest.name, run.manifest.input.width))
    _check_model(run)
    _check_target(target, options.force)
    _check_recipe(run, recipe, options)
    try:
        conversion, manifest = _convert_and_evaluate(run, recipe, options)
    except ValidationError as error:
        raise type(error)(f"{target}: not written: {error}", parameter=error.parameter) from error
    content, manifest = _embed_manifest(conversion.file, manifest, recipe.format)
    write_together({target: content, manifest_path(target): manifest.to_json().encode()})
    differences = ", ".join(
        f"{name.replace('_', ' ')} {value:.3g}"
        for name, value in conversion.metrics.items()
        if not isinstance(value, dict)
    )
    size = f"{target.stat().st_size / 1e6:.1f} MB"
    logger.info("wrote %s (%s, %s; against the Keras model: %s)", target, recipe.precision, size, differences)
    return target


def export_with_fallback(
    run: RunFolder | Path, recipe: Recipe, out: Path | None = None, options: ExportOptions | None = None
) -> Path:
    """Exports like `export`, with the next higher precision whenever validation fails; see `FALLBACKS`.

    Raises:
        ValidationError: No precision passes; no file is written.
        ModelError: As for `export`.
    """
    run = read_run_folder(run) if isinstance(run, Path) else run
    precisions = fallbacks_of(recipe)
    for precision in precisions:
        try:
            return export(run, recipe, out, options)
        except ValidationError as error:
            logger.warning("%s; trying %s", error, precision)
        recipe = dataclasses.replace(recipe, precision=precision)
    return export(run, recipe, out, options)


def _check_model(run: RunFolder) -> None:
    broken = non_finite_layers(run.model)
    if broken:
        raise ModelError(
            f"{run.path / INFERENCE_MODEL}: layer {broken[0]!r} has NaN or infinite weights; train the model again"
        )


def _check_target(target: Path, force: bool) -> None:
    for file in (target, manifest_path(target)):
        if file.is_dir():
            raise ModelError(f"{file}: is a folder; choose another file name with `out`", parameter="out")
        if file.exists() and not force:
            raise ModelError(
                f"{file}: exists already; replace it with `force`, or choose another file name with `out`",
                parameter="out",
            )


def _check_recipe(run: RunFolder, recipe: Recipe, options: ExportOptions) -> None:
    """Raises `ModelError` where model, recipe and options do not go together."""
    exporter = exporter_of(recipe)
    problem = parameter = None
    if exporter.needs_ranges and not run.activations.ranges and options.calibration is None:
        problem, parameter = (
            (
                f"{run.path / CALIBRATION}: not found; {recipe.precision} needs it (acne-train writes it), or a "
                "folder of typical photographs as `calibration`"
            ),
            "calibration",
        )
    elif recipe.format == "tflite" and recipe.batch != 1:
        problem, parameter = (
            (f"`batch` {recipe.batch or 'dynamic'}: TFLite files take one image; use `format` onnx"),
            "batch",
        )
    elif recipe.nms and exporter.no_nms:
        problem, parameter = (
            (f"`nms`: not available with `precision` {recipe.precision}: {exporter.no_nms}; leave one of them out"),
            "nms",
        )
    elif recipe.nms and run.manifest.task != "detection":
        problem, parameter = f"`nms`: {run.manifest.name} is not a detector", "nms"
    elif recipe.nms and recipe.batch != 1:
        problem, parameter = "`nms`: NMS in the graph takes one image; leave `batch` out", "nms"
    elif options.data is not None and recipe.batch > 1:
        problem, parameter = "`data`: evaluation takes one image at a time; leave `batch` out", "data"
    if problem:
        raise ModelError(problem, parameter=parameter)


def _convert_and_evaluate(run: RunFolder, recipe: Recipe, options: ExportOptions) -> tuple[Conversion, Manifest]:
    """Returns a validated conversion, and its manifest with provenance, validation and golden outputs."""
    logger.info("running %s", run.path / INFERENCE_MODEL)
    spec = manifest_of(run.manifest, recipe).input
    images = load_calibration_images(options.calibration, spec) if options.calibration else []
    reference = make_reference(run, recipe, images or _test_photographs(options.data, spec))
    if exporter_of(recipe).needs_ranges and images:
        logger.info("calibrating on %d photographs of %s", len(images), options.calibration)
        activations = measure_activations(reference.model, images, run.manifest.distributions)
        reference = dataclasses.replace(reference, activations=activations)
    logger.info("converting to %s %s", recipe.precision, recipe.format)
    conversion = convert(reference, recipe)
    validation: dict[str, Any] = {"conversion": _round_metrics(conversion.metrics)}
    if options.data is not None:
        thresholds, accuracy = _evaluate(reference, conversion, recipe, options.data, options.max_drop)
        validation["accuracy"] = accuracy
        manifest = dataclasses.replace(conversion.manifest, thresholds=thresholds)
        conversion = dataclasses.replace(conversion, manifest=manifest)
    if recipe.nms:
        logger.info("converting with NMS in the graph")
        conversion = convert_with_nms(reference, recipe, conversion)
    manifest = conversion.manifest
    return conversion, dataclasses.replace(
        manifest,
        provenance=manifest.provenance | {"converted_with": _versions(recipe.format), "recipe": recipe.to_dict()},
        validation=manifest.validation | validation,
        golden=_golden(conversion, recipe.format),
    )


def _test_photographs(data: LabelledSet | None, spec: InputSpec) -> list[NDArray[np.uint8]]:
    """Returns a few photographs of the labelled set as test images."""
    folder = data.data / data.split if data else None
    try:
        return load_calibration_images(folder, spec, MAX_TEST_IMAGES) if folder and folder.is_dir() else []
    except SourceError:
        return []  # its photographs lie deeper; the trainer's reader finds them


def _evaluate(
    reference: Reference, conversion: Conversion, recipe: Recipe, data: LabelledSet, max_drop: float
) -> tuple[tuple[float, ...], dict[str, Any]]:
    """Evaluates accuracy at float32 and at the recipe's precision.

    Returns:
        The thresholds of the file, chosen again if its precision is reduced, and the metrics before and after.

    Raises:
        AccuracyDropError: The headline metric drops by more than `max_drop`.
    """
    task, headline = reference.manifest.task, HEADLINE[reference.manifest.task]
    is_reduced = recipe.precision != "float32"
    exact = convert(reference, dataclasses.replace(recipe, precision="float32")) if is_reduced else conversion
    thresholds = conversion.manifest.thresholds
    with tempfile.TemporaryDirectory() as folder:
        before_file, after_file = (Path(folder) / f"{name}.{recipe.format}" for name in ("before", "after"))
        before_file.write_bytes(_embed_manifest(exact.file, exact.manifest, recipe.format)[0])
        logger.info("evaluating float32 on %s", data.data / data.split)
        before = after = data.metrics(before_file, task)
        if is_reduced:
            after_file.write_bytes(_embed_manifest(conversion.file, conversion.manifest, recipe.format)[0])
            logger.info("choosing thresholds for %s on %s", recipe.precision, data.data / "valid")
            thresholds = data.thresholds(after_file, before_file)
            manifest = dataclasses.replace(conversion.manifest, thresholds=thresholds)
            after_file.write_bytes(_embed_manifest(conversion.file, manifest, recipe.format)[0])
            logger.info("evaluating %s on %s", recipe.precision, data.data / data.split)
            after = data.metrics(after_file, task)
    for name, value in before.items():
        logger.info("  %s: %s before, %s after", name, _format_metric(value), _format_metric(after[name]))
    if before[headline] is None or after[headline] is None:
        raise ModelError(f"`data` {data.data}: no labelled lesion in {data.split}, so no {headline}", parameter="data")
    if before[headline] - after[headline] > max_drop:
        raise AccuracyDropError(
            f"{headline} drops from {before[headline]:.3f} to {after[headline]:.3f} at {recipe.precision}, more than "
            f"`max_drop` {max_drop:g}",
            parameter="max_drop",
        )
    accuracy = {
        "data": f"{data.data.name}/{data.split}",
        "before": _round_metrics(before),
        "after": _round_metrics(after),
    }
    return thresholds, accuracy


def _golden(conversion: Conversion, format: Format) -> dict[str, Any]:
    """Returns the golden outputs for the manifest, so that any copy of the file can be verified."""
    model = Model(conversion.manifest, open_in_runtime(conversion.file, format))
    kind = "lesions" if conversion.manifest.task == "detection" else "labels"
    return {
        "input_sha256": sha256({"": golden_input(conversion.manifest.input)}),
        "output_sha256": sha256(conversion.golden),
        kind: golden_results(model, conversion.golden),
    }


def _embed_manifest(file: bytes, manifest: Manifest, format: Format) -> tuple[bytes, Manifest]:
    """Returns the file with its manifest inside, and that manifest with the file's digest."""
    placeholder = hashlib.sha256(file).hexdigest()
    embed = embed_manifest_in_onnx if format == "onnx" else embed_manifest_in_tflite
    content = embed(file, dataclasses.replace(manifest, digest=placeholder))
    digest = compute_digest(content, placeholder)
    return content.replace(placeholder.encode(), digest.encode()), dataclasses.replace(manifest, digest=digest)


def _round_metrics(value: Any) -> Any:
    """Returns metrics to three digits: further ones depend on the machine."""
    if isinstance(value, dict):
        return {name: _round_metrics(part) for name, part in value.items()}
    return float(f"{value:.3g}") if isinstance(value, float) else value


def _format_metric(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{name} {_format_metric(part)}" for name, part in value.items())
    return "-" if value is None else f"{value:.3g}"


def _versions(format: Format) -> dict[str, str]:
    versions = {"tensorflow": tf.__version__, "keras": keras.__version__}
    return versions | ({"tf2onnx": tf2onnx.__version__, "onnx": onnx.__version__} if format == "onnx" else {})
