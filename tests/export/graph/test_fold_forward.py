import numpy as np
import pytest

pytest.importorskip("tensorflow")

import keras
from keras import layers
from support.images import picture

from acne_export.graph.fold import simplify
from acne_export.graph.fold_forward import fold_batch_norm_forward
from acne_runtime.backends.keras import activation_extremes


def photograph(seed):
    return picture(32, 32, seed)[None, ..., ::-1].copy()


def with_seeded_weights(model):
    """Gains of both signs and very different sizes, among them none."""
    rng = np.random.default_rng(3)
    for layer in model.layers:
        layer.set_weights([rng.normal(0, 0.3, weight.shape) for weight in layer.weights])
        if isinstance(layer, layers.BatchNormalization):
            gamma = rng.choice([-1, 1], layer.gamma.shape) * 10.0 ** rng.uniform(-1, 1, layer.gamma.shape)
            gamma[0] = 0
            layer.gamma.assign(gamma)
            layer.moving_variance.assign(rng.uniform(0.3, 1.2, layer.gamma.shape))
    return model


def pool(x):
    return layers.MaxPooling2D(2, name="pool")(x)


def network(between=pool, behind=lambda x: x, activation="relu", padding="valid", tail=None):
    image = keras.Input(batch_shape=(1, 32, 32, 3), name="image")
    x = layers.Rescaling(1 / 255, name="scaled")(image)
    x = layers.Conv2D(6, 3, activation=activation, use_bias=False, name="first")(x)
    x = layers.BatchNormalization(name="norm")(between(x))
    y = layers.Dropout(0.5, name="drop")(behind(x))
    y = layers.Conv2D(4, 3, activation="relu", padding=padding, name="second")(y)
    y = layers.BatchNormalization(name="last_norm")(y)
    y = layers.Dense(4, name="dense")(layers.Flatten(name="flat")(y))
    outputs = {"label": layers.Activation("sigmoid", name="label")(y)}
    return with_seeded_weights(keras.Model(image, outputs | (tail(x) if tail else {})))


def norms(model):
    return [layer.name for layer in model.layers if isinstance(layer, layers.BatchNormalization)]


def assert_same_answers(model, moved):
    for seed in range(3):
        image = photograph(seed).astype(np.float32)
        expected, got = model(image, training=False), moved(image, training=False)
        for name, output in expected.items():
            assert np.allclose(output, got[name], atol=1e-5 * max(1, np.abs(output).max())), name


def test_norms_behind_a_relu_go_and_the_answers_stay():
    model = network()
    before = model.get_weights()
    moved, ranges = fold_batch_norm_forward(model, {})
    assert norms(model) == ["norm", "last_norm"]
    assert norms(moved) == []
    assert ranges == {}
    assert_same_answers(model, moved)
    assert_same_answers(model, simplify(moved))
    for one, other in zip(before, model.get_weights(), strict=True):
        assert np.array_equal(one, other)


def test_the_ranges_hold_for_the_new_graph_and_are_not_much_wider():
    model = network()
    pictures = [photograph(seed) for seed in range(8)]
    moved, ranges = fold_batch_norm_forward(model, activation_extremes(model, pictures))
    seen = activation_extremes(moved, pictures)
    for name in ("first", "pool", "drop", "second", "flat"):
        assert ranges[name][0] == 0
        assert seen[name][1] * 0.9999 <= ranges[name][1] <= 1.5 * seen[name][1], name
    for name in ("dense", "label"):
        assert ranges[name] == pytest.approx(seen[name], abs=1e-4)


def test_a_norm_before_a_maximum_goes_where_no_gain_is_negative():
    model = network(between=lambda x: x, behind=pool)
    assert norms(fold_batch_norm_forward(model, {})[0]) == ["norm"]
    norm = model.get_layer("norm")
    norm.gamma.assign(np.abs(norm.gamma))
    pictures = [photograph(seed) for seed in range(8)]
    moved, ranges = fold_batch_norm_forward(model, activation_extremes(model, pictures))
    assert norms(moved) == []
    assert_same_answers(model, moved)
    seen = activation_extremes(moved, pictures)
    assert seen["pool"][1] * 0.9999 <= ranges["pool"][1] <= 1.5 * seen["pool"][1]


@pytest.mark.parametrize(
    "model",
    [
        pytest.param(lambda: network(activation="swish"), id="no ReLU"),
        pytest.param(lambda: network(padding="same"), id="zeros stand around what the norm gives"),
        pytest.param(lambda: network(between=layers.ZeroPadding2D(1)), id="zeros are normalised too"),
        pytest.param(lambda: network(tail=lambda x: {"other": x}), id="the norm's output is an answer"),
        pytest.param(
            lambda: network(tail=lambda x: {"other": layers.Conv2D(2, 1, name="more")(x)}), id="two take its output"
        ),
    ],
)
def test_norms_that_cannot_go_stay(model):
    model = model()
    moved, _ = fold_batch_norm_forward(model, {})
    assert norms(moved) == ["norm"]
    assert_same_answers(model, moved)
