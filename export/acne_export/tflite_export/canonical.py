"""Puts a TFLite graph into an order that depends on nothing but the graph: same model, same bytes."""

from __future__ import annotations

import re
from collections import Counter
from typing import Any

from ai_edge_litert.tools import flatbuffer_utils

from acne_export.graph.topological import topological_order

_COUNTER = re.compile(rb"_?\d+$")
"""What the converter adds to a name to tell it from others; which of them gets which number is random too."""


def canonicalize(file: bytes) -> bytes:
    """Returns the file with its operations in topological order from its outputs, its tensors numbered by that order.

    TensorFlow's converter leaves both to chance. Tensors that no output needs are dropped; names of inputs and outputs
    stay.
    """
    model = flatbuffer_utils.convert_bytearray_to_object(bytearray(file))
    (graph,) = model.subgraphs
    signatures = model.signatureDefs or []
    # By name: the order of the graph's own outputs is left to chance as well.
    signature_outputs = [
        entry for signature in signatures for entry in sorted(signature.outputs, key=lambda entry: entry.name)
    ]
    ends = [entry.tensorIndex for entry in signature_outputs] or list(graph.outputs)
    producers = {tensor: operator for operator in graph.operators for tensor in operator.outputs}
    graph.operators = topological_order(ends, producers, lambda operator: operator.inputs)
    order = list(dict.fromkeys([*graph.inputs, *_tensors_of(graph.operators), *ends]))
    number = {tensor: index for index, tensor in enumerate(order)} | {-1: -1}  # -1: an optional input that is not given
    graph.tensors = [graph.tensors[tensor] for tensor in order]
    _name(graph.tensors, {number[tensor] for tensor in [*graph.inputs, *ends]})
    for operator in graph.operators:
        operator.inputs = [number[tensor] for tensor in operator.inputs]
        operator.outputs = [number[tensor] for tensor in operator.outputs]
    graph.inputs = [number[tensor] for tensor in graph.inputs]
    graph.outputs = [number[tensor] for tensor in ends]
    for signature in signatures:
        for entry in [*signature.inputs, *signature.outputs]:
            entry.tensorIndex = number[entry.tensorIndex]
        signature.outputs = sorted(signature.outputs, key=lambda entry: entry.name)
    _number_buffers(model, graph)
    return bytes(flatbuffer_utils.convert_object_to_bytearray(model))


def _tensors_of(operators: list[Any]) -> list[int]:
    return [tensor for operator in operators for tensor in [*operator.inputs, *operator.outputs] if tensor >= 0]


def _name(tensors: list[Any], kept: set[int]) -> None:
    """Numbers tensors of one name in their order."""
    times = Counter[bytes]()
    for index, tensor in enumerate(tensors):
        if index not in kept:
            plain = _COUNTER.sub(b"", tensor.name)
            tensor.name = plain + (b"_%d" % times[plain] if times[plain] else b"")
            times[plain] += 1


def _number_buffers(model: Any, graph: Any) -> None:
    """Puts the buffers in the order of their first use: tensors', then metadata's; the first is the empty one."""
    users = [*graph.tensors, *(model.metadata or [])]
    order = list(dict.fromkeys([0, *(user.buffer for user in users)]))
    number = {buffer: index for index, buffer in enumerate(order)}
    model.buffers = [model.buffers[buffer] for buffer in order]
    for user in users:
        user.buffer = number[user.buffer]
