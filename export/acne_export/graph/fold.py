"""Simplifies a trained Keras graph for inference without changing its outputs."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import keras
import numpy as np
from keras import layers
from numpy.typing import NDArray

from acne_export.graph.connections import Connections, producers_and_consumers

Finish = Callable[[keras.Model], keras.Model]
"""Adds to a graph what is converted with it but takes no part in quantization."""


def unchanged(model: keras.Model) -> keras.Model:
    """Returns the model: a `Finish` that adds nothing."""
    return model


_CONVOLUTIONS = (layers.Conv2D, layers.DepthwiseConv2D)


@dataclass(slots=True)
class _Fold:
    """What moves into one convolution.

    Attributes:
        convolution: The trained layer.
        input_scale: The factor of its input.
        norm: The batch normalisation behind it.
        relu: The ReLU behind both.
    """

    convolution: layers.Conv2D | layers.DepthwiseConv2D
    input_scale: float = 1.0
    norm: layers.BatchNormalization | None = None
    relu: layers.ReLU | None = None

    def layer(self) -> layers.Layer:
        """Returns the new layer under the name of the last operation it replaces, whose activation range it has."""
        last = self.relu or self.norm or self.convolution
        changes = {"use_bias": True, "name": last.name}
        if self.relu is not None:
            changes["activation"] = _activation_of(self.relu)
        return type(self.convolution).from_config({**self.convolution.get_config(), **changes})

    def weights(self) -> list[NDArray[np.float32]]:
        """Returns the new layer's kernel and bias."""
        kernel, *bias = self.convolution.get_weights()
        kernel = kernel * np.float32(self.input_scale)
        # The output channels of a depthwise kernel are its last two axes together.
        depthwise = isinstance(self.convolution, layers.DepthwiseConv2D)
        channels = kernel.shape[2:] if depthwise else kernel.shape[-1:]
        offset = bias[0] if bias else np.zeros(int(np.prod(channels)), np.float32)
        if self.norm is None:
            return [kernel, offset]
        scale, shift = batch_norm_scale_and_shift(self.norm)
        return [kernel * scale.reshape(channels), offset * scale + shift]


@dataclass(slots=True)
class Rewrite:
    """What the passes decide on; `simplify` applies it in one go.

    Attributes:
        dropped: Names of operations whose input becomes their output.
        folds: What moves into a convolution, by the convolution's name.
        replaced: The new layer and its weights, by the name of the operation it replaces.
    """

    dropped: set[str] = field(default_factory=set)
    folds: dict[str, _Fold] = field(default_factory=dict)
    replaced: dict[str, tuple[layers.Layer, list[NDArray[np.float32]]]] = field(default_factory=dict)

    def fold_into(self, convolution: layers.Layer) -> _Fold:
        """Returns the fold of a convolution, a new one if there is none yet."""
        return self.folds.setdefault(convolution.name, _Fold(convolution))


Pass = Callable[[Connections, Rewrite], None]
"""Looks for one pattern in the trained graph and writes down what becomes of it."""


def fold_rescaling(graph: Connections, rewrite: Rewrite) -> None:
    """Moves the scaling of the input into the first convolutions; zero padding between the two stays zero."""
    for op in graph.operations:
        if not isinstance(op, layers.Rescaling) or any(not np.isscalar(value) for value in (op.scale, op.offset)):
            continue
        first = list(_convolutions_after(op, graph))
        if op.offset == 0 and first and all(isinstance(layer, layers.Conv2D) for layer in first):
            rewrite.dropped.add(op.name)
            for layer in first:
                rewrite.fold_into(layer).input_scale = op.scale


def fold_batch_norm(graph: Connections, rewrite: Rewrite) -> None:
    """Moves batch normalisation into the convolution before it, depthwise or not."""
    for op in graph.operations:
        if not isinstance(op, layers.BatchNormalization):
            continue
        convolution = graph.producer(op)
        if _is_plain_convolution(convolution) and graph.only_consumer(convolution) is op:
            rewrite.dropped.add(op.name)
            rewrite.fold_into(convolution).norm = op


def fuse_relu(graph: Connections, rewrite: Rewrite) -> None:
    """Makes a ReLU or ReLU6 the activation of the convolution before it: int8 spends no levels on what it cuts off.

    Comes after `fold_batch_norm`: a folded norm may stand between the two.
    """
    folded = {fold.norm.name: fold.convolution for fold in rewrite.folds.values() if fold.norm is not None}
    for op in graph.operations:
        if not isinstance(op, layers.ReLU) or _activation_of(op) is None:
            continue
        before = graph.producer(op)
        if graph.only_consumer(before) is op and (before.name in folded or _is_plain_convolution(before)):
            rewrite.dropped.add(op.name)
            rewrite.fold_into(folded.get(before.name, before)).relu = op


