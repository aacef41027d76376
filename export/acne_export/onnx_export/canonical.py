"""Gives an ONNX graph names and an order that depend on nothing but the graph: same model, same bytes."""

from __future__ import annotations

import re
from collections import Counter

import onnx

from acne_export.graph.topological import topological_order

_COUNTER = re.compile(r"__\d+|:\d+")
"""What tf2onnx adds to names to tell them apart; it differs from run to run."""


def canonicalize(model: onnx.ModelProto) -> onnx.ModelProto:
    """Returns the model with its nodes in topological order from its outputs, its tensors named by that order.

    The names of inputs and outputs stay. Nodes and weights that no output needs are dropped.
    """
    graph = model.graph
    producers = {output: node for node in graph.node for output in node.output}
    weights = {weight.name: weight for weight in graph.initializer}
    order: list[onnx.NodeProto] = topological_order(
        [output.name for output in graph.output], producers, lambda node: node.input
    )

    names: dict[str, str] = {value.name: value.name for value in [*graph.input, *graph.output]}
    taken, times = set(names), Counter[str]()

    def canonical(name: str) -> str:
        if name and name not in names:
            unique = plain = _COUNTER.sub("", name) or "tensor"
            while unique in taken:
                times[plain] += 1
                unique = f"{plain}_{times[plain]}"
            names[name] = unique
            taken.add(unique)
        return names.get(name, name)

    used: list[onnx.TensorProto] = []
    for node in order:
        for index, name in enumerate(node.output):
            node.output[index] = canonical(name)
        node.name = f"{node.op_type}_{node.output[0]}"
        for index, name in enumerate(node.input):
            if name in weights and name not in names:
                # tf2onnx keeps equal weights once, under the name of any of them; the first user names it here.
                names[name] = f"{node.name}_{index}"
                weights[name].name = names[name]
                used.append(weights[name])
            node.input[index] = canonical(name)
    result = onnx.ModelProto()
    result.CopyFrom(model)
    for field, values in (("node", order), ("initializer", used), ("value_info", [])):
        result.graph.ClearField(field)
        getattr(result.graph, field).extend(values)
    result.graph.name, result.graph.doc_string = "model", ""  # tf2onnx names its temporary folder there
    return result
