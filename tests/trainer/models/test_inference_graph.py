import numpy as np
import pytest

pytest.importorskip("tensorflow")

import keras
from keras import layers
from support.images import picture

from acne_trainer.models.inference_graph import inference_clone


@pytest.fixture(scope="module")
def network():
    """Every kind of activation inside a layer, as in a squeeze-and-excite block."""
    image = keras.Input(batch_shape=(1, 16, 16, 3), name="image")
    x = layers.Conv2D(4, 3, activation="relu", name="stem")(image)
    x = layers.DepthwiseConv2D(3, activation="swish", name="depth")(x)
    weight = layers.Conv2D(4, 1, activation="sigmoid", name="excite")(layers.GlobalAveragePooling2D(keepdims=True)(x))
    x = layers.Flatten()(layers.Multiply()([x, weight]))
    return keras.Model(image, {"label": layers.Dense(4, activation="sigmoid", name="label_dense")(x)})


def test_activations_leave_their_layers_but_relu(network):
    plain = inference_clone(network)
    inside = {layer.name: layer.activation.__name__ for layer in plain.layers if hasattr(layer, "kernel")}
    assert inside == {"stem": "relu", "depth": "linear", "excite": "linear", "label_dense": "linear"}
    assert {layer.name for layer in plain.layers if isinstance(layer, layers.Activation)} == {
        "depth_activation",
        "excite_activation",
        "label_dense_activation",
    }


def test_the_answers_and_the_network_stay(network):
    image = picture(16, 16, 4)[None, ..., ::-1].astype(np.float32) / 255
    before = np.asarray(network(image)["label"])
    assert np.allclose(inference_clone(network)(image)["label"], before, atol=1e-6)
    assert network.get_layer("depth").activation is keras.activations.swish
