import numpy as np
import pytest

pytest.importorskip("tensorflow")

import keras
from keras import layers, ops
from support.images import picture

from acne_runtime.backends.keras import activation_extremes, best_range, measure_activations

KERNEL = np.array([[0.5, -1.0], [0.25, 0.5], [-0.75, 0.125]], np.float32)
BIAS = np.array([-0.2, 0.3], np.float32)


def images(count):
    return [picture(8, 12, seed)[None, ..., ::-1] for seed in range(count)]


@pytest.fixture(scope="module")
def model():
    """A scaling, a 1x1 convolution, a ReLU, and operations that are no layers."""
    image = keras.Input(batch_shape=(1, 8, 12, 3), name="image")
    scaled = layers.Rescaling(1 / 255, name="scaled")(image)
    mixed = layers.Conv2D(2, 1, name="mixed")(scaled)
    positive = layers.Activation("relu", name="positive")(mixed)
    dropped = layers.Dropout(0.5, name="dropped")(positive)
    first, second = ops.split(dropped, 2, axis=-1)
    outputs = {"label": layers.Activation("sigmoid", name="label")(first + second)}
    made = keras.Model(image, outputs)
    made.get_layer("mixed").set_weights([KERNEL.reshape(1, 1, 3, 2), BIAS])
    return made


def by_hand(pictures):
    scaled = np.concatenate(pictures).astype(np.float64) / 255
    mixed = scaled @ KERNEL + BIAS
    positive = np.maximum(mixed, 0)
    total = positive.sum(axis=-1)
    values = {
        "scaled": scaled,
        "mixed": mixed,
        "positive": positive,
        "dropped": positive,  # at inference nothing is dropped
        "sum": total,
        "label": 1 / (1 + np.exp(-total)),
    }
    return {name: (value.min(), value.max()) for name, value in values.items()}


@pytest.mark.parametrize("count", [1, 2, 7])
def test_ranges_are_the_least_and_greatest_values_over_all_photographs(model, count):
    got = activation_extremes(model, iter(images(count)))
    (total,) = set(got) - set(by_hand(images(1)))  # Keras names the sum itself
    got["sum"] = got.pop(total)
    expected = by_hand(images(count))
    assert set(got) == set(expected)
    for name, pair in expected.items():
        assert got[name] == pytest.approx(pair, abs=1e-5), name


def test_float_pixels_give_the_ranges_of_whole_ones(model):
    whole = activation_extremes(model, images(3))
    assert activation_extremes(model, [image.astype(np.float32) for image in images(3)]) == whole


def test_ranges_are_plain_numbers(model):
    assert all(type(bound) is float for pair in activation_extremes(model, images(1)).values() for bound in pair)


def test_the_model_is_left_as_it_was(model):
    names = [op.name for op in model.operations]
    image = images(1)[0].astype(np.float32)
    before = model(image, training=False)["label"]
    activation_extremes(model, images(2))
    assert [op.name for op in model.operations] == names
    np.testing.assert_array_equal(model(image, training=False)["label"], before)


@pytest.mark.parametrize("task", ["detection", "multilabel"])
def test_every_operation_that_gives_one_tensor_has_a_range(networks, task):
    ranges = activation_extremes(networks[task], [picture(64, 64, 1)[None, ..., ::-1]])
    single = [op.name for op in networks[task].operations if isinstance(op.output, keras.KerasTensor)]
    assert set(ranges) == set(single) - {"image"}
    assert all(low <= high for low, high in ranges.values())


def test_means_are_those_of_each_channel_of_feature_maps(model):
    means = measure_activations(model, images(5)).means
    pictures = np.concatenate(images(5)).astype(np.float64) / 255
    assert means["scaled"] == pytest.approx(pictures.mean(axis=(0, 1, 2)), abs=1e-5)
    assert means["positive"] == pytest.approx(np.maximum(pictures @ KERNEL + BIAS, 0).mean(axis=(0, 1, 2)), abs=1e-5)


