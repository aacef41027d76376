"""No file is handed over before its answers were compared with those of the model it came from."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

from acne_export.exporters import Limits
from acne_export.golden.image import BOX_TOLERANCE, SCORE_TOLERANCE
from acne_export.matching import unmatched
from acne_runtime.backends.keras import copy_weights
from acne_runtime.errors import ModelError
from acne_runtime.result import Lesion, Result

PARITY = 1e-5
"""Largest error of a float32 conversion, relative to the largest value of that output (at least 1)."""
ROUNDINGS, MOST_ROUNDING = 10, 1e-3
"""How many times its source's own rounding error a float32 conversion may be off, where that is more; and the end."""
LEAST_TIES = 2
"""Lesions that a graph of reduced precision may find otherwise than the runtime does in its raw heads."""
LEAST_SCORE = 2 / 256
"""Scores below it are a step or two of int8: noise in any model."""
LEAST_OF_WEIGHTS = 0.9
"""Least size of a float32 file, as a share of its weights."""
LEAST_OF_LEVELS, FEWEST_LEVELS = 0.15, 16
"""Least share of its source's score levels that a reduced file keeps, where the source shows enough of them to tell.
Sound int8 keeps a third and more: its logits have 256 steps for all scores. Scores that share their scale with box
distances keep about a twentieth."""

Outputs = Mapping[str, NDArray[Any]]


class ProofError(ModelError):
    """A converted file does not answer as its source does."""


def keras_outputs(model: keras.Model, image: NDArray[np.uint8]) -> dict[str, NDArray[np.float32]]:
    """Returns the source's own answer."""
    outputs = model(image.astype(np.float32), training=False)
    return {name: np.asarray(output) for name, output in outputs.items()}


def rounding_errors(
    model: keras.Model, image: NDArray[np.uint8], source: Mapping[str, NDArray[Any]]
) -> dict[str, float]:
    """Returns by how much, at most, the source's float32 answer differs from its answer in float64, by output.

    A model that saw little in training may carry values in the hundreds through its layers; no two orders of its sums
    then agree to 1e-5, and the fault is not the conversion's.

    Args:
        model: The source.
        image: `[1, height, width, 3]` uint8 RGB.
        source: `keras_outputs` of the two.
    """

    def in_float64(layer: Any) -> Any:
        config = layer.get_config()
        return type(layer).from_config(config | {"dtype": "float64"} if isinstance(layer, keras.Layer) else config)

    given = keras.Input(batch_shape=model.inputs[0].shape, dtype="float64", name=model.inputs[0].name)
    exact = keras.models.clone_model(model, input_tensors=given, clone_function=in_float64)
    copy_weights(model, exact)
    answer = exact(image.astype(np.float64), training=False)
    return {name: float(np.abs(output - np.asarray(answer[name])).max()) for name, output in source.items()}


def prove_float32(source: Outputs, converted: Outputs, rounding: Mapping[str, float]) -> dict[str, float]:
    """Compares a float32 conversion with its source.

    Args:
        source: The source's answer.
        converted: The conversion's.
        rounding: `rounding_errors` of the source.

    Returns:
        `max_error`: the largest difference, relative to the largest value of that output (at least 1).

    Raises:
        ProofError: An output is missing, has another shape, is not finite, or differs by more than `PARITY`
            and by more than `ROUNDINGS` times its source's own rounding error, or by more than `MOST_ROUNDING`.
    """
    worst = 0.0
    for name, expected, got in _pairs(source, converted):
        largest = max(1.0, float(np.abs(expected).max()))
        error = float(np.abs(expected - got).max()) / largest
        allowed = max(PARITY, min(MOST_ROUNDING, ROUNDINGS * rounding[name] / largest))
        if error > allowed:
            raise ProofError(f"output {name!r} differs from the Keras model by {error:.2g}, more than {allowed:.2g}")
        worst = max(worst, error)
    return {"max_error": worst}


def prove_finite(source: Outputs, converted: Outputs) -> None:
    """Asks for no more than all outputs, of the right shapes and finite: of reduced precision on any picture.

    Raises:
        ProofError: An output is missing, has another shape, or is not finite.
    """
    for _ in _pairs(source, converted):
        pass


