"""The order of a graph's operations that depends on nothing but the graph."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Mapping
from typing import Any


def walk(ends: Iterable[Hashable], maker: Mapping[Any, Any], inputs_of: Callable[[Any], Iterable[Any]]) -> list[Any]:
    """Returns the operations that the ends need, each after those whose answers it takes.

    Args:
        ends: Tensors, in an order that is settled.
        maker: The operation that makes each tensor; inputs and weights have none.
        inputs_of: Returns the tensors that an operation takes.
    """
    order: list[Any] = []
    seen: set[int] = set()
    # Depth first without recursion: graphs are deeper than Python's stack.
    stack = [(maker[tensor], False) for tensor in reversed([*ends]) if tensor in maker]
    while stack:
        operation, ready = stack.pop()
        if ready:
            order.append(operation)
        elif id(operation) not in seen:
            seen.add(id(operation))
            stack.append((operation, True))
            stack += [(maker[tensor], False) for tensor in reversed([*inputs_of(operation)]) if tensor in maker]
    return order
