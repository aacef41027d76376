"""Compares a converted file with the Keras model it was made from; a file that fails is not written."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import keras
import numpy as np
from numpy.typing import NDArray

from acne_export.golden.image import BOX_TOLERANCE, SCORE_TOLERANCE
from acne_runtime.backends.keras import copy_weights
from acne_runtime.errors import ModelError
from acne_runtime.result import Lesion, Result

FLOAT32_TOLERANCE = 1e-5
"""Largest error of a float32 conversion, relative to the largest value of that output (at least 1)."""
ROUNDING_FACTOR, MAX_ROUNDING = 10, 1e-3
"""A float32 conversion may also differ by this factor times the Keras model's own rounding error, up to the maximum."""
MAX_TIES = 2
"""Lesions in which a graph with NMS at reduced precision may differ from NMS in the runtime."""
MIN_SCORE = 2 / 256
"""Scores below it are one or two int8 steps: noise in any model."""
MIN_SIZE_RATIO = 0.9
"""Smallest size of a float32 file, as a ratio to its weights."""
MIN_LEVEL_RATIO, MIN_LEVELS = 0.15, 16
"""Smallest fraction of the score levels that a reduced file keeps, where the Keras model shows enough of them to tell.
Sound int8 keeps a third or more: its logits have 256 steps for all scores. Scores that share their scale with box
distances keep about a twentieth."""
_OVERHEAD = 100_000
"""Bytes that a graph takes in addition to its weights; they count in tiny models."""

Outputs = Mapping[str, NDArray[Any]]

Item = TypeVar("Item")


@dataclass(frozen=True, slots=True)
class Limits:
    """How far a file of reduced precision may differ from the Keras model.

    The values are several times what sound conversions of our models measure, and far below what broken ones do.

    Attributes:
        min_cosine: Smallest cosine similarity of a box output's distributions, up to 1.
        max_score_error: Largest mean absolute error of a score or label output.
        max_relative_error: Largest error of the scores near and above the threshold, relative to them (root mean
            square).
        max_size_ratio: Largest file size, as a ratio to the float32 weights.
    """

    min_cosine: float
    max_score_error: float
    max_relative_error: float
    max_size_ratio: float


class ValidationError(ModelError):
    """A converted file differs from the Keras model it was made from."""


def keras_outputs(model: keras.Model, image: NDArray[np.uint8]) -> dict[str, NDArray[np.float32]]:
    """Returns the Keras model's outputs for `[n, height, width, 3]` uint8 RGB, by name."""
    outputs = model(image.astype(np.float32), training=False)
    return {name: np.asarray(output) for name, output in outputs.items()}


def rounding_errors(
    model: keras.Model, image: NDArray[np.uint8], outputs: Mapping[str, NDArray[Any]]
) -> dict[str, float]:
    """Returns the largest difference between the Keras model's outputs in float32 and in float64, by output.

    A model that saw little data may carry values in the hundreds through its layers; no two orders of its sums then
    agree to 1e-5, and the conversion is not at fault.

    Args:
        model: The Keras model.
        image: `[1, height, width, 3]` uint8 RGB.
        outputs: `keras_outputs` of the two.
    """

    def in_float64(layer: Any) -> Any:
        config = layer.get_config()
        return type(layer).from_config(config | {"dtype": "float64"} if isinstance(layer, keras.Layer) else config)

    inputs = keras.Input(batch_shape=model.inputs[0].shape, dtype="float64", name=model.inputs[0].name)
    exact = keras.models.clone_model(model, input_tensors=inputs, clone_function=in_float64)
    copy_weights(model, exact)
    exact_outputs = exact(image.astype(np.float64), training=False)
    return {name: float(np.abs(output - np.asarray(exact_outputs[name])).max()) for name, output in outputs.items()}


def check_float32(reference: Outputs, converted: Outputs, rounding: Mapping[str, float]) -> dict[str, float]:
    """Compares the outputs of a float32 conversion with those of the Keras model.

    Args:
        reference: The Keras model's outputs.
        converted: The file's outputs.
        rounding: `rounding_errors` of the Keras model.

    Returns:
        `max_error`: the largest difference, relative to the largest value of that output (at least 1).

    Raises:
        ValidationError: An output is missing, has another shape, is not finite, or differs by more than both
            `FLOAT32_TOLERANCE` and `ROUNDING_FACTOR` times the model's own rounding error (at most `MAX_ROUNDING`).
    """
    max_error = 0.0
    pairs = list(_pair_outputs(reference, converted))
    largest_of = {name: max(1.0, float(np.abs(expected).max())) for name, expected, _ in pairs}
    for name, expected, got in pairs:
        largest = largest_of[name]
        error = float(np.abs(expected - got).max()) / largest
        # Of all heads of a kind, such as `score_8` to `score_32`: the few cells of one say little of its rounding.
        relative = max(rounding[head] / largest_of[head] for head in largest_of if _kind(head) == _kind(name))
        tolerance = max(FLOAT32_TOLERANCE, min(MAX_ROUNDING, ROUNDING_FACTOR * relative))
        if error > tolerance:
            raise ValidationError(
                f"output {name!r} differs from the Keras model by {error:.2g}, more than {tolerance:.2g}"
            )
        max_error = max(max_error, error)
    return {"max_error": max_error}


