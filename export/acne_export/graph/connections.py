"""Who makes and who takes each tensor of a Keras graph."""

from __future__ import annotations

from typing import Any

import keras


def neighbours(model: keras.Model) -> tuple[dict[int, Any], dict[str, list[Any]]]:
    """Returns the operation that makes each tensor, by the tensor's `id`, and who takes an operation's, by its name.

    Args:
        model: A functional model in which each layer is called once.
    """
    producer = {id(tensor): op for op in model.operations for tensor in keras.tree.flatten(op.output)}
    users: dict[str, list[Any]] = {op.name: [] for op in model.operations}
    for op in model.operations:
        for tensor in keras.tree.flatten(op.input) if not isinstance(op, keras.layers.InputLayer) else ():
            users[producer[id(tensor)].name].append(op)
    return producer, users
