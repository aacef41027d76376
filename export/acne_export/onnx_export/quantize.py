"""Turns an ONNX graph whose activations have quantization ranges into an int8 graph in QDQ form.

tf2onnx makes a `QuantizeLinear` and a `DequantizeLinear` of each range that `fake_quant` inserted. What is left is to
store weights as int8 with one scale per channel, and to quantize the sigmoid in each swish, whose range is known: 0 to
1. ONNX Runtime fuses the rest when it loads the file.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper, numpy_helper

from acne_export.quantization.per_channel import quantize_per_channel

_CHANNEL_AXIS = {"Conv": 0, "Gemm": 0, "MatMul": 1}
"""Where the output channels are in an operation's weights; Gemm's with `transB`."""
_SIGMOID_SCALE = 1 / 256


def quantize_weights(graph: onnx.GraphProto) -> None:
    """Stores the weights of convolutions and matrix products as int8, one scale per output channel."""
    weights = {weight.name: weight for weight in graph.initializer}
    for node in list(graph.node):
        if node.op_type in _CHANNEL_AXIS and node.input[1] in weights:
            axis = _channel_axis(node)
            kernel = numpy_helper.to_array(weights[node.input[1]])
            scale, stored = quantize_per_channel(kernel, tuple(index for index in range(kernel.ndim) if index != axis))
            node.input[1] = _add_dequantized(graph, f"{node.output[0]}_weight", stored, scale.ravel(), axis)


def quantize_biases(graph: onnx.GraphProto) -> None:
    """Stores biases as int32 in steps of the input's scale times the weights' scale.

    Comes after `quantize_weights`. A bias whose operation takes a float32 input stays float32.
    """
    weights = {weight.name: weight for weight in graph.initializer}
    producers = {output: node for node in graph.node for output in node.output}
    for node in list(graph.node):
        if node.op_type not in _CHANNEL_AXIS or len(node.input) < 3 or node.input[2] not in weights:
            continue
        activation, kernel = producers.get(node.input[0]), producers.get(node.input[1])
        made = [node for node in (activation, kernel) if node is not None and node.op_type == "DequantizeLinear"]
        if len(made) < 2:
            continue
        input_scale, kernel_scale = (numpy_helper.to_array(weights[dequantize.input[1]]) for dequantize in made)
        scale = (input_scale * kernel_scale).astype(np.float32)
        bias = numpy_helper.to_array(weights[node.input[2]]).astype(np.float64)
        limit = np.iinfo(np.int32).max
        stored = np.clip(np.round(bias / scale), -limit, limit).astype(np.int32)
        node.input[2] = _add_dequantized(graph, f"{node.output[0]}_bias", stored, scale, 0)


def quantize_swish(graph: onnx.GraphProto) -> None:
    """Quantizes the sigmoid in each swish to uint8 steps of 1/256."""
    for node in [node for node in graph.node if _is_in_swish(node, graph.node)]:
        output = node.output[0]
        base = f"{output}_range"
        parts = [
            _add_constant(graph, f"{base}_scale", np.float32(_SIGMOID_SCALE)),
            _add_constant(graph, f"{base}_zero", np.uint8(0)),
        ]
        for consumer in graph.node:
            for index, name in enumerate(consumer.input):
                if name == output:
                    consumer.input[index] = f"{base}_float"
        graph.node.append(helper.make_node("QuantizeLinear", [output, *parts], [f"{base}_uint8"]))
        graph.node.append(helper.make_node("DequantizeLinear", [f"{base}_uint8", *parts], [f"{base}_float"]))


PASSES: tuple[Callable[[onnx.GraphProto], None], ...] = (quantize_weights, quantize_biases, quantize_swish)


def quantize_qdq(model: onnx.ModelProto) -> onnx.ModelProto:
    """Returns the model with int8 weights and int32 biases, changed in place.

    Its nodes are out of order and the float32 weights are still there; `canonicalize` orders and drops them.

    Args:
        model: A float32 graph with `QuantizeLinear` and `DequantizeLinear` around its activations.
    """
    for run in PASSES:
        run(model.graph)
    return model


def _add_constant(graph: onnx.GraphProto, name: str, values: NDArray[Any] | np.generic) -> str:
    graph.initializer.append(numpy_helper.from_array(np.asarray(values), name))
    return name


def _add_dequantized(
    graph: onnx.GraphProto, base: str, stored: NDArray[Any], scale: NDArray[np.float32], axis: int
) -> str:
    """Adds integers with one scale per channel, and returns the name of the float tensor made of them."""
    parts = [
        _add_constant(graph, f"{base}_{stored.dtype}", stored),
        _add_constant(graph, f"{base}_scale", scale),
        _add_constant(graph, f"{base}_zero", np.zeros(len(scale), stored.dtype)),
    ]
    graph.node.append(helper.make_node("DequantizeLinear", parts, [f"{base}_float"], axis=axis))
    return f"{base}_float"


def _channel_axis(node: onnx.NodeProto) -> int:
    transposed = any(attribute.name == "transB" and attribute.i for attribute in node.attribute)
    return 1 if node.op_type == "Gemm" and not transposed else _CHANNEL_AXIS[node.op_type]


def _is_in_swish(node: onnx.NodeProto, others: Iterable[onnx.NodeProto]) -> bool:
    """Returns whether a node is the sigmoid in x * sigmoid(x); all other sigmoids are outputs."""
    return node.op_type == "Sigmoid" and any(
        {node.input[0], node.output[0]} == set(other.input) for other in others if other.op_type == "Mul"
    )
