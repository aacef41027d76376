"""Reads what the trainer left for the exporter: the only place where the two meet."""

from __future__ import annotations

import hashlib
import json
import math
from dataclasses import dataclass
from pathlib import Path

import keras

from acne_runtime.errors import ModelError
from acne_runtime.manifest import Manifest

Ranges = dict[str, tuple[float, float]]
"""Least and greatest value seen at the output of each operation of the Keras graph, by the operation's name."""


@dataclass(frozen=True, slots=True)
class RunFolder:
    """A trained model, ready for export.

    Attributes:
        path: The folder.
        model: `inference.keras`: a functional model of stock layers with a static input and batch size 1.
        manifest: `manifest.json`.
        ranges: `calibration.json`, empty where the folder has none.
    """

    path: Path
    model: keras.Model
    manifest: Manifest
    ranges: Ranges


def read_run_folder(path: Path) -> RunFolder:
    """Reads a run folder.

    Raises:
        ModelError: A file is missing or damaged, or the model is not what the manifest says.
    """
    for name in ("inference.keras", "manifest.json"):
        if not (path / name).is_file():
            raise ModelError(f"{path / name}: not found; --run takes a folder that acne-train wrote, or one of models/")
    manifest = Manifest.from_json((path / "manifest.json").read_bytes(), str(path / "manifest.json"))
    _check_hashes(path, manifest.provenance.get("files", {}))
    try:
        model = keras.models.load_model(path / "inference.keras", compile=False, safe_mode=True)
    except Exception as error:  # Keras raises whatever its parts raise
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise ModelError(f"{path / 'inference.keras'}: Keras cannot load this model: {reason}") from error
    _check(model, manifest, path)
    return RunFolder(path, model, manifest, _read_ranges(path / "calibration.json"))


def _check_hashes(path: Path, hashes: dict[str, str]) -> None:
    """Compares the files with what the trainer wrote down when it wrote them."""
    for name, expected in hashes.items():
        if not (path / name).is_file():
            raise ModelError(f"{path / name}: not found, but {path / 'manifest.json'} names it")
        if hashlib.sha256((path / name).read_bytes()).hexdigest() != expected:
            raise ModelError(
                f"{path / name}: not the file that acne-train wrote, its SHA-256 is another than manifest.json states; "
                "take the folder from its source anew"
            )


def _check(model: keras.Model, manifest: Manifest, path: Path) -> None:
    expected = (1, manifest.input.height, manifest.input.width, 3)
    if len(model.inputs) != 1 or tuple(model.inputs[0].shape) != expected:
        shapes = [tuple(one.shape) for one in model.inputs]
        raise ModelError(f"{path / 'inference.keras'}: inputs {shapes}, but the manifest says {[expected]}")
    outputs = set(model.output) if isinstance(model.output, dict) else set()
    if outputs != {spec.name for spec in manifest.outputs}:
        raise ModelError(
            f"{path / 'inference.keras'}: outputs {sorted(outputs)}, but the manifest says "
            f"{sorted(spec.name for spec in manifest.outputs)}"
        )
    for spec in manifest.outputs:
        shape, wanted = tuple(model.output[spec.name].shape), manifest.output_shape(spec)
        if shape != wanted:
            raise ModelError(
                f"{path / 'inference.keras'}: output {spec.name!r} has shape {shape}, but a {manifest.task} model's is "
                f"{wanted}"
            )


def _read_ranges(file: Path) -> Ranges:
    if not file.is_file():
        return {}
    try:
        ranges = {
            name: (float(low), float(high)) for name, (low, high) in json.loads(file.read_text())["ranges"].items()
        }
        for name, (low, high) in ranges.items():
            if not -math.inf < low <= high < math.inf:
                raise ValueError(f"{name}: {low} to {high}")
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ModelError(f"{file}: these are no activation ranges ({error}); train again to write them") from error
    return ranges
