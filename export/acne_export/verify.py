"""Asks a model file again what it answered when it was made."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from acne_export.golden.answers import as_answers, golden_answers
from acne_export.golden.image import BOX_TOLERANCE, SCORE_TOLERANCE, golden_batch, golden_input, sha256
from acne_export.golden.vectors import FOLDER, GoldenVectors, read_golden_vectors
from acne_export.matching import unmatched
from acne_runtime.errors import ModelError
from acne_runtime.load import load_model
from acne_runtime.manifest import LEFT_OUT
from acne_runtime.model import Model
from acne_runtime.preprocess import preprocess

_ROUNDING = 1e-4
"""Of float32 outputs, relative to the largest value: other processors sum in another order."""
_STEPS = {"int8": 2 / 255, "w8a16": 1e-3, "dynamic": 2 / 255, "float16": 1e-2}
"""The same where the arithmetic is coarser: a value that lies between two steps falls to either."""
_AT_A_THRESHOLD = 2
"""Lesions that such arithmetic may find or lose on another processor."""


class ChangedError(ModelError):
    """A file answers otherwise than when it was made."""


def verify(file: Path) -> Iterator[str]:
    """Replays what the manifest states, and the golden vectors beside the file where there are any.

    Yields:
        One line a station.

    Raises:
        ChangedError: The file answers otherwise.
        ModelError: There is nothing to compare with.
    """
    model = load_model(file)
    manifest = model.manifest
    if "output_sha256" not in manifest.golden or not {"lesions", "labels", LEFT_OUT} & set(manifest.golden):
        raise ModelError(f"{file}: its manifest states no golden answer; export it with acne-export")
    picture = golden_input(manifest.input)
    if sha256({"": picture}) != manifest.golden["input_sha256"]:
        raise ChangedError(
            f"{file}: this version of acne-export makes another golden picture than the file was made with"
        )
    outputs = model.backend.run(golden_batch(manifest.input))
    same = sha256(outputs) == manifest.golden["output_sha256"]
    yield f"golden picture: {'the same outputs, bit for bit' if same else 'outputs are not the same bit for bit'}"
    folder = file.parent / FOLDER
    golden = read_golden_vectors(folder) if folder.is_dir() else None
    vectors = golden if golden and file.name in golden.outputs else None
    if LEFT_OUT not in manifest.golden:
        got = golden_answers(model, outputs)
        yield f"golden picture: {_same_answers(file, model, _answers(manifest.golden), got)}"
    elif same or vectors:
        yield "golden picture: its lesions are not compared, they were stated with a box a type (schema 1)"
    else:
        raise ModelError(
            f"{file}: its lesions were stated with a box a type (schema 1), and its outputs here are not the same bit "
            "for bit: nothing is left to compare; export it again with acne-export"
        )
    if vectors:
        yield from _stations(file, model, vectors)


def _stations(file: Path, model: Model, golden: GoldenVectors) -> Iterator[str]:
    """Replays each station from what is stored of the one before, so that a fault shows where it is."""
    manifest = model.manifest
    tensor, placement = preprocess(golden.photograph, manifest.input)
    if tensor.shape != golden.tensor.shape:
        raise ChangedError(
            f"{file}: takes {tensor.shape}, but the golden vectors beside it are for {golden.tensor.shape}; "
            "acne-export golden writes them anew"
        )
    apart = int(np.abs(tensor.astype(int) - golden.tensor).max())
    if apart > 1:
        raise ChangedError(
            f"{file}: the input tensor is {apart} levels off the stored one: another resize or colour order"
        )
    yield f"photograph -> input tensor: at most {apart} levels apart"
    outputs = model.backend.run(golden.tensor.astype(manifest.input.dtype))
    worst = 0.0
    for name, expected in golden.outputs[file.name].items():
        if np.shape(outputs.get(name, ())) != expected.shape:
            raise ChangedError(
                f"{file}: has no output {name!r} of shape {expected.shape}, as the golden vectors beside it; "
                "acne-export golden writes them anew"
            )
        error = float(np.abs(outputs[name] - expected).max()) / max(1.0, float(np.abs(expected).max()))
        allowed = _STEPS.get(manifest.precision, _ROUNDING)
        if not error <= allowed:  # nor is it a number
            raise ChangedError(f"{file}: output {name!r} is {error:.2g} off the stored one, more than {allowed:.2g}")
        worst = max(worst, error)
    yield f"input tensor -> raw outputs: at most {worst:.2g} apart"
    got = as_answers(*model.postprocess(golden.outputs[file.name], placement), manifest.classes)
    # The stored outputs went in: whatever the precision, what comes out is the same.
    yield f"raw outputs -> result: {_same_answers(file, model, _answers(golden.results[file.name]), got, exact=True)}"


def _answers(result: Mapping[str, Any]) -> Sequence[Mapping[str, Any]]:
    """Returns the lesions or labels of a result's dictionary."""
    answers: Sequence[Mapping[str, Any]] = result["lesions"] if "lesions" in result else result["labels"]
    return answers


def _same_answers(
    file: Path,
    model: Model,
    expected: Sequence[Mapping[str, Any]],
    got: Sequence[Mapping[str, Any]],
    exact: bool = False,
) -> str:
    """Compares lesions or labels and returns in words how they agree."""
    precision = "float32" if exact else model.manifest.precision
    tolerance = SCORE_TOLERANCE + _STEPS.get(precision, 0.0)
    missing, new = unmatched(expected, got, lambda one, other: _alike(one, other, tolerance))
    # Coarse arithmetic may lose or find a lesion at a threshold; labels come all the same.
    allowed = _AT_A_THRESHOLD if precision in _STEPS and all("box" in one for one in (*expected, *got)) else 0
    if len(missing) + len(new) > allowed:
        odd = (missing or new)[0]
        raise ChangedError(
            f"{file}: {len(expected)} answers were stated, {len(missing)} are missing and {len(new)} are new, such as "
            f"{odd['class']} at {odd.get('box', odd['score'])}"
        )
    told = f"the same {len(expected) - len(missing)} answers"
    return told + (f", {len(missing)} gone and {len(new)} new at a threshold" if missing or new else "")


def _alike(one: Mapping[str, Any], other: Mapping[str, Any], score_tolerance: float) -> bool:
    types, other_types = one.get("types", {}), other.get("types", {})
    # Where the types are said, they are compared and not the class: between two that are equal, rounding decides.
    if set(types) != set(other_types) or (not types and one["class"] != other["class"]):
        return False
    scores = [(one["score"], other["score"]), *((types[name], other_types[name]) for name in types)]
    if not all(abs(a - b) <= score_tolerance for a, b in scores):
        return False
    sides = zip(one.get("box", ()), other.get("box", ()), strict=True)
    return all(abs(a - b) <= BOX_TOLERANCE + 10 * (score_tolerance - SCORE_TOLERANCE) for a, b in sides)
