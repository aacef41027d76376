"""The form of a model that is exported."""

from __future__ import annotations

from typing import Any

import keras

from acne_runtime.backends.keras import copy_weights

_WITH_ACTIVATION = (keras.layers.Conv2D, keras.layers.DepthwiseConv2D, keras.layers.Dense)
_NO_RANGE_OF_ITS_OWN = (keras.activations.linear, keras.activations.relu)


def inference_copy(network: keras.Model, image: Any) -> Any:
    """Builds the network again on `image`, with float32 layers of its own and the same weights.

    Args:
        network: A flat functional model.
        image: The Keras tensor to start from, such as an input with a static shape.

    Returns:
        The outputs, in the network's own structure.
    """
    return inference_clone(network, image).output


def inference_clone(network: keras.Model, image: Any = None) -> keras.Model:
    """Returns a float32 copy of the network for one device, on an input of its own or on `image`.

    Activations inside a layer leave it, so that the range of what they are given can be recorded; ReLU may stay, since
    its output tells enough.
    """
    apart = {layer.name: layer.activation for layer in network.layers if _activation_leaves(layer)}

    def call(operation: Any, *args: Any, **kwargs: Any) -> Any:
        output = operation(*args, **kwargs)
        if operation.name not in apart:
            return output
        return keras.layers.Activation(apart[operation.name], name=f"{operation.name}_activation")(output)

    copy = keras.models.clone_model(network, input_tensors=image, clone_function=_plain, call_function=call)
    copy_weights(network, copy)
    return copy


def _activation_leaves(operation: Any) -> bool:
    return isinstance(operation, _WITH_ACTIVATION) and operation.activation not in _NO_RANGE_OF_ITS_OWN


def _plain(operation: Any) -> Any:
    """Returns the layer without what only its training needed: other arithmetic, statistics over several devices."""
    config = operation.get_config()
    if isinstance(operation, keras.layers.Layer):
        config["dtype"] = "float32"
    if "synchronized" in config:
        config["synchronized"] = False
    if _activation_leaves(operation):
        config["activation"] = "linear"
    return type(operation).from_config(config)
