"""The form of a model that is exported."""

from __future__ import annotations

from typing import Any

import keras


def inference_copy(network: keras.Model, image: Any) -> Any:
    """Builds the network anew on `image`, with layers of its own and the same weights.

    Args:
        network: A flat functional model.
        image: The Keras tensor to start from, such as an input with a static shape.

    Returns:
        The outputs, in the network's own structure.
    """
    copy = keras.models.clone_model(network, input_tensors=image)
    copy.set_weights(network.get_weights())
    return copy.output
