"""Moves batch normalisation that stands behind a ReLU into the layers around it, without changing the model's answers.

Behind a ReLU a norm cannot simply move back into the convolution. But a ReLU and a maximum pass a positive factor on:
the size of the gain moves back, its sign and the offset ahead. The convolution's channels then come in like sizes, as
int8 needs them (Nagel et al. 2019, cross-layer equalization), and an operation goes.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
from keras import layers
from numpy.typing import NDArray

from acne_export.graph.affine import affine
from acne_export.graph.connections import neighbours
from acne_export.run_folder import Ranges

_CHANGES_NO_VALUE = (layers.Dropout, layers.Flatten)


@dataclass(frozen=True, slots=True)
class _Place:
    """A norm that can go.

    Attributes:
        norm: It.
        before: The convolution with a ReLU.
        between: Operations from the convolution to the norm, and from there to `after`; all only select values.
        after: The one layer that takes what the norm gives.
    """

    norm: layers.BatchNormalization
    before: layers.Conv2D
    between: tuple[layers.Layer, ...]
    after: layers.Layer


def norms_moved(model: keras.Model, ranges: Ranges) -> tuple[keras.Model, Ranges]:
    """Returns the model without the norms that can go (itself where none can), and the ranges of its operations.

    Args:
        model: A functional model in which each layer is called once.
        ranges: Of its operations; may be empty.
    """
    places = list(_places(model))
    if not places:
        return model, ranges
    weights: dict[str, list[NDArray[np.float64]]] = {}
    for layer in {one.name: one for place in places for one in (place.before, place.after)}.values():
        given = [np.asarray(one, np.float64) for one in layer.get_weights()]
        weights[layer.name] = given if layer.use_bias else [*given, np.zeros(given[0].shape[-1])]
    ranges = dict(ranges)
    for place in places:
        gain, offset = affine(place.norm)
        kernel, bias = weights[place.before.name]
        weights[place.before.name] = [kernel * np.abs(gain), bias * np.abs(gain)]
        kernel, bias = weights[place.after.name]
        channels = kernel.reshape(-1, len(gain), kernel.shape[-1])  # of a Dense layer too: Flatten puts them last
        bias = bias + np.einsum("pio,i->o", channels, offset)
        weights[place.after.name] = [(channels * np.sign(gain)[:, None]).reshape(kernel.shape), bias]
        if place.norm.name in ranges and place.before.name in ranges:
            reach = _reach(gain, offset, ranges[place.before.name], ranges[place.norm.name])
            ranges |= {one.name: (0.0, reach) for one in (place.before, *place.between)}
    dropped = {place.norm.name for place in places}

    def replace(layer: layers.Layer) -> layers.Layer:
        return type(layer).from_config(layer.get_config() | ({"use_bias": True} if layer.name in weights else {}))

    def call(layer: Any, *args: Any, **kwargs: Any) -> Any:
        return args[0] if layer.name in dropped else layer(*args, **kwargs)

    moved = keras.models.clone_model(model, clone_function=replace, call_function=call)
    for layer in moved.layers:
        layer.set_weights(weights.get(layer.name) or model.get_layer(layer.name).get_weights())
    return moved, ranges


def _places(model: keras.Model) -> Iterator[_Place]:
    producer, users = neighbours(model)
    answers = {id(tensor) for tensor in keras.tree.flatten(model.output)}

    def only_user(op: Any) -> Any:
        return users[op.name][0] if len(users[op.name]) == 1 and id(op.output) not in answers else None

    for norm in model.operations:
        if not isinstance(norm, layers.BatchNormalization):
            continue
        between, before = [], producer[id(norm.input)]
        while isinstance(before, layers.MaxPooling2D):
            between.append(before)
            before = producer[id(before.input)]
        # The sign moves ahead, where a maximum would take the wrong end of turned values.
        selects = (*_CHANGES_NO_VALUE, *([layers.MaxPooling2D] if affine(norm)[0].min() >= 0 else []))
        after = only_user(norm)
        while isinstance(after, selects):
            between.append(after)
            after = only_user(after)
        alone = all(only_user(one) is not None for one in (before, *between))
        if alone and _has_relu(before) and _takes_offsets(after):
            yield _Place(norm, before, tuple(between), after)


def _has_relu(op: Any) -> bool:
    return type(op) is layers.Conv2D and op.activation is keras.activations.relu


def _takes_offsets(op: Any) -> bool:
    """Says whether an offset before the layer is one behind it: padding with zeros would not have it."""
    return type(op) is layers.Dense or (type(op) is layers.Conv2D and op.padding == "valid" and op.groups == 1)


def _reach(
    gain: NDArray[np.float32], offset: NDArray[np.float32], before: tuple[float, float], behind: tuple[float, float]
) -> float:
    """Returns the greatest value of the ReLU times the gain's size: it was seen on both sides of the norm."""
    by_norm = np.where(gain > 0, behind[1] - offset, offset - behind[0])
    return float(np.minimum(by_norm, before[1] * np.abs(gain)).max())
