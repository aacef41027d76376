"""Moves batch normalisation behind a ReLU into the layers around it, without changing the model's outputs.

Behind a ReLU a norm cannot simply move back into the convolution. But a ReLU and a maximum commute with a positive
factor: the magnitude of the scale moves back, its sign and the shift move forward. The convolution's channels then have
similar ranges, as int8 needs them (Nagel et al. 2019, cross-layer equalization), and an operation goes.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
from keras import layers
from numpy.typing import NDArray

from acne_export.graph.connections import producers_and_consumers
from acne_export.graph.fold import batch_norm_scale_and_shift
from acne_export.run_folder import Ranges

_KEEPS_VALUES = (layers.Dropout, layers.Flatten)


@dataclass(frozen=True, slots=True)
class _Candidate:
    """A batch norm that can be folded.

    Attributes:
        norm: The layer.
        before: The convolution with a ReLU before it.
        between: Operations from the convolution to the norm, and from there to `after`; all only select values.
        after: The one layer that takes the norm's output.
    """

    norm: layers.BatchNormalization
    before: layers.Conv2D
    between: tuple[layers.Layer, ...]
    after: layers.Layer


def fold_batch_norm_forward(model: keras.Model, ranges: Ranges) -> tuple[keras.Model, Ranges]:
    """Returns the model without its foldable batch norms (itself if there are none), and the ranges of its operations.

    Args:
        model: A functional model in which each layer is called once.
        ranges: Of its operations; may be empty.
    """
    candidates = list(_candidates(model))
    if not candidates:
        return model, ranges
    weights: dict[str, list[NDArray[np.float64]]] = {}
    for layer in {
        layer.name: layer for candidate in candidates for layer in (candidate.before, candidate.after)
    }.values():
        trained = [np.asarray(values, np.float64) for values in layer.get_weights()]
        weights[layer.name] = trained if layer.use_bias else [*trained, np.zeros(trained[0].shape[-1])]
    ranges = dict(ranges)
    for candidate in candidates:
        scale, shift = batch_norm_scale_and_shift(candidate.norm)
        kernel, bias = weights[candidate.before.name]
        weights[candidate.before.name] = [kernel * np.abs(scale), bias * np.abs(scale)]
        kernel, bias = weights[candidate.after.name]
        channels = kernel.reshape(-1, len(scale), kernel.shape[-1])  # of a Dense layer too: Flatten puts them last
        bias = bias + np.einsum("pio,i->o", channels, shift)
        weights[candidate.after.name] = [(channels * np.sign(scale)[:, None]).reshape(kernel.shape), bias]
        if candidate.norm.name in ranges and candidate.before.name in ranges:
            reach = _reach(scale, shift, ranges[candidate.before.name], ranges[candidate.norm.name])
            ranges |= {layer.name: (0.0, reach) for layer in (candidate.before, *candidate.between)}
    dropped = {candidate.norm.name for candidate in candidates}

    def replace(layer: layers.Layer) -> layers.Layer:
        return type(layer).from_config(layer.get_config() | ({"use_bias": True} if layer.name in weights else {}))

    def call(layer: Any, *args: Any, **kwargs: Any) -> Any:
        return args[0] if layer.name in dropped else layer(*args, **kwargs)

    moved = keras.models.clone_model(model, clone_function=replace, call_function=call)
    for layer in moved.layers:
        layer.set_weights(weights.get(layer.name) or model.get_layer(layer.name).get_weights())
    return moved, ranges


def _candidates(model: keras.Model) -> Iterator[_Candidate]:
    graph = producers_and_consumers(model)
    for norm in graph.operations:
        if not isinstance(norm, layers.BatchNormalization):
            continue
        between, before = [], graph.producer(norm)
        while isinstance(before, layers.MaxPooling2D):
            between.append(before)
            before = graph.producer(before)
        # The sign moves forward; a maximum of negated values would be a minimum.
        selects = (*_KEEPS_VALUES, *([layers.MaxPooling2D] if batch_norm_scale_and_shift(norm)[0].min() >= 0 else []))
        after = graph.only_consumer(norm)
        while isinstance(after, selects):
            between.append(after)
            after = graph.only_consumer(after)
        alone = all(graph.only_consumer(op) is not None for op in (before, *between))
        if alone and _has_relu(before) and _accepts_shift(after):
            yield _Candidate(norm, before, tuple(between), after)


def _has_relu(op: Any) -> bool:
    return type(op) is layers.Conv2D and op.activation is keras.activations.relu


def _accepts_shift(op: Any) -> bool:
    """Returns whether a shift before the layer equals one behind it: zero padding would not be shifted."""
    return type(op) is layers.Dense or (type(op) is layers.Conv2D and op.padding == "valid" and op.groups == 1)


def _reach(
    scale: NDArray[np.float32], shift: NDArray[np.float32], before: tuple[float, float], behind: tuple[float, float]
) -> float:
    """Returns the largest value of the ReLU times the scale's magnitude: it was recorded on both sides of the norm."""
    by_norm = np.where(scale > 0, behind[1] - shift, shift - behind[0])
    return float(np.minimum(by_norm, before[1] * np.abs(scale)).max())
