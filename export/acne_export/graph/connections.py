"""Which operation produces and which operations consume each tensor of a Keras graph."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import keras


@dataclass(frozen=True, slots=True)
class Connections:
    """The edges of a functional model in which each layer is called once.

    Attributes:
        operations: All operations, in the model's order.
        producers: The operation that produces each tensor, by the tensor's `id`.
        consumers: The operations that take an operation's output, by its name.
        outputs: The `id` of each output tensor of the model.
    """

    operations: tuple[Any, ...]
    producers: dict[int, Any]
    consumers: dict[str, list[Any]]
    outputs: frozenset[int]

    def producer(self, operation: Any) -> Any:
        """Returns the operation whose output an operation with one input takes."""
        return self.producers[id(operation.input)]

    def only_consumer(self, operation: Any) -> Any:
        """Returns the one operation that takes an operation's output; `None` if several do or the model returns it."""
        consumers = self.consumers[operation.name]
        returned = any(id(tensor) in self.outputs for tensor in keras.tree.flatten(operation.output))
        return consumers[0] if len(consumers) == 1 and not returned else None


def producers_and_consumers(model: keras.Model) -> Connections:
    """Returns the connections of a functional model in which each layer is called once."""
    operations = tuple(model.operations)
    producers = {id(tensor): op for op in operations for tensor in keras.tree.flatten(op.output)}
    consumers: dict[str, list[Any]] = {op.name: [] for op in operations}
    for op in operations:
        for tensor in keras.tree.flatten(op.input) if not isinstance(op, keras.layers.InputLayer) else ():
            consumers[producers[id(tensor)].name].append(op)
    return Connections(operations, producers, consumers, frozenset(map(id, keras.tree.flatten(model.output))))
