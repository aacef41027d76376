"""Corrects biases for what rounding weights to int8 changes on average.

A rounded kernel `q` gives `(q - w) * x` more than the kernel `w`; over many inputs that is `sum(q - w) * mean(x)` for
each output channel, which the bias can take back (Nagel et al. 2019, "Data-Free Quantization Through Weight
Equalization and Bias Correction", section 4.2). Activations are far from zero mean behind a ReLU, so that it matters.
"""

from __future__ import annotations

from collections.abc import Mapping

import keras
import numpy as np
from keras import layers
from numpy.typing import NDArray

from acne_export.quantization.per_channel import quantize_per_channel


def correct_biases(model: keras.Model, means: Mapping[str, NDArray[np.float32]]) -> keras.Model:
    """Returns a copy of the model whose convolutions with a bias have it corrected.

    Args:
        model: A simplified model.
        means: `[channels]`, the mean of each channel by the name of the operation that computes it. A convolution whose
            input has none keeps its bias.
    """
    corrected = keras.models.clone_model(model)
    corrected.set_weights(model.get_weights())
    for layer in corrected.layers:
        if not isinstance(layer, layers.Conv2D | layers.DepthwiseConv2D) or not layer.use_bias:
            continue
        mean = means.get(layer.input._keras_history.operation.name)
        if mean is None:
            continue
        kernel, bias = layer.get_weights()
        is_depthwise = isinstance(layer, layers.DepthwiseConv2D)
        scale, steps = quantize_per_channel(kernel, (0, 1) if is_depthwise else (0, 1, 2))
        error = (steps * scale - kernel).sum(axis=(0, 1))  # [inputs, outputs], [channels, multiplier] if depthwise
        if is_depthwise:
            shift = (error * mean[:, None]).ravel()
        else:
            shift = mean.reshape(layer.groups, -1).repeat(kernel.shape[-1] // layer.groups, axis=0)
            shift = (error.T * shift).sum(axis=1)
        layer.set_weights([kernel, bias - shift])
    return corrected
