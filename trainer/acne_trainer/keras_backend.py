"""Runs a Keras model as a backend of the runtime, so that training is scored by the device's own code."""

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
        self.passed_over: Mapping[str, str] = {}
        self._call = tf.function(lambda image: model(image, training=False))

    def run(self, tensor: NDArray[np.uint8]) -> Mapping[str, NDArray[np.float32]]:
        """Computes all outputs of `[1, height, width, 3]` uint8, float32, by name."""
        outputs = self._call(tf.cast(tensor, tf.float32))
        return {name: output.numpy() for name, output in outputs.items()}
