import numpy as np
import pytest

pytest.importorskip("tensorflow")

import keras

from acne_trainer.models.pooled_features import build_pooled_features, with_classifier

SIZE = 64
IMAGES = np.random.default_rng(0).uniform(0, 255, (2, SIZE, SIZE, 3)).astype(np.float32)


@pytest.fixture(scope="module")
def features():
    keras.utils.set_random_seed(0)
    return build_pooled_features("efficientnet-lite0", SIZE, "none")


def test_each_output_is_pooled_by_its_average_and_its_maximum(features):
    assert features.output.shape == (None, 3424)
    assert features.trainable_variables == []
    given = np.asarray(features(IMAGES))
    for name, channels, first in (("stage5_block10_add", 112, 0), ("stage7_block15_project_bn", 320, 224)):
        values = np.asarray(keras.Model(features.input, features.get_layer(name).output)(IMAGES))
        np.testing.assert_allclose(given[:, first : first + channels], values.mean(axis=(1, 2)), atol=1e-4)
        maxima = given[:, first + channels : first + 2 * channels]
        np.testing.assert_allclose(maxima, values.max(axis=(1, 2)), atol=1e-4)


def test_the_classifier_is_a_dense_layer_in_parts_and_a_sigmoid(features):
    rng = np.random.default_rng(0)
    kernel, bias = rng.normal(0, 0.01, (3424, 4)).astype(np.float32), rng.normal(size=4).astype(np.float32)
    model = with_classifier(features, kernel, bias)
    expected = 1 / (1 + np.exp(-(np.asarray(features(IMAGES)) @ kernel + bias)))
    np.testing.assert_allclose(model(IMAGES), expected, atol=1e-5)
    assert not any(isinstance(layer, keras.Model) for layer in model.layers)
    dense = [layer for layer in model.layers if isinstance(layer, keras.layers.Dense)]
    assert [layer.kernel.shape[0] for layer in dense] == [112, 112, 320, 320, 1280, 1280]


def test_weights_come_from_another_runs_file(features, tmp_path):
    features.save(tmp_path / "model.keras")
    keras.utils.set_random_seed(5)
    again = build_pooled_features("efficientnet-lite0", SIZE, str(tmp_path / "model.keras"))
    np.testing.assert_allclose(again(IMAGES), features(IMAGES), rtol=1e-5)
