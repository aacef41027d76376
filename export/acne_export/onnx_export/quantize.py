"""Turns an ONNX graph whose activations bear quantization ranges into an int8 graph in QDQ form.

tf2onnx makes a `QuantizeLinear` and a `DequantizeLinear` of each range that `fake_quant` put in. What is left is to
store weights as int8, one scale a channel, and to bound the sigmoid in each swish, whose range is known: 0 to 1. ONNX
Runtime fuses the rest when it loads the file.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper, numpy_helper

_CHANNEL_AXIS = {"Conv": 0, "Gemm": 0, "MatMul": 1}
"""Where the output channels are in an operation's weights; Gemm's as `transB` lays them out."""
_SIGMOID_SCALE = 1 / 256


def quantized(model: onnx.ModelProto) -> onnx.ModelProto:
    """Returns the graph with int8 weights and int32 biases.

    Args:
        model: A float32 graph with `QuantizeLinear` and `DequantizeLinear` around its activations.
    """
    graph = model.graph
    weights = {weight.name: weight for weight in graph.initializer}
    maker = {output: node for node in graph.node for output in node.output}
    added: list[onnx.NodeProto] = []

    def constant(name: str, values: NDArray[Any] | np.generic) -> str:
        graph.initializer.append(numpy_helper.from_array(np.asarray(values), name))
        return name

    def dequantized(base: str, stored: NDArray[Any], scale: NDArray[np.float32], axis: int) -> str:
        """Returns the name of a float tensor that the graph makes of integers stored with one scale a channel."""
        parts = [
            constant(f"{base}_{stored.dtype}", stored),
            constant(f"{base}_scale", scale),
            constant(f"{base}_zero", np.zeros(len(scale), stored.dtype)),
        ]
        added.append(helper.make_node("DequantizeLinear", parts, [f"{base}_float"], axis=axis))
        return f"{base}_float"

    for node in graph.node:
        if node.op_type in _CHANNEL_AXIS and node.input[1] in weights:
            axis = _CHANNEL_AXIS[node.op_type]
            if node.op_type == "Gemm" and not any(one.name == "transB" and one.i for one in node.attribute):
                axis = 1
            kernel = numpy_helper.to_array(weights[node.input[1]])
            scale, stored = _per_channel(kernel, axis)
            node.input[1] = dequantized(f"{node.output[0]}_weight", stored, scale, axis)
            activation = maker.get(node.input[0])
            with_bias = len(node.input) > 2 and node.input[2] in weights
            if with_bias and activation is not None and activation.op_type == "DequantizeLinear":
                given = numpy_helper.to_array(weights[activation.input[1]])
                bias = numpy_helper.to_array(weights[node.input[2]]).astype(np.float64)
                both = (given * scale).astype(np.float32)
                limit = np.iinfo(np.int32).max
                stored = np.clip(np.round(bias / both), -limit, limit).astype(np.int32)
                node.input[2] = dequantized(f"{node.output[0]}_bias", stored, both, 0)

    for node in [node for node in graph.node if _is_in_swish(node, graph.node)]:
        output = node.output[0]
        base = f"{output}_range"
        parts = [constant(f"{base}_scale", np.float32(_SIGMOID_SCALE)), constant(f"{base}_zero", np.uint8(0))]
        for user in graph.node:
            for place, name in enumerate(user.input):
                if name == output:
                    user.input[place] = f"{base}_float"
        added.append(helper.make_node("QuantizeLinear", [output, *parts], [f"{base}_uint8"]))
        added.append(helper.make_node("DequantizeLinear", [f"{base}_uint8", *parts], [f"{base}_float"]))
    graph.node.extend(added)  # `settled` puts them in order and drops the float weights
    return model


def _is_in_swish(node: onnx.NodeProto, others: Iterable[onnx.NodeProto]) -> bool:
    """Says whether a node is the sigmoid in x * sigmoid(x); all others are answers."""
    return node.op_type == "Sigmoid" and any(
        {node.input[0], node.output[0]} == set(other.input) for other in others if other.op_type == "Mul"
    )


def _per_channel(kernel: NDArray[np.float32], axis: int) -> tuple[NDArray[np.float32], NDArray[np.int8]]:
    """Returns one scale a channel, and the kernel in steps of it, -127 to 127."""
    others = tuple(one for one in range(kernel.ndim) if one != axis)
    scale = np.maximum(np.abs(kernel).max(axis=others), 1e-12).astype(np.float32) / np.float32(127)
    wide = [-1 if one == axis else 1 for one in range(kernel.ndim)]
    return scale, np.round(kernel / scale.reshape(wide)).astype(np.int8)
