"""A topological order of a graph's operations that depends on nothing but the graph."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Mapping
from typing import Any


def topological_order(
    outputs: Iterable[Hashable], producers: Mapping[Any, Any], inputs_of: Callable[[Any], Iterable[Any]]
) -> list[Any]:
    """Returns the operations that the outputs need, each after those whose outputs it takes.

    Args:
        outputs: Tensors, in a fixed order.
        producers: The operation that produces each tensor; inputs and weights have none.
        inputs_of: Returns the tensors that an operation takes.
    """
    order: list[Any] = []
    seen: set[int] = set()
    # Depth first without recursion: graphs are deeper than Python's stack.
    stack = [(producers[tensor], False) for tensor in reversed([*outputs]) if tensor in producers]
    while stack:
        operation, ready = stack.pop()
        if ready:
            order.append(operation)
        elif id(operation) not in seen:
            seen.add(id(operation))
            stack.append((operation, True))
            stack += [(producers[tensor], False) for tensor in reversed([*inputs_of(operation)]) if tensor in producers]
    return order
