from collections import Counter

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper

from acne_export.onnx_export.canonical import canonicalize
from acne_export.onnx_export.layout import optimize_layout

TO_NCHW, TO_NHWC = [0, 3, 1, 2], [0, 2, 3, 1]


def graph(*nodes, outputs, weights=()):
    """A graph on a uint8 photograph of 4 x 6 pixels and 3 channels."""
    image = helper.make_tensor_value_info("image", TensorProto.UINT8, [1, 4, 6, 3])
    values = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [None] * 4) for name in outputs]
    made = helper.make_graph(list(nodes), "g", [image], values, list(weights))
    return helper.make_model(made, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def node(kind, given, made, **attributes):
    return helper.make_node(kind, given.split(), made.split(), **attributes)


def answers(model):
    image = np.random.default_rng(1).integers(0, 256, (1, 4, 6, 3), np.uint8)
    return onnxruntime.InferenceSession(model.SerializeToString()).run(None, {"image": image})


def tidy(model):
    """Tidies, checks that nothing but the work changed, and counts what is left."""
    expected = answers(model)
    model = canonicalize(optimize_layout(model))
    onnx.checker.check_model(model, full_check=True)
    for one, other in zip(expected, answers(model), strict=True):
        assert np.array_equal(one, other)
    return model, Counter(node.op_type for node in model.graph.node)


def floats():
    return node("Cast", "image", "floats", to=TensorProto.FLOAT), node("Transpose", "floats", "x", perm=TO_NCHW)


def test_the_picture_is_turned_as_bytes():
    model, _ = tidy(graph(*floats(), node("Relu", "x", "y"), outputs=["y"]))
    assert [node.op_type for node in model.graph.node] == ["Transpose", "Cast", "Relu"]


@pytest.mark.parametrize("outputs", [["y", "floats"], ["y", "z"]])
def test_a_picture_that_is_needed_unturned_as_well_stays(outputs):
    other = node("Neg", "x" if "floats" in outputs else "floats", "z")
    model, _ = tidy(graph(*floats(), node("Relu", "x", "y"), other, outputs=outputs))
    assert model.graph.node[0].op_type == "Cast"


def split_in_two(axis, b_perm=TO_NCHW):
    return [
        node("Transpose", "x", "wide", perm=TO_NHWC),
        node("Split", "wide sizes", "a b", axis=axis),
        node("Transpose", "a", "a_back", perm=TO_NCHW),
        node("Transpose", "b", "b_back", perm=b_perm),
        node("Relu", "a_back", "y"),
        node("Neg", "b_back", "z"),
    ]


@pytest.mark.parametrize("axis", [3, -1])
def test_channels_are_split_where_they_lie(axis):
    sizes = helper.make_tensor("sizes", TensorProto.INT64, [2], [1, 2])
    _, left = tidy(graph(*floats(), *split_in_two(axis), outputs=["y", "z"], weights=[sizes]))
    assert left["Transpose"] == 1


@pytest.mark.parametrize(
    ("axis", "b_perm", "outputs"),
    [
        (2, TO_NCHW, ["y", "z"]),  # rows are split, not channels
        (3, [0, 1, 3, 2], ["y", "z"]),  # one part is turned another way
        (3, TO_NCHW, ["y", "z", "a"]),  # a part is wanted unturned
        (3, TO_NCHW, ["y", "z", "wide"]),  # the whole is wanted unturned
        (3, TO_NCHW, ["y", "b_back"]),  # a turned part is an answer
    ],
)
def test_other_splits_stay(axis, b_perm, outputs):
    sizes = helper.make_tensor("sizes", TensorProto.INT64, [2], [1, 2] if axis == 3 else [3, 3])
    model = graph(*floats(), *split_in_two(axis, b_perm), outputs=outputs, weights=[sizes])
    _, left = tidy(model)
    assert left["Transpose"] == 4


def test_enlarging_takes_the_form_that_is_fast():
    scales = helper.make_tensor("scales", TensorProto.FLOAT, [4], [1, 1, 2, 2])
    enlarge = node(
        "Resize",
        "x",
        "y",
        mode="nearest",
        nearest_mode="floor",
        coordinate_transformation_mode="tf_half_pixel_for_nn",
    )
    enlarge.input.extend(["", "scales"])
    model, _ = tidy(graph(*floats(), enlarge, outputs=["y"], weights=[scales]))
    (found,) = (node for node in model.graph.node if node.op_type == "Resize")
    assert helper.get_node_attr_value(found, "coordinate_transformation_mode") == b"asymmetric"
