"""What int8 needs to know of the photographs: the range of every activation, and not one pixel."""

from __future__ import annotations

from collections.abc import Iterable

import keras
import numpy as np
import tensorflow as tf
from numpy.typing import NDArray


def activation_ranges(
    model: keras.Model, images: Iterable[NDArray[np.uint8 | np.float32]]
) -> dict[str, tuple[float, float]]:
    """Records the least and greatest value at the output of every operation of a Keras graph.

    Args:
        model: The inference form, each of its layers called once, as loaded from a file.
        images: Input tensors `[1, height, width, 3]` uint8 RGB.

    Returns:
        By the operation's name.
    """
    operations = [
        op
        for op in model.operations
        if not isinstance(op, keras.layers.InputLayer) and isinstance(op.output, keras.KerasTensor)
    ]
    probe = keras.Model(model.input, [op.output for op in operations])

    @tf.function  # type: ignore[untyped-decorator]
    def extremes(image: tf.Tensor) -> tf.Tensor:
        outputs = probe(tf.cast(image, tf.float32), training=False)
        return tf.stack([[tf.reduce_min(output), tf.reduce_max(output)] for output in outputs])

    seen = np.array([extremes(image).numpy() for image in images])
    return {
        op.name: (float(low), float(high))
        for op, low, high in zip(operations, seen[:, :, 0].min(axis=0), seen[:, :, 1].max(axis=0), strict=True)
    }
