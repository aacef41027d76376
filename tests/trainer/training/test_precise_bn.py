import numpy as np
import pytest

pytest.importorskip("tensorflow")

import keras
from keras import layers

from acne_trainer.training.precise_bn import PreciseBatchNorm


@pytest.fixture
def network():
    keras.utils.set_random_seed(0)
    image = keras.Input((None, None, 3))
    x = layers.BatchNormalization(momentum=0.9, name="first")(image)
    x = layers.Conv2D(4, 3, name="conv")(x)
    return keras.Model(image, layers.BatchNormalization(momentum=0.8, name="second")(x))


def batches(count=5):
    rng = np.random.default_rng(0)
    return [rng.normal(n, 1 + n, (2, 8, 8, 3)).astype(np.float32) for n in range(count)]


def test_statistics_are_the_average_of_the_batches(network):
    PreciseBatchNorm(network).recompute(batches())
    norm = network.get_layer("first")
    np.testing.assert_allclose(norm.moving_mean, np.mean([b.mean((0, 1, 2)) for b in batches()], axis=0), rtol=1e-4)
    np.testing.assert_allclose(norm.moving_variance, np.mean([b.var((0, 1, 2)) for b in batches()], axis=0), rtol=1e-4)


def test_later_layers_see_what_earlier_ones_make_of_each_batch(network):
    PreciseBatchNorm(network).recompute(batches())
    seen = []
    for batch in batches():
        normed = (batch - batch.mean((0, 1, 2))) / np.sqrt(batch.var((0, 1, 2)) + network.get_layer("first").epsilon)
        seen.append(np.asarray(network.get_layer("conv")(normed)).mean((0, 1, 2)))
    np.testing.assert_allclose(network.get_layer("second").moving_mean, np.mean(seen, axis=0), atol=1e-4)


def test_everything_else_stays_and_it_can_be_done_again(network):
    statistics, kernel = PreciseBatchNorm(network), network.get_layer("conv").get_weights()
    statistics.recompute(batches(1))
    statistics.recompute(batches())
    once = network.get_layer("first").moving_mean.numpy()
    for weight, expected in zip(network.get_layer("conv").get_weights(), kernel, strict=True):
        np.testing.assert_array_equal(weight, expected)
    assert [network.get_layer(name).momentum for name in ("first", "second")] == [0.9, 0.8]
    np.testing.assert_allclose(once, np.mean([b.mean((0, 1, 2)) for b in batches()], axis=0), rtol=1e-4)
