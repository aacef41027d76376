"""Reads a run folder, the only interface between trainer and exporter."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import keras
import numpy as np

from acne_runtime.backends.activations import Activations
from acne_runtime.errors import ModelError, one_line
from acne_runtime.load import DEFAULT_MODEL, model_folders
from acne_runtime.manifest import Manifest

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
    for name in ("inference.keras", "manifest.json"):
        if not (path / name).is_file():
            raise ModelError(f"{path / name}: not found; a run is a folder that acne-train wrote, or one of models/")
    manifest = Manifest.from_json((path / "manifest.json").read_bytes(), str(path / "manifest.json"))
    _check_hashes(path, manifest.provenance.get("files", {}))
    try:
        model = keras.models.load_model(path / "inference.keras", compile=False, safe_mode=True)
    except Exception as error:  # Keras raises whatever its parts raise
        reason = next((line for line in str(error).splitlines() if line.strip()), "").strip() or one_line(error)
        raise ModelError(f"{path / 'inference.keras'}: Keras cannot load this model: {reason}") from error
    _check(model, manifest, path)
    return RunFolder(path, model, manifest, _read_activations(path / "calibration.json"))


def shipped_run() -> Path:
    """Returns the run folder of the default model.

    Raises:
        ModelError: The default model is not installed as a Keras model.
    """
    for folder in model_folders():
        if (folder / DEFAULT_MODEL / "inference.keras").is_file():
            return folder / DEFAULT_MODEL
    raise ModelError(
        f"the shipped {DEFAULT_MODEL} has its Keras form in a checkout only (pip install --editable); choose a run "
        "folder with `run`",
        parameter="run",
    )


def _check_hashes(path: Path, hashes: dict[str, str]) -> None:
    """Compares the files with the SHA-256 hashes that the trainer stored."""
    for name, expected in hashes.items():
        if not (path / name).is_file():
            raise ModelError(f"{path / name}: not found, but {path / 'manifest.json'} names it")
        if hashlib.sha256((path / name).read_bytes()).hexdigest() != expected:
            raise ModelError(
                f"{path / name}: corrupt: not the file that acne-train wrote, its SHA-256 differs from the one in "
                "manifest.json; copy the folder again from its source"
            )


def _check(model: keras.Model, manifest: Manifest, path: Path) -> None:
    expected = (1, manifest.input.height, manifest.input.width, 3)
    if len(model.inputs) != 1 or tuple(model.inputs[0].shape) != expected:
        shapes = [tuple(tensor.shape) for tensor in model.inputs]
        raise ModelError(f"{path / 'inference.keras'}: inputs {shapes}, but the manifest says {[expected]}")
    outputs = set(model.output) if isinstance(model.output, dict) else set()
    if outputs != {spec.name for spec in manifest.outputs}:
        raise ModelError(
            f"{path / 'inference.keras'}: outputs {sorted(outputs)}, but the manifest says "
            f"{sorted(spec.name for spec in manifest.outputs)}"
        )
    for spec in manifest.outputs:
        shape, expected_shape = tuple(model.output[spec.name].shape), manifest.output_shape(spec)
        if shape != expected_shape:
            raise ModelError(
                f"{path / 'inference.keras'}: output {spec.name!r} has shape {shape}, but a {manifest.task} model's is "
                f"{expected_shape}"
            )


def _read_activations(file: Path) -> Activations:
    if not file.is_file():
        return Activations()
    try:
        raw = json.loads(file.read_text())
        ranges = {name: (float(low), float(high)) for name, (low, high) in raw["ranges"].items()}
        means = {name: np.array(values, np.float32) for name, values in raw.get("means", {}).items()}
        for name, (low, high) in ranges.items():
            if not -math.inf < low <= high < math.inf:
                raise ValueError(f"{name}: {low} to {high}")
        for name, values in means.items():
            if values.ndim != 1 or not np.isfinite(values).all():
                raise ValueError(f"{name}: not one mean per channel")
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ModelError(f"{file}: not valid activation ranges ({error}); train again to write them") from error
    return Activations(ranges, means)
