"""Reads a run folder, the only interface between trainer and exporter."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import keras

from acne_runtime.errors import ModelError, one_line
from acne_runtime.load import DEFAULT_MODEL, model_folders
from acne_runtime.manifest import Manifest
from acne_runtime.run_folder import CALIBRATION, INFERENCE_MODEL, MANIFEST, Activations, check_hashes

Ranges = Mapping[str, tuple[float, float]]
"""The range of the output of each operation of the Keras graph, by the operation's name."""


@dataclass(frozen=True, slots=True)
class RunFolder:
    """A trained model, ready for export.

    Attributes:
        path: The folder.
        model: `inference.keras`: a functional model of stock layers with a static input and batch size 1.
        manifest: `manifest.json`.
        activations: `calibration.json`; empty where the folder has none, without means in older folders.
    """

    path: Path
    model: keras.Model
    manifest: Manifest
    activations: Activations


def read_run_folder(path: Path) -> RunFolder:
    """Reads a run folder.

    Raises:
        ModelError: A file is missing or corrupt, or the model does not match the manifest.
    """
    for name in (INFERENCE_MODEL, MANIFEST):
        if not (path / name).is_file():
            raise ModelError(f"{path / name}: not found; a run is a folder that acne-train wrote, or one of models/")
    manifest = Manifest.from_json((path / MANIFEST).read_bytes(), str(path / MANIFEST))
    check_hashes(path, manifest.provenance.get("files", {}))
    try:
        model = keras.models.load_model(path / INFERENCE_MODEL, compile=False, safe_mode=True)
    except Exception as error:  # Keras raises whatever its parts raise
        reason = next((line for line in str(error).splitlines() if line.strip()), "").strip() or one_line(error)
        raise ModelError(f"{path / INFERENCE_MODEL}: Keras cannot load this model: {reason}") from error
    _check(model, manifest, path)
    return RunFolder(path, model, manifest, _read_activations(path / CALIBRATION))


def shipped_run() -> Path:
    """Returns the run folder of the default model.

    Raises:
        ModelError: The default model is not installed as a Keras model.
    """
    for folder in model_folders():
        if (folder / DEFAULT_MODEL / INFERENCE_MODEL).is_file():
            return folder / DEFAULT_MODEL
    raise ModelError(
        f"the shipped {DEFAULT_MODEL} has its Keras form in a checkout only (pip install --editable); choose a run "
        "folder with `run`",
        parameter="run",
    )


def _check(model: keras.Model, manifest: Manifest, path: Path) -> None:
    expected = (1, manifest.input.height, manifest.input.width, 3)
    if len(model.inputs) != 1 or tuple(model.inputs[0].shape) != expected:
        shapes = [tuple(tensor.shape) for tensor in model.inputs]
        raise ModelError(f"{path / INFERENCE_MODEL}: inputs {shapes}, but the manifest says {[expected]}")
    outputs = set(model.output) if isinstance(model.output, dict) else set()
    if outputs != {spec.name for spec in manifest.outputs}:
        raise ModelError(
            f"{path / INFERENCE_MODEL}: outputs {sorted(outputs)}, but the manifest says "
            f"{sorted(spec.name for spec in manifest.outputs)}"
        )
    for spec in manifest.outputs:
        shape, expected_shape = tuple(model.output[spec.name].shape), manifest.output_shape(spec)
        if shape != expected_shape:
            raise ModelError(
                f"{path / INFERENCE_MODEL}: output {spec.name!r} has shape {shape}, but a {manifest.task} model's is "
                f"{expected_shape}"
            )


def _read_activations(file: Path) -> Activations:
    if not file.is_file():
        return Activations()
    try:
        return Activations.from_json(file.read_bytes())
    except ValueError as error:
        raise ModelError(f"{file}: not valid activation ranges ({error}); train again to write them") from error
