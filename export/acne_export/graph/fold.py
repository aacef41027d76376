"""Makes a trained Keras graph as plain as inference needs it, without changing its answers."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import keras
import numpy as np
from keras import layers
from numpy.typing import NDArray

from acne_export.graph.affine import affine
from acne_export.graph.connections import neighbours

Finish = Callable[[keras.Model], keras.Model]
"""Adds to a graph what is converted with it but takes no part in quantization."""


def unchanged(model: keras.Model) -> keras.Model:
    """Returns the model: a `Finish` that adds nothing."""
    return model


_CONVOLUTIONS = (layers.Conv2D, layers.DepthwiseConv2D)


def simplify(model: keras.Model) -> keras.Model:
    """Returns a model with the same answers and less work.

    - Batch normalisation moves into the convolution before it, depthwise or not; where there is none, it becomes a 1x1
      depthwise convolution, one operation instead of a multiplication and an addition.
    - A ReLU, or one that ends at 6, becomes the activation of the convolution before it: int8 then spends no levels on
      what it cuts off.
    - Normalisation by fixed means and variances becomes such a convolution too.
    - The input's scaling by 1/255 moves into the first convolution (padding with zeros stays padding with zeros).
    - Two operations that repeat rows and columns become one that enlarges (nearest neighbour).
    - Dropout goes.

    An operation that takes over another's output takes over its name, so that activation ranges recorded on the
    trained model still fit.

    Args:
        model: A functional model in which each layer is called once, as loaded from a file.
    """
    producer, consumers = neighbours(model)
    answers = {id(tensor) for tensor in keras.tree.flatten(model.output)}
    input_scale: dict[str, float] = {}
    dropped: set[str] = set()
    enlarged: set[str] = set()
    norms: dict[str, layers.BatchNormalization] = {}
    for op in model.operations:
        if isinstance(op, layers.Dropout):
            dropped.add(op.name)
        elif _doubles(op, axis=1) and len(consumers[op.name]) == 1 and _doubles(consumers[op.name][0], axis=2):
            dropped.add(op.name)
            enlarged.add(consumers[op.name][0].name)
        elif isinstance(op, layers.Rescaling) and np.isscalar(op.scale) and np.isscalar(op.offset) and op.offset == 0:
            first = list(_convolutions_after(op, consumers))
            if all(isinstance(one, layers.Conv2D) for one in first):
                dropped.add(op.name)
                input_scale |= {one.name: op.scale for one in first}
        elif isinstance(op, layers.BatchNormalization):
            before = producer[id(op.input)]
            if _is_plain_convolution(before) and len(consumers[before.name]) == 1 and id(op.input) not in answers:
                dropped.add(op.name)
                norms[before.name] = op
    relus = _relus_to_fuse(model, {norm.name: name for name, norm in norms.items()})
    dropped |= {relu.name for relu in relus.values()}

    made: list[tuple[layers.Layer, list[NDArray[np.float32]]]] = []

    def replace(layer: layers.Layer) -> layers.Layer:
        if isinstance(layer, _CONVOLUTIONS) and any(layer.name in some for some in (norms, relus, input_scale)):
            norm, relu = norms.get(layer.name), relus.get(layer.name)
            last = relu or norm or layer
            changes = {"use_bias": True, "name": last.name} | ({} if relu is None else {"activation": _relu_of(relu)})
            new = type(layer).from_config({**layer.get_config(), **changes})
            made.append((new, _folded(layer, norm, input_scale.get(layer.name, 1.0))))
            return new
        if isinstance(layer, layers.BatchNormalization) and layer.name not in dropped and len(layer.output.shape) == 4:
            gain, offset = affine(layer)
            new = layers.DepthwiseConv2D(1, name=layer.name)
            made.append((new, [gain.reshape(1, 1, -1, 1), offset]))
            return new
        if isinstance(layer, layers.Normalization) and not layer.invert and len(layer.output.shape) == 4:
            gain = 1 / np.maximum(np.sqrt(np.asarray(layer.variance).ravel()), keras.backend.epsilon())
            gain = np.broadcast_to(gain, layer.output.shape[-1])
            new = layers.DepthwiseConv2D(1, name=layer.name)
            made.append((new, [gain.reshape(1, 1, -1, 1), -gain * np.asarray(layer.mean).ravel()]))
            return new
        return layer

    def call(layer: Any, *args: Any, **kwargs: Any) -> Any:
        # A replaced convolution bears its norm's name: what is dropped is known by name and kind.
        if layer.name in dropped and not isinstance(layer, _CONVOLUTIONS):
            return args[0]
        if layer.name in enlarged:
            _, height, width, _ = args[0].shape
            # UpSampling2D would repeat again; this is one operation wherever it goes.
            return layers.Resizing(2 * height, 2 * width, interpolation="nearest", name=layer.name)(args[0])
        if any(layer is new for new, _ in made):  # it need not know the flags of what it replaces
            return layer(args[0])
        return layer(*args, **kwargs)

    simple = keras.models.clone_model(model, clone_function=replace, call_function=call)
    for layer, weights in made:
        layer.set_weights(weights)
    return simple


def _relus_to_fuse(model: keras.Model, folded_into: dict[str, str]) -> dict[str, layers.ReLU]:
    """Returns by a convolution's name the ReLU that alone takes what it gives.

    Args:
        model: The model.
        folded_into: From a norm's name to that of the convolution it moves into.
    """
    producer, consumers = neighbours(model)
    answers = {id(tensor) for tensor in keras.tree.flatten(model.output)}
    found = {}
    for op in model.operations:
        if not isinstance(op, layers.ReLU) or _relu_of(op) is None:
            continue
        before = producer[id(op.input)]
        alone = len(consumers[before.name]) == 1 and id(op.input) not in answers
        if alone and (before.name in folded_into or _is_plain_convolution(before)):
            found[folded_into.get(before.name, before.name)] = op
    return found


def _convolutions_after(op: Any, consumers: dict[str, list[Any]]) -> Iterable[Any]:
    for one in consumers[op.name]:
        if isinstance(one, layers.ZeroPadding2D):
            yield from _convolutions_after(one, consumers)
        else:
            yield one


def _is_plain_convolution(op: Any) -> bool:
    return type(op) in _CONVOLUTIONS and op.activation is keras.activations.linear


def _relu_of(layer: layers.ReLU) -> str | None:
    """Returns Keras' name of the activation that a layer is, `None` where it has no name."""
    if layer.negative_slope or layer.threshold:
        return None
    return {None: "relu", 6.0: "relu6"}.get(layer.max_value)


def _doubles(op: Any, axis: int) -> bool:
    return type(op).__name__ == "Repeat" and (op.repeats, op.axis) == (2, axis)


def _folded(
    convolution: layers.Conv2D | layers.DepthwiseConv2D, norm: layers.BatchNormalization | None, input_scale: float
) -> list[NDArray[np.float32]]:
    kernel, *bias = convolution.get_weights()
    kernel = kernel * np.float32(input_scale)
    # Of a depthwise kernel the last two axes together are the output's channels.
    outputs = kernel.shape[2:] if isinstance(convolution, layers.DepthwiseConv2D) else kernel.shape[-1:]
    offset = bias[0] if bias else np.zeros(int(np.prod(outputs)), np.float32)
    if norm is None:
        return [kernel, offset]
    gain, shift = affine(norm)
    return [kernel * gain.reshape(outputs), offset * gain + shift]
