"""Inserts activation ranges into the graph, so that converters quantize without calibration images."""

from __future__ import annotations

from typing import Any

import keras
import tensorflow as tf

from acne_export.run_folder import Ranges
from acne_runtime.errors import ModelError

_SHAPE_ONLY = (
    keras.layers.InputLayer,
    keras.layers.ZeroPadding2D,
    keras.layers.MaxPooling2D,
    keras.layers.Flatten,
    keras.layers.Reshape,
)
"""Operations that only move or select values: their output has the range of their input."""


class FakeQuant(keras.layers.Layer):  # type: ignore[misc]
    """Rounds to the 256 levels that int8 has between `low` and `high`; the converter reads the two from it."""

    def __init__(self, low: float, high: float, **kwargs: Any):
        super().__init__(**kwargs)
        self.low, self.high = low, high

    def call(self, tensor: tf.Tensor) -> tf.Tensor:
        """Returns the tensor, rounded."""
        return tf.quantization.fake_quant_with_min_max_args(tensor, self.low, self.high)


def needs_range(op: Any) -> bool:
    """Returns whether an operation computes new values whose range is not known from what it is, as a sigmoid's is."""
    is_sigmoid = isinstance(op, keras.layers.Activation) and op.activation is keras.activations.sigmoid
    return not isinstance(op, _SHAPE_ONLY) and not is_sigmoid


def insert_fake_quant(model: keras.Model, ranges: Ranges) -> keras.Model:
    """Returns the model with a `FakeQuant` behind its input and every computed activation.

    Sigmoids are left alone: int8 fixes their output to 1/256 steps.

    Args:
        model: A simplified model.
        ranges: The range of at least every operation that computes new values.

    Raises:
        ModelError: An operation has no range, so that the file would not become fully int8.
    """

    def call(op: Any, *args: Any, **kwargs: Any) -> Any:
        output = op(*args, **kwargs)
        if not isinstance(output, keras.KerasTensor) or not needs_range(op):
            return output
        if op.name not in ranges:
            raise ModelError(f"calibration.json has no range for {op.name!r}: it belongs to another model")
        low, high = ranges[op.name]
        if low == high == 0:  # units that never fired: any range of non-zero width will do
            high = 1.0
        return FakeQuant(min(low, 0.0), max(high, 0.0), name=f"{op.name}_range")(output)

    bound = keras.models.clone_model(model, clone_function=lambda layer: layer, call_function=call)
    image = keras.Input(batch_shape=model.inputs[0].shape, name=model.inputs[0].name)
    return keras.Model(image, bound(FakeQuant(0.0, 255.0, name="image_range")(image)), name=f"{model.name}_bounded")
