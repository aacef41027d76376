"""A Keras model as a backend: training and conversion are scored by the code that runs on the device.

No device needs this module; it alone of the runtime imports Keras and TensorFlow.
"""

from __future__ import annotations

from collections.abc import Mapping

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


def copy_weights(source: keras.Model, target: keras.Model) -> None:
    """Copies the weights of every layer by its name: two graphs need not order their layers alike.

    Raises:
        ValueError: A layer of the target has other shapes.
    """
    for layer in source.layers:
        if layer.weights:
            target.get_layer(layer.name).set_weights(layer.get_weights())
