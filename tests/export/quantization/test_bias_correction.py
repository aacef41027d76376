import numpy as np
import pytest

pytest.importorskip("tensorflow")

import keras
from keras import layers
from support.images import picture

from acne_export.graph.fold import simplify
from acne_export.quantization.bias_correction import correct_biases
from acne_runtime.backends.keras import measure_activations


def int8_weights(model):
    """The model with the kernels of its convolutions rounded as TensorFlow Lite rounds them."""
    rounded = keras.models.clone_model(model)
    rounded.set_weights(model.get_weights())
    for layer in rounded.layers:
        if isinstance(layer, layers.Conv2D | layers.DepthwiseConv2D):
            kernel, *bias = layer.get_weights()
            axes = (0, 1) if isinstance(layer, layers.DepthwiseConv2D) else (0, 1, 2)
            step = np.abs(kernel).max(axis=axes, keepdims=True) / 127
            layer.set_weights([np.round(kernel / step) * step, *bias])
    return rounded


def one_layer(layer, channels=6):
    rng = np.random.default_rng(4)
    image = keras.Input(batch_shape=(1, 24, 24, 3), name="image")
    x = layers.Conv2D(channels, 1, activation="relu", name="before")(image)
    model = keras.Model(image, {"out": layer(x)})
    for made in model.layers:
        made.set_weights([rng.normal(0, 1, weights.shape) for weights in made.get_weights()])
    return model


@pytest.mark.parametrize(
    "layer",
    [
        layers.Conv2D(5, 3, name="after"),
        layers.Conv2D(8, 3, groups=2, name="after"),
        layers.DepthwiseConv2D(3, name="after"),
        layers.DepthwiseConv2D(3, depth_multiplier=2, name="after"),
    ],
    ids=["conv", "groups", "depthwise", "multiplier"],
)
def test_the_mean_of_each_channel_comes_back(layer):
    model = one_layer(layer.__class__.from_config(layer.get_config()))
    pictures = [picture(24, 24, seed)[None, ..., ::-1].astype(np.float32) for seed in range(12)]
    means = {"before": measure_activations(model, pictures).means["before"]}

    def mean_error(other):
        difference = [other(image)["out"] - model(image)["out"] for image in pictures]
        return np.abs(np.mean(difference, axis=(0, 1, 2, 3))).max()

    # "before" takes the image, of which no mean is given: its bias stays.
    corrected = correct_biases(model, means)
    assert np.array_equal(corrected.get_layer("before").get_weights()[1], model.get_layer("before").get_weights()[1])
    exact_before = [np.asarray(weights) for weights in model.get_layer("before").get_weights()]
    plain, better = int8_weights(model), int8_weights(corrected)
    for rounded in (plain, better):
        rounded.get_layer("before").set_weights(exact_before)
    assert mean_error(better) < 0.2 * mean_error(plain)


@pytest.mark.parametrize("task", ["detection", "multilabel"])
def test_without_means_the_model_stays(networks, task):
    simple = simplify(networks[task])
    for one, other in zip(simple.get_weights(), correct_biases(simple, {}).get_weights(), strict=True):
        assert np.array_equal(one, other)


def test_the_model_itself_is_left_alone(networks):
    simple = simplify(networks["detection"])
    before = simple.get_weights()
    pictures = [picture(64, 64, seed)[None, ..., ::-1] for seed in range(2)]
    corrected = correct_biases(simple, measure_activations(simple, pictures).means)
    assert any(not np.array_equal(a, b) for a, b in zip(before, corrected.get_weights(), strict=True))
    for one, other in zip(before, simple.get_weights(), strict=True):
        assert np.array_equal(one, other)
