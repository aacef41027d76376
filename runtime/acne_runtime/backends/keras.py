"""A Keras model as a backend: training and conversion are scored by the code that runs on the device.

No device needs this module; it alone of the runtime imports Keras and TensorFlow.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from numpy.typing import NDArray


class KerasBackend:
    """A Keras model with one input and named outputs, seen as `acne_runtime.backends.base.Backend`."""

    name = "keras"

    def __init__(self, model: keras.Model):
        self.device = "keras"
        self._call = tf.function(lambda image: model(image, training=False))

    def run(self, tensor: NDArray[np.uint8]) -> Mapping[str, NDArray[np.float32]]:
        """Computes all outputs of `[1, height, width, 3]` uint8, float32, by name."""
        outputs = self._call(tf.cast(tensor, tf.float32))
        return {name: output.numpy() for name, output in outputs.items()}


def activation_ranges(model: keras.Model, inputs: Iterable[NDArray[Any]]) -> dict[str, tuple[float, float]]:
    """Records the range of every activation: what int8 needs to know of the images, and not one pixel.

    Args:
        model: A functional model.
        inputs: Tensors `[1, height, width, 3]`, uint8 or float32 RGB.

    Returns:
        The minimum and maximum at the output of every operation, by the operation's name.
    """
    activations: dict[str, Any] = {}

    def call(operation: Any, *args: Any, **kwargs: Any) -> Any:
        output = operation(*args, **kwargs)
        if isinstance(output, keras.KerasTensor):
            activations[operation.name] = output
        return output

    # Called again: a layer that a rewritten graph shares with its source has outputs in both.
    copy = keras.models.clone_model(model, clone_function=lambda layer: layer, call_function=call)
    probe = keras.Model(copy.input, list(activations.values()))

    @tf.function  # type: ignore[untyped-decorator]
    def extremes(image: tf.Tensor) -> tf.Tensor:
        outputs = probe(tf.cast(image, tf.float32), training=False)
        return tf.stack([[tf.reduce_min(output), tf.reduce_max(output)] for output in outputs])

    seen = np.array([extremes(image).numpy() for image in inputs])
    minima, maxima = seen[:, :, 0].min(axis=0), seen[:, :, 1].max(axis=0)
    return {name: (float(low), float(high)) for name, low, high in zip(activations, minima, maxima, strict=True)}


def copy_weights(source: keras.Model, target: keras.Model) -> None:
    """Copies the weights of every layer by its name: two graphs need not order their layers alike.

    Raises:
        ValueError: A layer of the target has other shapes.
    """
    for layer in source.layers:
        if layer.weights:
            target.get_layer(layer.name).set_weights(layer.get_weights())
