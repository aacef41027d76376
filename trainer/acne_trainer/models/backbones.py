"""The paper's three rivals of the CNN: pretrained backbones under a new head."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import keras
import numpy as np
from keras import layers

from acne_runtime.backends.keras import copy_weights
from acne_runtime.errors import SourceError, one_line
from acne_trainer.models.weights import downloading, load_matching_weights

DROPOUT = 0.5

_BACKBONES = {
    "resnet50": keras.applications.ResNet50,
    "vgg19": keras.applications.VGG19,
    "efficientnetb3": keras.applications.EfficientNetB3,
}
_SCALING = "to_bgr_less_mean"
_CAFFE_MEAN = (103.939, 116.779, 123.68)
"""Mean of ImageNet's blue, green and red: what ResNet50 and VGG19 were trained with, in this order (Caffe's)."""

_IMAGENET_DEVIATION = (0.229, 0.224, 0.225)
"""Of ImageNet's red, green and blue, at 0 to 1."""


def build_backbone(name: str, input_size: int, weights: str, input_scaling: str) -> keras.Model:
    """Builds a frozen backbone with its input scaling inside.

    Args:
        name: `resnet50`, `vgg19` or `efficientnetb3`.
        input_size: Side of the square input in pixels.
        weights: `imagenet` (downloaded), `none`, a `.keras` file of another run, or a file as `keras.applications`
            downloads it ("notop").
        input_scaling: `own` is what the backbone was pretrained with. `paper` feeds 0 to 1, as the paper did to all
            three; it does not suit the pretrained weights.

    Returns:
        A flat model from `image` `[batch, input_size, input_size, 3]` float32 RGB, 0 to 255, to features
        `[batch, h, w, channels]`. Nothing in it is trainable.

    Raises:
        AcneEdgeError: The ImageNet weights cannot be downloaded.
        SourceError: The file is missing or holds the weights of another model.
    """
    shape = (input_size, input_size, 3)
    build = _BACKBONES[name]
    if weights == "imagenet":
        with downloading("imagenet"):
            backbone = build(include_top=False, weights="imagenet", input_shape=shape)
    elif weights == "none" or weights.endswith(".keras"):
        backbone = build(include_top=False, weights=None, input_shape=shape)
    elif Path(weights).is_file():
        try:
            backbone = build(include_top=False, weights=weights, input_shape=shape)
        except (ValueError, OSError, KeyError) as error:
            reason = one_line(error)
            raise SourceError(f"--weights {weights}: these do not fit {name} ({reason})") from error
    else:
        raise SourceError(f"--weights {weights}: neither a file nor one of none, imagenet")

    image = keras.Input(shape, name="image")
    scaled = _scaled(image, name, input_scaling)

    def call(layer: Any, *args: Any, **kwargs: Any) -> Any:
        output = layer(*(scaled if value is image else value for value in args), **kwargs)
        if isinstance(layer, layers.Normalization) and weights != "imagenet":
            # Keras puts this second half of EfficientNet's scaling in only where it downloads the weights itself.
            scale = [1 / math.sqrt(value) for value in _IMAGENET_DEVIATION]
            return layers.Rescaling(scale, name="to_deviation")(output)
        return output

    # A copy: Keras finds the place of downloaded weights by counting layers, and the scaling is one more.
    copy = keras.models.clone_model(backbone, input_tensors=image, call_function=call)
    copy_weights(backbone, copy)
    model = keras.Model(image, copy.output, name=name)
    if weights.endswith(".keras"):
        load_matching_weights(model, weights)
    model.trainable = False
    return model


def _scaled(image: Any, name: str, input_scaling: str) -> Any:
    if input_scaling == "paper":
        return layers.Rescaling(1 / 255, name="paper_scaling")(image)
    if name == "efficientnetb3":  # brings its own scaling
        return image
    # A 1x1 convolution: the one stock layer that swaps channels and converts everywhere.
    to_bgr = layers.Conv2D(3, 1, name=_SCALING)
    scaled = to_bgr(image)
    kernel = np.eye(3, dtype=np.float32)[::-1].reshape(1, 1, 3, 3)
    to_bgr.set_weights([kernel, -np.array(_CAFFE_MEAN, np.float32)])
    return scaled


def build_head(features: tuple[int, int, int], class_count: int) -> keras.Model:
    """Builds the paper's head: flatten, dropout, dense sigmoid; from features to `[batch, class_count]`."""
    x = given = keras.Input(features, name="features")
    for layer in _head_layers(class_count):
        x = layer(x)
    return keras.Model(given, x, name="head")


def join_backbone_and_head(backbone: keras.Model, head: keras.Model) -> keras.Model:
    """Returns one flat model from the photograph to the probabilities, made of the two models' own layers."""
    x: Any = backbone.output
    for layer in head.layers[1:]:
        x = layer(x)
    return keras.Model(backbone.input, x, name=f"acne_{backbone.name}")


def unfreeze_top(backbone: keras.Model, count: int) -> None:
    """Makes the last `count` layers of a backbone trainable, batch normalisation excepted.

    Normalisation keeps its statistics: those of a few small batches would undo what the backbone learnt.
    """
    for layer in backbone.layers[-count:]:
        layer.trainable = layer.name != _SCALING and not isinstance(layer, layers.BatchNormalization)


def _head_layers(class_count: int) -> list[layers.Layer]:
    return [
        layers.Flatten(name="flatten"),
        layers.Dropout(DROPOUT, name="drop"),
        # The sigmoid stands apart so that int8 can give the logits a range of their own.
        layers.Dense(class_count, name="logits", dtype="float32"),
        layers.Activation("sigmoid", name="label", dtype="float32"),
    ]
