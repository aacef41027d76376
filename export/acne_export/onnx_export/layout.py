"""Mends what tf2onnx leaves behind where Keras' NHWC meets ONNX's NCHW, without changing an answer."""

from __future__ import annotations

import onnx

_TO_NCHW, _TO_NHWC = [0, 3, 1, 2], [0, 2, 3, 1]


def tidied(model: onnx.ModelProto) -> onnx.ModelProto:
    """Returns the graph with less to move; its nodes are out of order.

    - The picture is turned to NCHW as bytes, and then made float: a quarter of the memory to move.
    - Channels are split where they lie, not turned to NHWC for it and each part back.
    - Enlarging by whole numbers names the form that ONNX Runtime has a fast path for. tf2onnx names a deprecated one,
      which picks the same pixels: floor((x + 0.5) / n) is floor(x / n).
    """
    graph = model.graph
    outputs = {output.name for output in graph.output}
    inputs = {value.name for value in graph.input}
    users = {name: [onnx.NodeProto()] for name in outputs}  # whoever asked counts as a user
    for node in graph.node:
        for name in node.input:
            users.setdefault(name, []).append(node)
    maker = {output: node for node in graph.node for output in node.output}
    gone: list[onnx.NodeProto] = []

    def turned(node: onnx.NodeProto | None, order: list[int]) -> bool:
        return (
            node is not None
            and node.op_type == "Transpose"
            and onnx.helper.get_node_attr_value(node, "perm") == order
            and node.output[0] not in outputs
        )

    for node in graph.node:
        if node.op_type == "Cast" and node.input[0] in inputs and len(users.get(node.output[0], ())) == 1:
            (turn,) = users[node.output[0]]
            if turned(turn, _TO_NCHW):
                floats, turn.input[0] = node.output[0], node.input[0]
                node.output[0], turn.output[0] = turn.output[0], floats
                node.input[0] = floats
        elif node.op_type == "Split" and turned(maker.get(node.input[0]), _TO_NHWC):
            before, parts = maker[node.input[0]], [users.get(output, []) for output in node.output]
            axis = onnx.helper.get_node_attr_value(node, "axis")
            alone = len(users[before.output[0]]) == 1
            if alone and axis in (3, -1) and all(len(part) == 1 and turned(part[0], _TO_NCHW) for part in parts):
                next(one for one in node.attribute if one.name == "axis").i = 1
                node.input[0] = before.input[0]
                for place, (after,) in enumerate(parts):
                    node.output[place] = after.output[0]
                    gone.append(after)
                gone.append(before)
        elif node.op_type == "Resize":
            for one in node.attribute:
                if one.name == "coordinate_transformation_mode" and one.s == b"tf_half_pixel_for_nn":
                    one.s = b"asymmetric"
    for node in gone:
        graph.node.remove(node)
    return model