def norm_to_depthwise(graph: Connections, rewrite: Rewrite) -> None:
    """Turns each batch norm that no convolution takes into a 1x1 depthwise one: one operation instead of two."""
    for op in graph.operations:
        if isinstance(op, layers.BatchNormalization) and op.name not in rewrite.dropped and len(op.output.shape) == 4:
            scale, shift = batch_norm_scale_and_shift(op)
            new = layers.DepthwiseConv2D(1, name=op.name)
            rewrite.replaced[op.name] = new, [scale.reshape(1, 1, -1, 1), shift]


def normalization_to_depthwise(graph: Connections, rewrite: Rewrite) -> None:
    """Turns normalisation by fixed means and variances into a 1x1 depthwise convolution."""
    for op in graph.operations:
        if isinstance(op, layers.Normalization) and not op.invert and len(op.output.shape) == 4:
            scale = 1 / np.maximum(np.sqrt(np.asarray(op.variance).ravel()), keras.backend.epsilon())
            scale = np.broadcast_to(scale, op.output.shape[-1])
            new = layers.DepthwiseConv2D(1, name=op.name)
            rewrite.replaced[op.name] = new, [scale.reshape(1, 1, -1, 1), -scale * np.asarray(op.mean).ravel()]


def fuse_upsampling(graph: Connections, rewrite: Rewrite) -> None:
    """Fuses the repetition of rows and that of columns into one nearest-neighbour resize."""
    for op in graph.operations:
        after = graph.only_consumer(op) if _doubles(op, axis=1) else None
        if after is not None and _doubles(after, axis=2):
            rewrite.dropped.add(op.name)
            height, width = after.output.shape[1:3]
            # UpSampling2D would repeat again; Resizing is one operation in both formats.
            rewrite.replaced[after.name] = (
                layers.Resizing(height, width, interpolation="nearest", name=after.name),
                [],
            )


def drop_dropout(graph: Connections, rewrite: Rewrite) -> None:
    """Drops dropout, which does nothing at inference."""
    rewrite.dropped |= {op.name for op in graph.operations if isinstance(op, layers.Dropout)}


PASSES: tuple[Pass, ...] = (
    fold_rescaling,
    fold_batch_norm,
    fuse_relu,
    norm_to_depthwise,
    normalization_to_depthwise,
    fuse_upsampling,
    drop_dropout,
)


def simplify(model: keras.Model, passes: Sequence[Pass] = PASSES) -> keras.Model:
    """Returns a model with the same outputs and less work.

    An operation that replaces others has the name of the last of them, so that activation ranges recorded on the
    trained model still fit. Layers that stay are shared with the given model.

    Args:
        model: A functional model in which each layer is called once, as loaded from a file.
        passes: What to do, in this order.
    """
    graph, rewrite = producers_and_consumers(model), Rewrite()
    for run in passes:
        run(graph, rewrite)
    new = rewrite.replaced | {name: (fold.layer(), fold.weights()) for name, fold in rewrite.folds.items()}

    def call(op: Any, *args: Any, **kwargs: Any) -> Any:
        if op.name in rewrite.dropped:
            return args[0]
        if op.name in new:  # it need not know the flags of what it replaces
            return new[op.name][0](args[0])
        return op(*args, **kwargs)

    simple = keras.models.clone_model(model, clone_function=lambda op: op, call_function=call)
    for layer, weights in new.values():
        layer.set_weights(weights)
    return simple


def batch_norm_scale_and_shift(norm: layers.BatchNormalization) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Returns a batch normalisation at inference as scale and shift, `[channels]` each (float64 arithmetic)."""
    mean, variance = np.asarray(norm.moving_mean, np.float64), np.asarray(norm.moving_variance, np.float64)
    gamma = np.asarray(norm.gamma, np.float64) if norm.scale else np.ones_like(mean)
    beta = np.asarray(norm.beta, np.float64) if norm.center else np.zeros_like(mean)
    scale = gamma / np.sqrt(variance + norm.epsilon)
    return scale.astype(np.float32), (beta - mean * scale).astype(np.float32)


def _convolutions_after(op: Any, graph: Connections) -> Iterator[Any]:
    """Yields what takes an operation's output, seen through zero padding."""
    for consumer in graph.consumers[op.name]:
        if isinstance(consumer, layers.ZeroPadding2D):
            yield from _convolutions_after(consumer, graph)
        else:
            yield consumer


def _is_plain_convolution(op: Any) -> bool:
    return type(op) in _CONVOLUTIONS and op.activation is keras.activations.linear


def _activation_of(layer: layers.ReLU) -> str | None:
    """Returns Keras' name of the activation that a ReLU layer computes, `None` where it has no name."""
    if layer.negative_slope or layer.threshold:
        return None
    return {None: "relu", 6.0: "relu6"}.get(layer.max_value)


def _doubles(op: Any, axis: int) -> bool:
    return type(op).__name__ == "Repeat" and (op.repeats, op.axis) == (2, axis)