def _kind(head: str) -> str:
    return head.rpartition("_")[0]


def check_finite(reference: Outputs, converted: Outputs) -> None:
    """Checks that all outputs are there, have the right shapes and are finite, as reduced precision must on any image.

    Raises:
        ValidationError: An output is missing, has another shape, or is not finite.
    """
    for _ in _pair_outputs(reference, converted):
        pass


def check_reduced(
    reference: Outputs, converted: Outputs, limits: Limits, threshold: float, bins: int
) -> dict[str, Any]:
    """Compares the outputs of a conversion to reduced precision with those of the Keras model.

    Args:
        reference: The Keras model's outputs.
        converted: The file's outputs.
        limits: How far they may differ.
        threshold: The lowest decision threshold. Nearly all probabilities of a detector are near zero, and any error
            there is small; from half the threshold up they matter.
        bins: Bins of each distribution in the box outputs; 0 without any.

    Returns:
        `mean_score_error` (absolute) and `relative_score_error` (of the scores that matter), for detectors
        `min_box_cosine`, each the worst over the outputs of its kind, and `snr_db`, the signal-to-noise ratio in
        decibels by output.

    Raises:
        ValidationError: An output is missing, has another shape, is not finite, or differs by more than `limits`.
    """
    cosines: list[float] = []
    errors: list[float] = []
    snr: dict[str, float] = {}
    squared_error = squared_scores = 0.0
    min_score = max(MIN_SCORE, threshold / 2)
    for name, expected, got in _pair_outputs(reference, converted):
        snr[name] = _signal_to_noise(expected, got)
        if name.startswith("box"):
            cosines.append(_check_boxes(name, expected, got, limits, bins))
            continue
        errors.append(_check_scores(name, expected, got, limits))
        matters = np.maximum(expected, got) >= min_score
        squared_error += float(((expected - got)[matters].astype(np.float64) ** 2).sum())
        squared_scores += float((expected[matters].astype(np.float64) ** 2).sum())
    relative = float(np.sqrt(squared_error / max(squared_scores, 1e-12)))
    if relative > limits.max_relative_error:
        raise ValidationError(
            f"scores of {min_score:.3f} and above differ from the Keras model's by {relative:.0%}, more than "
            f"{limits.max_relative_error:.0%}"
        )
    metrics = {"mean_score_error": max(errors), "relative_score_error": relative} if errors else {}
    return metrics | ({"min_box_cosine": min(cosines)} if cosines else {}) | ({"snr_db": snr} if snr else {})


def _signal_to_noise(expected: NDArray[Any], got: NDArray[Any]) -> float:
    """Returns decibels, to one decimal."""
    signal, noise = float((expected.astype(np.float64) ** 2).sum()), float(((expected - got) ** 2).sum())
    return round(10 * float(np.log10(max(signal, 1e-30) / max(noise, 1e-30))), 1)


def _check_boxes(name: str, expected: NDArray[Any], got: NDArray[Any], limits: Limits, bins: int) -> float:
    """Returns the cosine similarity of a box output's distributions and the Keras model's, less the uniform one.

    That of the logits would count by how much the least likely bins are unlikely, which moves no box.
    """
    expected, got = (
        np.asarray(keras.ops.softmax(logits.reshape(-1, bins))) - np.float32(1 / bins) for logits in (expected, got)
    )
    magnitude = float(np.linalg.norm(expected)) * float(np.linalg.norm(got))
    cosine = float((expected * got).sum()) / max(1e-12, magnitude)
    if cosine < limits.min_cosine:
        raise ValidationError(
            f"output {name!r} differs from the Keras model: cosine similarity {cosine:.3f}, below {limits.min_cosine}"
        )
    return cosine


