"""A Keras model as a backend, so that training is scored by the device's code; and its activations, measured for int8.

No device needs this module; it alone of the runtime imports Keras and TensorFlow.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from acne_runtime.run_folder import Activations

_VALUES_PER_IMAGE = 4096
"""How many values of an activation are drawn from each photograph to choose its range."""
_BINS = 4096
_CONSTANT = 1e-6
"""Values that differ by less than this share of their size are rounding errors of one value."""
_SHARES = np.linspace(0.2, 1, 17)
"""How far a range may be cut, as shares of the extreme value that was seen."""

Transform = Callable[[NDArray[np.float64]], Any]
"""What values mean: a function of `[n]` or `[n, bins]` float64 that returns an array or a tensor."""


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


def activation_extremes(model: keras.Model, inputs: Iterable[NDArray[Any]]) -> dict[str, tuple[float, float]]:
    """Returns the smallest and largest value of every activation, by the operation's name.

    Args:
        model: A functional model.
        inputs: Tensors `[1, height, width, 3]`, uint8 or float32 RGB; at least one.
    """
    probe = _probe(model)
    names = list(probe.output)

    @tf.function  # type: ignore[untyped-decorator]
    def extremes(image: tf.Tensor) -> tf.Tensor:
        tensors = probe(tf.cast(image, tf.float32), training=False)
        return tf.stack([[tf.reduce_min(tensors[name]), tf.reduce_max(tensors[name])] for name in names])

    seen = np.array([extremes(image).numpy() for image in inputs])
    minima, maxima = seen[:, :, 0].min(axis=0), seen[:, :, 1].max(axis=0)
    return {name: (float(low), float(high)) for name, low, high in zip(names, minima, maxima, strict=True)}


def measure_activations(
    model: keras.Model, inputs: Iterable[NDArray[Any]], distributions: Mapping[str, int] | None = None
) -> Activations:
    """Measures every activation on photographs.

    Of the ranges that include 0, the one is chosen whose 256 levels give the smallest mean squared error: a few
    far-off values would make all others coarse. Of logits, what counts is the error of the score or of the
    mean bin: no levels are spent on telling scores near 0 apart.

    Args:
        model: A functional model.
        inputs: Tensors `[1, height, width, 3]`, uint8 or float32 RGB; at least one.
        distributions: The bins of each distribution in an output of logits `[..., k * bins]`, by the output's name.
    """
    probe = _probe(model)
    random = np.random.default_rng(0)
    transforms: dict[str, Transform] = {
        layer.input._keras_history.operation.name: tf.sigmoid
        for layer in model.layers
        if isinstance(layer, keras.layers.Activation) and layer.activation is keras.activations.sigmoid
    }
    drawn = {name: random.integers(0, np.prod(out.shape), _VALUES_PER_IMAGE) for name, out in probe.output.items()}
    for output, bins in (distributions or {}).items():
        name = model.output[output]._keras_history.operation.name
        if name not in drawn:  # of an operation with several outputs; those have no range
            continue
        first = random.integers(0, np.prod(probe.output[name].shape) // bins, _VALUES_PER_IMAGE // bins) * bins
        drawn[name] = first[:, None] + np.arange(bins)
        transforms[name] = _mean_bins
    maps = [name for name, output in probe.output.items() if len(output.shape) == 4]

    @tf.function  # type: ignore[untyped-decorator]
    def measure(image: tf.Tensor) -> tuple[dict[str, tf.Tensor], ...]:
        tensors = probe(tf.cast(image, tf.float32), training=False)
        extremes = {name: tf.stack([tf.reduce_min(tensor), tf.reduce_max(tensor)]) for name, tensor in tensors.items()}
        values = {name: tf.gather(tf.reshape(tensor, [-1]), drawn[name]) for name, tensor in tensors.items()}
        return extremes, values, {name: tf.reduce_mean(tensors[name], axis=(0, 1, 2)) for name in maps}

    # As arrays at once: tensors of all photographs would fill a GPU's memory.
    seen = [tuple({name: part.numpy() for name, part in parts.items()} for parts in measure(image)) for image in inputs]
    extremes, values, means = zip(*seen, strict=True)

    def range_of(name: str) -> tuple[float, float]:
        low = min(float(of_image[name][0]) for of_image in extremes)
        high = max(float(of_image[name][1]) for of_image in extremes)
        return best_range(
            np.concatenate([of_image[name] for of_image in values]), low, high, transforms.get(name, np.asarray)
        )

    return Activations(
        {name: range_of(name) for name in probe.output},
        {name: np.mean([of_image[name] for of_image in means], axis=0) for name in maps},
    )


def best_range(
    values: NDArray[np.float32], low: float, high: float, transform: Transform = np.asarray
) -> tuple[float, float]:
    """Returns the range whose 256 levels represent values with the smallest mean squared error.

    Args:
        values: `[n]`, drawn from an activation, or `[n, bins]` where `transform` needs all bins.
        low: Its smallest value.
        high: Its largest value.
        transform: The error is measured behind it; by default that of the values themselves.

    Returns:
        A range within `low` to `high`, cut at neither end that lies on the far side of 0.
    """
    if high - low <= _CONSTANT * max(abs(low), abs(high)):
        return low, high
    exact, counts = values.astype(np.float64), np.array(1)
    if exact.ndim == 1:
        counts, edges = np.histogram(exact, _BINS, (low, high))
        exact = (edges[:-1] + edges[1:]) / 2
    wanted = np.asarray(transform(exact))
    # A bound on the far side of 0 is no value that occurs: int8 has to include 0, and there is nothing to cut.
    lows = low * _SHARES if low < 0 else np.array([low])
    highs = high * _SHARES if high > 0 else np.array([high])

    def error(candidate: tuple[float, float]) -> float:
        first = min(candidate[0], 0.0)
        step = (max(candidate[1], 0.0) - first) / 255
        rounded = np.clip(np.round((exact - first) / step), 0, 255) * step + first
        return float((counts * (np.asarray(transform(rounded)) - wanted) ** 2).sum())

    return min(((float(first), float(last)) for last in highs for first in lows), key=error)


def _mean_bins(logits: NDArray[np.float64]) -> tf.Tensor:
    """Returns `[n]`, the mean bin of each distribution `[n, bins]`, as `acne_runtime.postprocess.decode` has it."""
    return tf.linalg.matvec(tf.nn.softmax(logits), tf.range(logits.shape[1], dtype=tf.float64))


def _probe(model: keras.Model) -> keras.Model:
    """Returns the model with the output of every operation, by the operation's name."""
    outputs: dict[str, keras.KerasTensor] = {}

    def call(operation: Any, *args: Any, **kwargs: Any) -> Any:
        output = operation(*args, **kwargs)
        if isinstance(output, keras.KerasTensor):
            outputs[operation.name] = output
        return output

    # Called again: a layer that a rewritten graph shares with its source has outputs in both.
    copy = keras.models.clone_model(model, clone_function=lambda layer: layer, call_function=call)
    return keras.Model(copy.input, outputs)