def prove_reduced(source: Outputs, converted: Outputs, limits: Limits, threshold: float) -> dict[str, Any]:
    """Compares a conversion of reduced precision with its source.

    Args:
        source: The source's answer.
        converted: The conversion's.
        limits: What it may lose.
        threshold: The least decision threshold. Nearly all probabilities of a detector are near zero, and any error
            there is small; from half the threshold on they matter.

    Returns:
        `mean_score_error` (absolute), `relative_score_error` (of the scores that matter), for detectors
        `min_box_cosine`, each the worst over the outputs of its kind, and `snr_db`, the signal-to-noise ratio in
        decibels by output.

    Raises:
        ProofError: An output is missing, has another shape, is not finite, or lost more than `limits` allow.
    """
    cosines: list[float] = []
    errors: list[float] = []
    noise: dict[str, float] = {}
    wrong = right = 0.0
    least = max(LEAST_SCORE, threshold / 2)
    for name, expected, got in _pairs(source, converted):
        power, loss = float((expected.astype(np.float64) ** 2).sum()), float(((expected - got) ** 2).sum())
        noise[name] = round(10 * float(np.log10(max(power, 1e-30) / max(loss, 1e-30))), 1)
        if name.startswith("box"):
            norms = float(np.linalg.norm(expected)) * float(np.linalg.norm(got))
            cosines.append(float((expected * got).sum()) / max(1e-12, norms))
            if cosines[-1] < limits.least_cosine:
                raise ProofError(
                    f"output {name!r} has lost its source's shape: cosine {cosines[-1]:.3f} < {limits.least_cosine}"
                )
            continue
        levels, wanted = _levels(got), _levels(expected)
        if wanted >= FEWEST_LEVELS and levels < LEAST_OF_LEVELS * wanted:
            raise ProofError(
                f"output {name!r} has {levels} levels left of {wanted}: its scores share one scale with other values; "
                "they must leave the graph apart"
            )
        errors.append(float(np.abs(expected - got).mean()))  # scores near zero have no direction to compare
        if errors[-1] > limits.score_error:
            raise ProofError(
                f"output {name!r} differs from its source's scores by {errors[-1]:.3f} on average, more than "
                f"{limits.score_error}"
            )
        matters = np.maximum(expected, got) >= least
        wrong += float(((expected - got)[matters].astype(np.float64) ** 2).sum())
        right += float((expected[matters].astype(np.float64) ** 2).sum())
    relative = float(np.sqrt(wrong / max(right, 1e-12)))
    if relative > limits.relative_error:
        raise ProofError(
            f"the scores from {least:.3f} on differ from their source's by {relative:.0%}, more than "
            f"{limits.relative_error:.0%}"
        )
    found = {"mean_score_error": max(errors), "relative_score_error": relative} if errors else {}
    return found | ({"min_box_cosine": min(cosines)} if cosines else {}) | ({"snr_db": noise} if noise else {})


def _levels(scores: NDArray[Any]) -> int:
    """Returns how many different scores there are, to the 1/256 that an int8 score of its own comes in."""
    return len(np.unique(np.round(scores * 256)))


def prove_size(file_bytes: int, model: keras.Model, limits: Limits | None) -> None:
    """Compares a file's size with that of the model's weights in float32.

    Raises:
        ProofError: Weights are missing, or were not made smaller.
    """
    weights = 4 * model.count_params()
    share = file_bytes / weights
    if limits is None and share < LEAST_OF_WEIGHTS:
        raise ProofError(
            f"the file has {file_bytes / 1e6:.2f} MB, the model's weights alone {weights / 1e6:.2f}: the converter "
            "lost variables"
        )
    if limits is not None and share > max(limits.most_bytes, limits.most_bytes + _OVERHEAD / weights):
        raise ProofError(
            f"the file has {share:.0%} of the float32 weights' size: the converter left weights as they were"
        )


_OVERHEAD = 100_000
"""Bytes that a graph takes beside its weights; they count in tiny models."""


def prove_same_lesions(expected: Result, got: Result, exact: bool = True) -> None:
    """Compares what a graph with its own suppression finds with what the runtime finds in the same raw heads.

    Args:
        expected: The runtime's result.
        got: The graph's.
        exact: Whether all must be the same; where scores come in coarse steps, ties at a threshold or between two
            boxes fall to either, and `LEAST_TIES` and a twentieth of the lesions may.

    Raises:
        ProofError: They differ in a lesion.
    """
    ours = expected.lesions or ()
    tolerance = SCORE_TOLERANCE if exact else SCORE_TOLERANCE + LEAST_SCORE

    def alike(one: Lesion, other: Lesion) -> bool:
        apart = max(abs(a - b) for a, b in zip(one.box, other.box, strict=True))
        if apart > BOX_TOLERANCE or abs(one.score - other.score) > tolerance:
            return False
        if one.types is None or other.types is None:
            return one.name == other.name
        # Not by the name: between two types that are equally probable, rounding decides.
        return all(abs(a - b) <= tolerance for a, b in zip(one.types, other.types, strict=True))

    missing, new = unmatched(ours, got.lesions or (), alike)
    if len(missing) + len(new) > (0 if exact else LEAST_TIES + len(ours) // 20):
        odd = (missing or new)[0]
        raise ProofError(
            f"--nms: of {len(ours)} lesions that the runtime finds the graph lacks {len(missing)}, and it finds "
            f"{len(new)} others, such as {odd.name} at {odd.box}"
        )


def _pairs(source: Outputs, converted: Outputs) -> Iterator[tuple[str, NDArray[Any], NDArray[Any]]]:
    for name, expected in source.items():
        if name not in converted:
            raise ProofError(f"output {name!r} is missing; the file has {sorted(converted)}")
        got = converted[name]
        if got.shape != expected.shape:
            raise ProofError(f"output {name!r} has shape {got.shape} instead of {expected.shape}")
        if not np.isfinite(got).all():
            raise ProofError(f"output {name!r} is not finite")
        yield name, expected, got


def damaged_layers(model: keras.Model) -> Sequence[str]:
    """Returns the layers whose weights are not all finite numbers."""
    return [one.name for one in model.layers if not all(np.isfinite(weight).all() for weight in one.get_weights())]
