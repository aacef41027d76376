"""Re-runs the golden test stored in a model file and compares the outputs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from acne_export.golden.image import (
    BOX_TOLERANCE,
    SCORE_TOLERANCE,
    golden_batch,
    golden_input,
    golden_results,
    sha256,
    to_json_values,
)
from acne_export.golden.vectors import FOLDER, GoldenVectors, read_golden_vectors
from acne_export.validation import unmatched
from acne_runtime.errors import ModelError
from acne_runtime.load import load_model
from acne_runtime.manifest import LEFT_OUT
from acne_runtime.model import Model
from acne_runtime.preprocess import preprocess

_ROUNDING = 1e-4
"""Tolerance of float32 outputs, relative to the largest value: processors sum in different orders."""
_STEPS = {"int8": 2 / 255, "w8a16": 1e-3, "dynamic": 2 / 255, "float16": 1e-2}
"""The same for coarser arithmetic: a value between two steps may round to either."""
_MAX_TIES = 2
"""Lesions at a threshold that such arithmetic may add or miss on another processor."""


class VerificationError(ModelError):
    """A file does not reproduce its golden outputs."""


def verify(file: Path) -> Iterator[str]:
    """Compares a file with the golden outputs in its manifest, and with the golden vectors next to it if there are any.

    Yields:
        One line per stage.

    Raises:
        VerificationError: The outputs differ.
        ModelError: There is nothing to compare.
    """
    model = load_model(file)
    manifest = model.manifest
    if "output_sha256" not in manifest.golden or not {"lesions", "labels", LEFT_OUT} & set(manifest.golden):
        raise ModelError(f"{file}: its manifest has no golden outputs; export it with acne-export")
    image = golden_input(manifest.input)
    if sha256({"": image}) != manifest.golden["input_sha256"]:
        raise VerificationError(
            f"{file}: this version of acne-export generates another golden image than the one that made the file"
        )
    outputs = model.backend.run(golden_batch(manifest.input))
    same = sha256(outputs) == manifest.golden["output_sha256"]
    yield f"golden image: {'outputs are identical bit for bit' if same else 'outputs are not identical bit for bit'}"
    folder = file.parent / FOLDER
    golden = read_golden_vectors(folder) if folder.is_dir() else None
    vectors = golden if golden and file.name in golden.outputs else None
    if LEFT_OUT not in manifest.golden:
        got = golden_results(model, outputs)
        yield f"golden image: {_compare_results(file, model, _lesions_or_labels(manifest.golden), got)}"
    elif same or vectors:
        yield "golden image: lesions not compared, they were stored with one box per type (schema 1)"
    else:
        raise ModelError(
            f"{file}: its lesions were stored with one box per type (schema 1), and its outputs here are not identical "
            "bit for bit: nothing left to compare; export it again with acne-export"
        )
    if vectors:
        yield from _replay_stages(file, model, vectors)


def _replay_stages(file: Path, model: Model, golden: GoldenVectors) -> Iterator[str]:
    """Runs each stage on the stored output of the stage before, so that a difference shows where it arises."""
    manifest = model.manifest
    tensor, placement = preprocess(golden.photograph, manifest.input)
    if tensor.shape != golden.tensor.shape:
        raise VerificationError(
            f"{file}: takes {tensor.shape}, but the golden vectors next to it are for {golden.tensor.shape}; "
            "rewrite them with acne-export golden"
        )
    difference = int(np.abs(tensor.astype(int) - golden.tensor).max())
    if difference > 1:
        raise VerificationError(
            f"{file}: the input tensor differs by {difference} levels: another resize or colour order"
        )
    yield f"photograph -> input tensor: differs by at most {difference} levels"
    outputs = model.backend.run(golden.tensor.astype(manifest.input.dtype))
    max_error = 0.0
    for name, expected in golden.outputs[file.name].items():
        if np.shape(outputs.get(name, ())) != expected.shape:
            raise VerificationError(
                f"{file}: has no output {name!r} of shape {expected.shape}, unlike the golden vectors next to it; "
                "rewrite them with acne-export golden"
            )
        error = float(np.abs(outputs[name] - expected).max()) / max(1.0, float(np.abs(expected).max()))
        tolerance = _STEPS.get(manifest.precision, _ROUNDING)
        if not error <= tolerance:  # NaN fails too
            raise VerificationError(
                f"{file}: output {name!r} differs by {error:.2g} from the stored one, more than {tolerance:.2g}"
            )
        max_error = max(max_error, error)
    yield f"input tensor -> raw outputs: differ by at most {max_error:.2g}"
    got = to_json_values(*model.postprocess(golden.outputs[file.name], placement), manifest.classes)
    # The stored outputs are the input: at any precision the result is the same.
    expected_results = _lesions_or_labels(golden.results[file.name])
    yield f"raw outputs -> result: {_compare_results(file, model, expected_results, got, exact=True)}"


def _lesions_or_labels(result: Mapping[str, Any]) -> Sequence[Mapping[str, Any]]:
    """Returns the lesions or labels of a result's dictionary."""
    values: Sequence[Mapping[str, Any]] = result["lesions"] if "lesions" in result else result["labels"]
    return values


def _compare_results(
    file: Path,
    model: Model,
    expected: Sequence[Mapping[str, Any]],
    got: Sequence[Mapping[str, Any]],
    exact: bool = False,
) -> str:
    """Compares lesions or labels and returns a sentence on how they agree."""
    precision = "float32" if exact else model.manifest.precision
    tolerance = SCORE_TOLERANCE + _STEPS.get(precision, 0.0)
    missing, new = unmatched(expected, got, lambda item, other: _is_same(item, other, tolerance))
    # Coarse arithmetic may miss or add a lesion at a threshold; labels are always all there.
    max_differences = _MAX_TIES if precision in _STEPS and all("box" in item for item in (*expected, *got)) else 0
    if len(missing) + len(new) > max_differences:
        example = (missing or new)[0]
        raise VerificationError(
            f"{file}: of {len(expected)} stored results {len(missing)} are missing and {len(new)} are new, such as "
            f"{example['class']} at {example.get('box', example['score'])}"
        )
    message = f"the same {len(expected) - len(missing)} results"
    return message + (f", {len(missing)} missing and {len(new)} new at a threshold" if missing or new else "")


def _is_same(item: Mapping[str, Any], other: Mapping[str, Any], score_tolerance: float) -> bool:
    types, other_types = item.get("types", {}), other.get("types", {})
    # With types, these are compared and not the class: between two equal ones, rounding decides.
    if set(types) != set(other_types) or (not types and item["class"] != other["class"]):
        return False
    scores = [(item["score"], other["score"]), *((types[name], other_types[name]) for name in types)]
    if not all(abs(a - b) <= score_tolerance for a, b in scores):
        return False
    sides = zip(item.get("box", ()), other.get("box", ()), strict=True)
    return all(abs(a - b) <= BOX_TOLERANCE + 10 * (score_tolerance - SCORE_TOLERANCE) for a, b in sides)
