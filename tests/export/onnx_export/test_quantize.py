from collections import Counter

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper

from acne_export.onnx_export import quantize


@pytest.fixture
def graph():
    """A convolution with a bias on a quantized input, and a swish behind it."""
    rng = np.random.default_rng(0)
    weights = {
        "kernel": rng.normal(size=(4, 3, 3, 3)).astype(np.float32),
        "bias": rng.normal(size=4).astype(np.float32),
        "scale": np.float32(1 / 128),
        "zero": np.uint8(128),
    }
    nodes = [
        helper.make_node("QuantizeLinear", ["image", "scale", "zero"], ["stored"]),
        helper.make_node("DequantizeLinear", ["stored", "scale", "zero"], ["x"]),
        helper.make_node("Conv", ["x", "kernel", "bias"], ["y"]),
        helper.make_node("Sigmoid", ["y"], ["gate"]),
        helper.make_node("Mul", ["y", "gate"], ["swish"]),
    ]
    image, swish = (
        helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)
        for name, shape in (("image", [1, 3, 8, 8]), ("swish", [1, 4, 6, 6]))
    )
    stored = [numpy_helper.from_array(np.asarray(values), name) for name, values in weights.items()]
    return helper.make_graph(nodes, "g", [image], [swish], stored)


def run(graph):
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = onnxruntime.InferenceSession(model.SerializeToString(), options)
    return session.run(None, {"image": np.random.default_rng(1).uniform(-1, 1, (1, 3, 8, 8)).astype(np.float32)})[0]


def in_order(graph):
    """Constants come first: the passes append their nodes at the end."""
    made = {output: node for node in graph.node for output in node.output}
    order = []

    def visit(name):
        node = made.pop(name, None)
        if node is not None:
            for given in node.input:
                visit(given)
            order.append(node)

    visit("swish")
    sorted_graph = onnx.GraphProto()
    sorted_graph.CopyFrom(graph)
    del sorted_graph.node[:]
    sorted_graph.node.extend(order)
    return sorted_graph


@pytest.mark.parametrize(
    ("passes", "added"),
    [
        ([quantize.quantize_weights], {"DequantizeLinear": 1}),
        ([quantize.quantize_biases], {}),  # nothing to scale them by yet
        ([quantize.quantize_weights, quantize.quantize_biases], {"DequantizeLinear": 2}),
        ([quantize.quantize_swish], {"QuantizeLinear": 1, "DequantizeLinear": 1}),
    ],
)
def test_each_pass_adds_its_nodes_and_changes_the_output_little(graph, passes, added):
    expected, before = run(graph), Counter(node.op_type for node in graph.node)
    for quantize_pass in passes:
        quantize_pass(graph)
    after = Counter(node.op_type for node in graph.node)
    assert dict(after - before) == added
    got = run(in_order(graph))
    assert np.abs(got - expected).max() < 0.02 * np.ptp(expected)
    assert np.array_equal(got, expected) == (not added)
