"""What a network starts from: pretrained weights by name, another run's, or none."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import keras

from acne_runtime.errors import AcneEdgeError, SourceError, one_line

logger = logging.getLogger(__name__)

BY_NAME = ("none", "imagenet", "coco")


def load_matching_weights(network: keras.Model, weights: str) -> None:
    """Loads a `.keras` file, such as another run's `model.keras`: every layer whose name and shapes fit.

    So a detector of one class can start one of four: only their class heads differ.

    Args:
        network: A flat functional model.
        weights: The file, or one of `BY_NAME`, which are the builders' business.

    Raises:
        SourceError: The file is missing, no Keras file, or of another model.
    """
    if weights in BY_NAME:
        return
    file = Path(weights)
    if not file.is_file():
        raise SourceError(f"--weights {file}: neither a file nor one of {', '.join(BY_NAME)}")
    try:
        source = keras.models.load_model(file, compile=False)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise SourceError(f"--weights {file}: no .keras file ({one_line(error)})") from error
    there = {layer.name: layer.get_weights() for layer in source.layers}
    wanted = [layer for layer in network.layers if layer.weights]
    fitting = [
        layer
        for layer in wanted
        if [value.shape for value in there.get(layer.name, ())] == [tuple(weight.shape) for weight in layer.weights]
    ]
    if len(fitting) < len(wanted) / 2:
        raise SourceError(
            f"--weights {file}: these belong to another model: {len(fitting)} of {len(wanted)} layers fit"
        )
    for layer in fitting:
        layer.set_weights(there[layer.name])
    at_random = [layer.name for layer in wanted if layer not in fitting]
    if at_random:
        logger.info("%d layers start from %s; at random: %s", len(fitting), file, ", ".join(at_random))


@contextmanager
def downloading(what: str) -> Iterator[None]:
    """Turns a failed download into one sentence with a way out.

    Raises:
        AcneEdgeError: The download failed.
    """
    try:
        yield
    except Exception as error:  # each of the libraries' own network stacks fails in its own way
        reason = one_line(error)
        raise AcneEdgeError(
            f"--weights {what}: could not be downloaded ({reason}); offline, give --weights none, or a file"
        ) from error
