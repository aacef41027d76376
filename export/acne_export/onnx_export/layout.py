"""Cleans up what tf2onnx leaves where Keras' NHWC meets ONNX's NCHW, without changing an output."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import onnx
from onnx import helper

_TO_NCHW, _TO_NHWC = [0, 3, 1, 2], [0, 2, 3, 1]


@dataclass(frozen=True, slots=True)
class _Connections:
    """Who produces and who consumes each tensor of a graph; a graph output counts as a consumer."""

    producers: dict[str, onnx.NodeProto]
    consumers: dict[str, list[onnx.NodeProto]]
    outputs: set[str]

    def is_transpose(self, node: onnx.NodeProto | None, order: list[int]) -> bool:
        """Returns whether a node transposes in this order and its result is not an output of the graph."""
        return (
            node is not None
            and node.op_type == "Transpose"
            and helper.get_node_attr_value(node, "perm") == order
            and node.output[0] not in self.outputs
        )


def _connections_of(graph: onnx.GraphProto) -> _Connections:
    outputs = {output.name for output in graph.output}
    consumers = {name: [onnx.NodeProto()] for name in outputs}
    for node in graph.node:
        for name in node.input:
            consumers.setdefault(name, []).append(node)
    return _Connections({output: node for node in graph.node for output in node.output}, consumers, outputs)


def transpose_image_before_cast(graph: onnx.GraphProto) -> None:
    """Transposes the image to NCHW as bytes and casts it to float afterwards: a quarter of the memory to move."""
    connections = _connections_of(graph)
    inputs = {value.name for value in graph.input}
    for node in graph.node:
        consumers = connections.consumers.get(node.output[0], [])
        if node.op_type != "Cast" or node.input[0] not in inputs or len(consumers) != 1:
            continue
        (transpose,) = consumers
        if connections.is_transpose(transpose, _TO_NCHW):
            between = node.output[0]
            transpose.input[0] = node.input[0]
            node.output[0], transpose.output[0] = transpose.output[0], between
            node.input[0] = between


def split_in_nchw(graph: onnx.GraphProto) -> None:
    """Splits channels in NCHW, where tf2onnx transposes to NHWC before and each part back behind."""
    connections = _connections_of(graph)
    removed: list[onnx.NodeProto] = []
    for node in graph.node:
        before = connections.producers.get(node.input[0]) if node.op_type == "Split" else None
        if (
            before is None
            or not connections.is_transpose(before, _TO_NHWC)
            or len(connections.consumers[before.output[0]]) != 1
        ):
            continue
        parts = [connections.consumers.get(output, []) for output in node.output]
        back = all(len(part) == 1 and connections.is_transpose(part[0], _TO_NCHW) for part in parts)
        if back and helper.get_node_attr_value(node, "axis") in (3, -1):
            next(attribute for attribute in node.attribute if attribute.name == "axis").i = 1
            node.input[0] = before.input[0]
            for index, (after,) in enumerate(parts):
                node.output[index] = after.output[0]
                removed.append(after)
            removed.append(before)
    for node in removed:
        graph.node.remove(node)


def resize_asymmetric(graph: onnx.GraphProto) -> None:
    """Gives nearest-neighbour upsampling by whole numbers the mode that ONNX Runtime has a fast path for.

    tf2onnx writes a deprecated mode, which picks the same pixels: floor((x + 0.5) / n) is floor(x / n).
    """
    for node in graph.node:
        for attribute in node.attribute if node.op_type == "Resize" else ():
            if attribute.name == "coordinate_transformation_mode" and attribute.s == b"tf_half_pixel_for_nn":
                attribute.s = b"asymmetric"


PASSES: tuple[Callable[[onnx.GraphProto], None], ...] = (
    transpose_image_before_cast,
    split_in_nchw,
    resize_asymmetric,
)


def optimize_layout(model: onnx.ModelProto) -> onnx.ModelProto:
    """Returns the model after all passes, changed in place; its nodes may be out of order."""
    for run in PASSES:
        run(model.graph)
    return model