def _check_scores(name: str, expected: NDArray[Any], got: NDArray[Any], limits: Limits) -> float:
    """Returns the mean absolute error of a score output: scores near zero have no direction to compare."""
    levels, expected_levels = _count_levels(got), _count_levels(expected)
    if expected_levels >= MIN_LEVELS and levels < MIN_LEVEL_RATIO * expected_levels:
        raise ValidationError(
            f"output {name!r} keeps {levels} of {expected_levels} score levels: its scores share a quantization scale "
            "with other values; give the scores an output of their own"
        )
    error = float(np.abs(expected - got).mean())
    if error > limits.max_score_error:
        raise ValidationError(
            f"scores of output {name!r} differ from the Keras model's by {error:.3f} on average, more than "
            f"{limits.max_score_error}"
        )
    return error


def _count_levels(scores: NDArray[Any]) -> int:
    """Returns how many different scores there are, rounded to 1/256, the step of a dedicated int8 score."""
    return len(np.unique(np.round(scores * 256)))


def check_size(file_bytes: int, model: keras.Model, limits: Limits | None) -> None:
    """Compares a file's size with that of the model's weights in float32.

    Raises:
        ValidationError: Weights are missing, or were not made smaller.
    """
    weights = 4 * model.count_params()
    ratio = file_bytes / weights
    if limits is None and ratio < MIN_SIZE_RATIO:
        raise ValidationError(
            f"the file has {file_bytes / 1e6:.2f} MB, the model's weights alone {weights / 1e6:.2f} MB: the converter "
            "lost variables"
        )
    if limits is not None and ratio > max(limits.max_size_ratio, limits.max_size_ratio + _OVERHEAD / weights):
        raise ValidationError(
            f"the file is {ratio:.0%} of the size of the float32 weights: the converter left weights unquantized"
        )


def check_same_lesions(expected: Result, got: Result, exact: bool = True) -> None:
    """Compares what a graph with NMS finds with what the runtime finds in the same raw outputs.

    Args:
        expected: The runtime's result.
        got: The graph's result.
        exact: Whether all lesions must match. At coarse precision, ties at a threshold or between two boxes may go
            either way for `MAX_TIES` lesions and a twentieth of all.

    Raises:
        ValidationError: They differ in a lesion.
    """
    lesions = expected.lesions or ()
    tolerance = SCORE_TOLERANCE if exact else SCORE_TOLERANCE + MIN_SCORE

    def is_same(lesion: Lesion, other: Lesion) -> bool:
        distance = max(abs(a - b) for a, b in zip(lesion.box, other.box, strict=True))
        if distance > BOX_TOLERANCE or abs(lesion.score - other.score) > tolerance:
            return False
        if lesion.types is None or other.types is None:
            return lesion.name == other.name
        # Not by the name: between two types that are equally probable, rounding decides.
        return all(abs(a - b) <= tolerance for a, b in zip(lesion.types, other.types, strict=True))

    missing, new = unmatched(lesions, got.lesions or (), is_same)
    if len(missing) + len(new) > (0 if exact else MAX_TIES + len(lesions) // 20):
        example = (missing or new)[0]
        raise ValidationError(
            f"`nms`: of {len(lesions)} lesions that the runtime finds, the graph misses {len(missing)} and adds "
            f"{len(new)}, such as {example.name} at {example.box}",
            parameter="nms",
        )


def unmatched(
    expected: Iterable[Item], got: Iterable[Item], is_same: Callable[[Item, Item], bool]
) -> tuple[list[Item], list[Item]]:
    """Returns the items of `expected` without a match in `got`, and those of `got` left over; each matches once."""
    missing, new = [], list(got)
    for item in expected:
        match = next((index for index, other in enumerate(new) if is_same(item, other)), None)
        if match is None:
            missing.append(item)
        else:
            del new[match]
    return missing, new


def non_finite_layers(model: keras.Model) -> Sequence[str]:
    """Returns the names of the layers with weights that are NaN or infinite."""
    return [
        layer.name for layer in model.layers if not all(np.isfinite(weight).all() for weight in layer.get_weights())
    ]


def _pair_outputs(reference: Outputs, converted: Outputs) -> Iterator[tuple[str, NDArray[Any], NDArray[Any]]]:
    for name, expected in reference.items():
        if name not in converted:
            raise ValidationError(f"output {name!r} is missing; the file has {sorted(converted)}")
        got = converted[name]
        if got.shape != expected.shape:
            raise ValidationError(f"output {name!r} has shape {got.shape} instead of {expected.shape}")
        if not np.isfinite(got).all():
            raise ValidationError(f"output {name!r} is not finite")
        yield name, expected, got
