import numpy as np
import pytest

pytest.importorskip("tensorflow")

from acne_export.golden import golden_input, sha256
from acne_export.proof import LARGEST_INT8_SHARE, ProofError, keras_outputs, prove_float32, prove_int8, rounding_errors
from acne_runtime.backends.litert import LiteRtBackend


@pytest.fixture(scope="module")
def source(networks, tiny):
    return keras_outputs(networks["detection"], golden_input(tiny.DETECTION.input))


@pytest.fixture(scope="module")
def rounding(networks, tiny, source):
    return rounding_errors(networks["detection"], golden_input(tiny.DETECTION.input), source)


@pytest.fixture(scope="module")
def labels(networks, tiny):
    return keras_outputs(networks["multilabel"], golden_input(tiny.MULTILABEL.input))


@pytest.fixture(scope="module")
def int8(exported):
    return exported("detection", "tflite", "int8")


@pytest.fixture(scope="module")
def float32_bytes(exported):
    return exported("detection", "tflite").stat().st_size


def without(outputs, name):
    return {key: output for key, output in outputs.items() if key != name}


def changed(outputs, name, change):
    return {**outputs, name: change(outputs[name])}


def one_value(value):
    def change(output):
        output = output.copy()
        output.flat[output.size // 2] = value
        return output

    return change


def test_the_source_itself_passes(source, rounding, int8, float32_bytes):
    assert prove_float32(source, source, rounding) == {"max_error": 0.0}
    figures = prove_int8(source, source, int8, float32_bytes)
    assert figures["min_box_cosine"] == pytest.approx(1)
    assert figures["mean_score_error"] == 0


def test_the_largest_error_is_reported_relative_to_the_outputs_largest_value(source, rounding):
    largest = float(np.abs(source["box_8"]).max())
    assert largest > 1
    slightly_off = changed(source, "box_8", lambda box: box + np.float32(5e-6) * largest)
    assert prove_float32(source, slightly_off, rounding)["max_error"] == pytest.approx(5e-6, rel=0.1)
    slightly_off = changed(source, "score_8", lambda score: score + np.float32(5e-6))
    assert prove_float32(source, slightly_off, rounding)["max_error"] == pytest.approx(5e-6, rel=0.1)


def test_a_model_whose_own_rounding_is_larger_may_be_off_by_more(source, rounding):
    assert 0 < max(rounding.values()) < 1e-4
    off = changed(source, "score_8", lambda score: score + np.float32(1e-4))
    with pytest.raises(ProofError, match="'score_8' differs"):
        prove_float32(source, off, rounding)
    assert prove_float32(source, off, {**rounding, "score_8": 5e-5})["max_error"] == pytest.approx(1e-4, rel=0.1)


@pytest.mark.parametrize("output", ["box_8", "box_32", "score_16"])
@pytest.mark.parametrize(
    ("change", "problem"),
    [
        (one_value(np.nan), "is not finite"),
        (one_value(np.inf), "is not finite"),
        (lambda output: output * np.nan, "is not finite"),
        (lambda output: output[:, :1], "has shape"),
        (lambda output: output[0], "has shape"),
        (lambda output: output.reshape(1, -1, output.shape[-1]), "has shape"),
        (lambda output: np.concatenate([output, output], axis=-1), "has shape"),
        (lambda output: output + 1e-3, "differs"),
        (lambda output: output * (1 + 1e-3), "differs"),
        (lambda output: output[..., ::-1], "differs"),
        (lambda output: -output, "differs"),
        (lambda output: output * 0, "differs"),
        (one_value(99), "differs"),
    ],
    ids=[
        "one nan",
        "one inf",
        "all nan",
        "a row of cells",
        "no batch",
        "cells in one row",
        "twice as many channels",
        "shifted",
        "scaled",
        "channels swapped",
        "negated",
        "all zero",
        "one wrong value",
    ],
)
def test_a_float32_conversion_that_answers_otherwise_is_refused(source, rounding, output, change, problem):
    with pytest.raises(ProofError, match=f"'{output}' {problem}"):
        prove_float32(source, changed(source, output, change), rounding)


@pytest.mark.parametrize("output", ["box_8", "score_32"])
def test_a_conversion_that_lost_an_output_is_refused(source, rounding, int8, float32_bytes, output):
    with pytest.raises(ProofError, match=f"output '{output}' is missing; the file has"):
        prove_float32(source, without(source, output), rounding)
    with pytest.raises(ProofError, match=f"output '{output}' is missing; the file has"):
        prove_int8(source, without(source, output), int8, float32_bytes)


@pytest.mark.parametrize("output", ["box_8", "score_16"])
@pytest.mark.parametrize(
    ("change", "problem"),
    [
        (one_value(np.nan), "is not finite"),
        (lambda output: output * np.nan, "is not finite"),
        (lambda output: output[:, :1], "has shape"),
    ],
    ids=["one nan", "all nan", "a row of cells"],
)
def test_an_int8_conversion_that_broke_is_refused(source, int8, float32_bytes, output, change, problem):
    with pytest.raises(ProofError, match=f"'{output}' {problem}"):
        prove_int8(source, changed(source, output, change), int8, float32_bytes)


WRONG = pytest.mark.parametrize(
    "change",
    [
        lambda output: output * 0,
        lambda output: -output,
        lambda output: np.full_like(output, output.max()),
        lambda output: output[..., ::-1],
    ],
    ids=["all zero", "negated", "one level", "channels swapped"],
)


@WRONG
def test_int8_boxes_that_are_others_are_refused(source, int8, float32_bytes, change):
    with pytest.raises(ProofError, match="'box_8' has lost its source's shape"):
        prove_int8(source, changed(source, "box_8", change), int8, float32_bytes)


@WRONG
def test_int8_scores_that_are_others_are_refused(source, int8, float32_bytes, change):
    with pytest.raises(ProofError, match="scores differ by"):
        prove_int8(source, changed(source, "score_16", change), int8, float32_bytes)


@WRONG
def test_int8_labels_that_are_others_are_refused(labels, exported, change):
    file = exported("multilabel", "tflite", "int8")
    with pytest.raises(ProofError, match="scores differ by"):
        prove_int8(labels, changed(labels, "label", change), file, exported("multilabel", "tflite").stat().st_size)


def test_a_coarser_answer_passes_as_int8_and_its_error_is_reported(source, rounding, int8, float32_bytes):
    rounded = {name: np.round(output * 128) / 128 for name, output in source.items()}
    figures = prove_int8(source, rounded, int8, float32_bytes)
    assert 0.999 < figures["min_box_cosine"] < 1
    assert 0 < figures["mean_score_error"] <= 1 / 256


def test_a_file_with_an_unquantized_operation_is_refused_with_the_tensors_name(source, exported):
    file = exported("detection", "tflite")
    with pytest.raises(ProofError, match=r"tensor '.+' is still float32"):
        prove_int8(source, source, file, 10 * file.stat().st_size)


@pytest.mark.parametrize(("share", "passes"), [(LARGEST_INT8_SHARE - 0.01, True), (LARGEST_INT8_SHARE + 0.01, False)])
def test_a_file_too_large_to_be_int8_is_refused(source, int8, share, passes):
    float32_size = round(int8.stat().st_size / share)
    if passes:
        prove_int8(source, source, int8, float32_size)
    else:
        with pytest.raises(ProofError, match="36% of the float32 size"):
            prove_int8(source, source, int8, float32_size)


def test_the_real_int8_answer_passes(source, int8, float32_bytes, tiny):
    outputs = LiteRtBackend(int8, "cpu", 0).run(golden_input(tiny.DETECTION.input))
    figures = prove_int8(source, outputs, int8, float32_bytes)
    assert figures["min_box_cosine"] > 0.99
    assert figures["mean_score_error"] < 0.02


@pytest.mark.parametrize(("width", "height"), [(64, 64), (416, 416), (70, 33), (1, 1)])
def test_the_golden_picture_is_always_the_same(tiny, width, height):
    spec = type(tiny.DETECTION.input)("image", width, height, "stretch")
    picture = golden_input(spec)
    assert (picture.shape, picture.dtype) == ((1, height, width, 3), np.uint8)
    np.testing.assert_array_equal(picture, golden_input(spec))


def test_the_golden_picture_of_the_shipped_size_has_not_changed(tiny):
    spec = type(tiny.DETECTION.input)("image", 640, 640, "letterbox")
    picture = golden_input(spec)
    assert 120 < picture.mean() < 190
    assert sha256({"": picture}) == "e9aef5df1d3fd0e2cd4b5751ef1f0d7f296caf10b4f27dbff0a31bb6581dcc8e"


@pytest.mark.parametrize(
    "other",
    [
        {"a": np.float32([1, 2]), "b": np.float32([4])},
        {"a": np.float32([1, 2]), "c": np.float32([3])},
        {"a": np.float64([1, 2]), "b": np.float32([3])},
        {"a": np.float32([1, 2])},
    ],
    ids=["a value", "a name", "a type", "one less"],
)
def test_the_digest_changes_with_values_and_names_but_not_with_order(other):
    arrays = {"a": np.float32([1, 2]), "b": np.float32([3])}
    assert sha256(dict(reversed(arrays.items()))) == sha256(arrays)
    assert sha256(other) != sha256(arrays)
