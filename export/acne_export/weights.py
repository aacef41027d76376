"""Weights from one Keras model to another of the same layers."""

from __future__ import annotations

import keras


def copy_weights(source: keras.Model, target: keras.Model) -> None:
    """Copies the weights of every layer by its name: two graphs need not order their layers alike.

    Raises:
        ValueError: A layer of the target has other shapes.
    """
    for layer in (one for one in source.layers if one.weights):
        target.get_layer(layer.name).set_weights(layer.get_weights())
