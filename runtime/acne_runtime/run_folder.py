"""The contract between trainer and exporter: the files of a run folder that an export starts from."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from acne_runtime.errors import ModelError

INFERENCE_MODEL = "inference.keras"
"""A functional Keras model of stock layers, with a static input and batch size 1."""
MANIFEST = "manifest.json"
"""`acne_runtime.manifest.Manifest`, written last: a folder without it is not finished."""
CALIBRATION = "calibration.json"
"""`Activations`, what int8 needs to know of photographs; not one pixel is kept."""


@dataclass(frozen=True, slots=True)
class Activations:
    """By the name of the operation that computes them.

    Attributes:
        ranges: The range that int8 should cover. Values beyond it are clipped.
        means: The mean of each channel, of feature maps only; empty where it was not recorded.
    """

    ranges: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    means: Mapping[str, NDArray[np.float32]] = field(default_factory=dict)

    def to_json(self, photographs: int) -> str:
        """Returns what `calibration.json` holds; means in four digits.

        Args:
            photographs: How many were measured.
        """
        means = {name: [float(f"{mean:.4g}") for mean in values] for name, values in self.means.items()}
        return json.dumps({"schema": 2, "photographs": photographs, "ranges": self.ranges, "means": means}) + "\n"

    @classmethod
    def from_json(cls, text: bytes) -> Activations:
        """Reads what `to_json` returned, or schema 1, which has no means.

        Raises:
            ValueError: It is something else.
        """
        raw = json.loads(text)
        try:
            ranges = {name: (float(low), float(high)) for name, (low, high) in raw["ranges"].items()}
            means = {name: np.array(values, np.float32) for name, values in raw.get("means", {}).items()}
        except (KeyError, TypeError, AttributeError) as error:
            raise ValueError(str(error)) from error
        for name, (low, high) in ranges.items():
            if not -math.inf < low <= high < math.inf:
                raise ValueError(f"{name}: {low} to {high}")
        for name, values in means.items():
            if values.ndim != 1 or not np.isfinite(values).all():
                raise ValueError(f"{name}: not one mean per channel")
        return cls(ranges, means)


def hash_files(run: Path) -> dict[str, str]:
    """Returns the SHA-256 of what lies next to the manifest, for its provenance."""
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
