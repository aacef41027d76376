"""No file is handed over before its answers were compared with those of the model it came from."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import keras
import numpy as np
from ai_edge_litert.interpreter import Interpreter
from numpy.typing import NDArray

from acne_runtime.errors import ModelError

PARITY = 1e-5
"""Largest error of a float32 conversion, relative to the largest value of that output (at least 1)."""
ROUNDINGS = 4
"""How many times its source's own rounding error a float32 conversion may be off, where that is more."""
LEAST_COSINE = 0.98
"""Least cosine between an int8 model's box output and its source's; a broken scale falls far below."""
LARGEST_SCORE_ERROR = 0.05
"""Largest mean difference between an int8 model's scores and its source's; int8 itself costs about 0.001."""
LARGEST_INT8_SHARE = 0.35
"""Largest size of an int8 file, as a share of the float32 file."""


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

    given = keras.Input(model.input.shape[1:], dtype="float64", name=model.input.name)
    exact = keras.models.clone_model(model, input_tensors=given, clone_function=in_float64)
    for layer in (one for one in model.layers if one.weights):
        exact.get_layer(layer.name).set_weights(layer.get_weights())
    answer = exact(image.astype(np.float64), training=False)
    return {name: float(np.abs(output - np.asarray(answer[name])).max()) for name, output in source.items()}


def prove_float32(
    source: Mapping[str, NDArray[Any]], converted: Mapping[str, NDArray[Any]], rounding: Mapping[str, float]
) -> dict[str, float]:
    """Compares a float32 conversion with its source.

    Args:
        source: The source's answer.
        converted: The conversion's.
        rounding: `rounding_errors` of the source.

    Returns:
        `max_error`: the largest difference, relative to the largest value of that output (at least 1).

    Raises:
        ProofError: An output is missing, has another shape, is not finite, or differs by more than `PARITY`
            and by more than `ROUNDINGS` times its source's own rounding error.
    """
    worst = 0.0
    for name, expected, got in _pairs(source, converted):
        largest = max(1.0, float(np.abs(expected).max()))
        error = float(np.abs(expected - got).max()) / largest
        allowed = max(PARITY, ROUNDINGS * rounding[name] / largest)
        if error > allowed:
            raise ProofError(f"output {name!r} differs from the Keras model by {error:.2g}, more than {allowed:.2g}")
        worst = max(worst, error)
    return {"max_error": worst}


def prove_int8(
    source: Mapping[str, NDArray[Any]], converted: Mapping[str, NDArray[Any]], file: Path, float32_bytes: int
) -> dict[str, float]:
    """Compares an int8 conversion with its source, and looks at what the converter made of it.

    Returns:
        `mean_score_error` (absolute), and for detectors `min_box_cosine`, each over the outputs of its kind.

    Raises:
        ProofError: As for float32, or a float operation is left, or the file is too large to be int8.
    """
    for name in _float_tensors(file):
        raise ProofError(f"tensor {name!r} is still float32: the converter left an operation unquantized")
    share = file.stat().st_size / float32_bytes
    if share > LARGEST_INT8_SHARE:
        raise ProofError(f"the file has {share:.0%} of the float32 size; int8 weights take about a quarter")
    cosines: list[float] = []
    errors: list[float] = []
    for name, expected, got in _pairs(source, converted):
        if not name.startswith("box"):  # scores near zero have no direction to compare
            errors.append(float(np.abs(expected - got).mean()))
            continue
        cosines.append(float((expected * got).sum() / max(1e-12, np.linalg.norm(expected) * np.linalg.norm(got))))
        if cosines[-1] < LEAST_COSINE:
            raise ProofError(f"output {name!r} has lost its source's shape: cosine {cosines[-1]:.3f} < {LEAST_COSINE}")
    if max(errors) > LARGEST_SCORE_ERROR:
        raise ProofError(f"scores differ by {max(errors):.3f} on average, more than {LARGEST_SCORE_ERROR}")
    return {"mean_score_error": max(errors)} | ({"min_box_cosine": min(cosines)} if cosines else {})


def _pairs(source: Mapping[str, NDArray[Any]], converted: Mapping[str, NDArray[Any]]) -> Any:
    for name, expected in source.items():
        if name not in converted:
            raise ProofError(f"output {name!r} is missing; the file has {sorted(converted)}")
        got = converted[name]
        if got.shape != expected.shape:
            raise ProofError(f"output {name!r} has shape {got.shape} instead of {expected.shape}")
        if not np.isfinite(got).all():
            raise ProofError(f"output {name!r} is not finite")
        yield name, expected, got


def _float_tensors(file: Path) -> list[str]:
    """Returns the float32 tensors of a TFLite file, its outputs excepted."""
    interpreter = Interpreter(model_path=str(file), experimental_preserve_all_tensors=False)
    outputs = {detail["index"] for detail in interpreter.get_output_details()}
    return [
        detail["name"]
        for detail in interpreter.get_tensor_details()
        if detail["dtype"] is np.float32 and detail["index"] not in outputs
    ]
