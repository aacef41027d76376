"""Gives a TFLite graph an order that depends on nothing but the graph: same model, same bytes."""

from __future__ import annotations

import re
from collections import Counter
from typing import Any

from tensorflow.lite.tools import flatbuffer_utils

from acne_export.graph.topological import walk

_COUNTER = re.compile(rb"_?\d+$")
"""What the converter adds to a name to tell it from others; which of them gets which number is chance too."""


def in_order(file: bytes) -> bytes:
    """Returns the file with its operations in the order of a walk from its outputs, its tensors numbered by that order.

    TensorFlow's converter leaves both to chance. Tensors that no output needs go; the names of inputs and outputs stay.
    """
    model = flatbuffer_utils.convert_bytearray_to_object(bytearray(file))
    (graph,) = model.subgraphs
    signatures = model.signatureDefs or []
    # By name: the order of the graph's own outputs is left to chance as well.
    wanted = [entry for one in signatures for entry in sorted(one.outputs, key=lambda entry: entry.name)]
    ends = [entry.tensorIndex for entry in wanted] or list(graph.outputs)
    maker = {tensor: operator for operator in graph.operators for tensor in operator.outputs}
    graph.operators = walk(ends, maker, lambda operator: operator.inputs)
    order = list(dict.fromkeys([*graph.inputs, *_touched(graph.operators), *ends]))
    number = {tensor: place for place, tensor in enumerate(order)} | {-1: -1}  # -1: an optional input that is not given
    graph.tensors = [graph.tensors[tensor] for tensor in order]
    _name(graph.tensors, {number[tensor] for tensor in [*graph.inputs, *ends]})
    for operator in graph.operators:
        operator.inputs = [number[tensor] for tensor in operator.inputs]
        operator.outputs = [number[tensor] for tensor in operator.outputs]
    graph.inputs = [number[tensor] for tensor in graph.inputs]
    graph.outputs = [number[tensor] for tensor in ends]
    for one in signatures:
        for entry in [*one.inputs, *one.outputs]:
            entry.tensorIndex = number[entry.tensorIndex]
        one.outputs = sorted(one.outputs, key=lambda entry: entry.name)
    _number_buffers(model, graph)
    return bytes(flatbuffer_utils.convert_object_to_bytearray(model))


def _touched(operators: list[Any]) -> list[int]:
    return [tensor for one in operators for tensor in [*one.inputs, *one.outputs] if tensor >= 0]


def _name(tensors: list[Any], kept: set[int]) -> None:
    """Numbers tensors of one name in their order."""
    times = Counter[bytes]()
    for place, tensor in enumerate(tensors):
        if place not in kept:
            plain = _COUNTER.sub(b"", tensor.name)
            tensor.name = plain + (b"_%d" % times[plain] if times[plain] else b"")
            times[plain] += 1


def _number_buffers(model: Any, graph: Any) -> None:
    """Puts the buffers in the order of their first use: tensors', then metadata's; the first is the empty one."""
    users = [*graph.tensors, *(model.metadata or [])]
    order = list(dict.fromkeys([0, *(user.buffer for user in users)]))
    number = {buffer: place for place, buffer in enumerate(order)}
    model.buffers = [model.buffers[buffer] for buffer in order]
    for user in users:
        user.buffer = number[user.buffer]
