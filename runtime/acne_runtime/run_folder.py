"""The contract between trainer and exporter: the files of a run folder that an export starts from."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path

from acne_runtime.errors import ModelError

INFERENCE_MODEL = "inference.keras"
"""A functional Keras model of stock layers, with a static input and batch size 1."""
MANIFEST = "manifest.json"
"""`acne_runtime.manifest.Manifest`, written last: a folder without it is not finished."""
CALIBRATION = "calibration.json"
"""`acne_runtime.backends.activations.Activations`."""


def hash_files(run: Path) -> dict[str, str]:
    """Returns the SHA-256 of what lies beside the manifest, for its provenance."""
    return {name: _sha256(run / name) for name in (INFERENCE_MODEL, CALIBRATION)}


def check_hashes(run: Path, hashes: Mapping[str, str]) -> None:
    """Compares files with the hashes that the trainer stored.

    Raises:
        ModelError: A file is missing or another one.
    """
    for name, expected in hashes.items():
        if not (run / name).is_file():
            raise ModelError(f"{run / name}: not found, but {run / MANIFEST} names it")
        if _sha256(run / name) != expected:
            raise ModelError(
                f"{run / name}: corrupt: not the file that acne-train wrote, its SHA-256 differs from the one in "
                f"{MANIFEST}; copy the folder again from its source"
            )


def _sha256(file: Path) -> str:
    return hashlib.sha256(file.read_bytes()).hexdigest()