def test_measured_ranges_lie_within_the_extremes(model):
    extremes = activation_extremes(model, images(3))
    for name, (low, high) in measure_activations(model, images(3)).ranges.items():
        assert extremes[name][0] <= low <= high <= extremes[name][1], name


def rounding_error(values, low, high):
    step = (high - low) / 255
    return ((np.clip(np.round((values - low) / step), 0, 255) * step + low - values) ** 2).mean()


def test_a_few_far_off_values_do_not_make_the_others_coarse():
    values = np.random.default_rng(0).normal(0, 1, 1_000_000).astype(np.float32)
    values[0] = 12  # costs more than it is worth
    low, high = best_range(values, float(values.min()), 12.0)
    assert high < 8
    assert rounding_error(values, low, high) < 0.7 * rounding_error(values, float(values.min()), 12.0)


def quantized(values, low, high):
    step = (high - low) / 255
    return np.clip(np.round((values - low) / step), 0, 255) * step + low


def logit_model(logits, bins=0):
    """A 1x1 convolution with given logits on a black image: under a sigmoid, or as they are."""
    image = keras.Input(batch_shape=(1, 8, 12, 3), name="image")
    values = layers.Conv2D(logits.shape[-1], 1, name="logits")(image)
    output = values if bins else layers.Activation("sigmoid", name="score")(values)
    made = keras.Model(image, {"box" if bins else "score": output})
    made.get_layer("logits").set_weights([np.zeros((1, 1, 3, logits.shape[-1]), np.float32), logits])
    return made


BLACK = [np.zeros((1, 8, 12, 3), np.uint8)]


def test_the_range_of_scores_logits_gives_the_smallest_error_of_the_scores():
    logits = np.random.default_rng(0).normal(-12, 5, 512).astype(np.float32)
    low, high = measure_activations(logit_model(logits), BLACK).ranges["logits"]
    assert low > 0.6 * logits.min()  # nobody asks by how much a score is nearly 0

    def sigmoid(x):
        return 1 / (1 + np.exp(-x))

    def error(low, high):
        return ((sigmoid(quantized(logits, low, max(high, 0))) - sigmoid(logits)) ** 2).mean()

    assert error(low, high) < 0.5 * error(*best_range(logits, logits.min(), logits.max()))


def test_the_range_of_distributions_logits_gives_the_smallest_error_of_their_means():
    logits = np.random.default_rng(0).normal(-6, 4, 1024).astype(np.float32)
    low, high = measure_activations(logit_model(logits, bins=16), BLACK, {"box": 16}).ranges["logits"]

    def mean_bin(x):
        weights = np.exp(x.reshape(-1, 16))
        return weights @ np.arange(16) / weights.sum(axis=1)

    def error(low, high):
        return ((mean_bin(quantized(logits, low, max(high, 0))) - mean_bin(logits)) ** 2).mean()

    assert error(low, high) < 0.9 * error(*measure_activations(logit_model(logits, bins=16), BLACK).ranges["logits"])


def test_evenly_spread_values_keep_their_whole_range():
    values = np.random.default_rng(0).uniform(-3, 1, 100_000).astype(np.float32)
    assert best_range(values, -3.0, 1.0) == (-3.0, 1.0)


NEARLY = float(np.nextafter(np.float32(3), np.float32(4)))


@pytest.mark.parametrize(
    ("low", "high"),
    [(0.0, 6.0), (0.25, 1.0), (-2.0, -1.0), (0.0, 0.0), (3.0, 3.0), (3.0, NEARLY), (0.0, 1e-42), (-1e-40, 1e-40)],
)
def test_a_bound_on_the_far_side_of_zero_is_not_cut(low, high):
    values = np.linspace(low, high, 1000, dtype=np.float32)
    assert best_range(values, low, high) == (low, high)
