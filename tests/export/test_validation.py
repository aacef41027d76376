import numpy as np
import pytest

pytest.importorskip("tensorflow")

from acne_export.exporters import EXPORTERS
from acne_export.golden.image import golden_input, sha256
from acne_export.validation import (
    ValidationError,
    check_finite,
    check_float32,
    check_reduced,
    check_same_lesions,
    check_size,
    keras_outputs,
    non_finite_layers,
    rounding_errors,
)
from acne_runtime.result import Lesion, Result, Timing

LIMITS = EXPORTERS["tflite", "int8"].limits


@pytest.fixture(scope="module")
def source(networks, tiny):
    return keras_outputs(networks["detection"], golden_input(tiny.DETECTION.input))


@pytest.fixture(scope="module")
def rounding(networks, tiny, source):
    return rounding_errors(networks["detection"], golden_input(tiny.DETECTION.input), source)


@pytest.fixture(scope="module")
def labels(networks, tiny):
    return keras_outputs(networks["multilabel"], golden_input(tiny.MULTILABEL.input))


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


def test_the_source_itself_passes(source, rounding):
    assert check_float32(source, source, rounding) == {"max_error": 0.0}
    measured = check_reduced(source, source, LIMITS, 0.5, 16)
    assert measured["min_box_cosine"] == pytest.approx(1)
    assert measured["mean_score_error"] == 0
    assert set(measured["snr_db"]) == set(source)


def test_the_largest_error_is_reported_relative_to_the_outputs_largest_value(source, rounding):
    largest = float(np.abs(source["box_8"]).max())
    assert largest > 1
    slightly_off = changed(source, "box_8", lambda box: box + np.float32(5e-6) * largest)
    assert check_float32(source, slightly_off, rounding)["max_error"] == pytest.approx(5e-6, rel=0.1)
    slightly_off = changed(source, "score_8", lambda score: score + np.float32(5e-6))
    assert check_float32(source, slightly_off, rounding)["max_error"] == pytest.approx(5e-6, rel=0.1)


def test_a_model_whose_own_rounding_is_larger_may_be_off_by_more(source, rounding):
    assert 0 < max(rounding.values()) < 1e-4
    off = changed(source, "score_8", lambda score: score + np.float32(1e-4))
    with pytest.raises(ValidationError, match="'score_8' differs"):
        check_float32(source, off, rounding)
    assert check_float32(source, off, {**rounding, "score_8": 5e-5})["max_error"] == pytest.approx(1e-4, rel=0.1)


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
    with pytest.raises(ValidationError, match=f"'{output}' {problem}"):
        check_float32(source, changed(source, output, change), rounding)


@pytest.mark.parametrize("output", ["box_8", "score_32"])
def test_a_conversion_that_lost_an_output_is_refused(source, rounding, output):
    with pytest.raises(ValidationError, match=f"output '{output}' is missing; the file has"):
        check_float32(source, without(source, output), rounding)
    with pytest.raises(ValidationError, match=f"output '{output}' is missing; the file has"):
        check_reduced(source, without(source, output), LIMITS, 0.5, 16)


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
@pytest.mark.parametrize("check", [lambda *both: check_reduced(*both, LIMITS, 0.5, 16), check_finite])
def test_a_reduced_conversion_that_broke_is_refused_even_on_noise(source, output, change, problem, check):
    with pytest.raises(ValidationError, match=f"'{output}' {problem}"):
        check(source, changed(source, output, change))


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
def test_reduced_boxes_that_are_others_are_refused(source, change):
    with pytest.raises(ValidationError, match="'box_8' differs from the Keras model: cosine"):
        check_reduced(source, changed(source, "box_8", change), LIMITS, 0.5, 16)


@WRONG
@pytest.mark.parametrize("output", ["score_16", "score_8"])
def test_reduced_scores_that_are_others_are_refused(source, output, change):
    with pytest.raises(ValidationError, match=f"'{output}' (differ from the Keras model's|keeps 1 of)"):
        check_reduced(source, changed(source, output, change), LIMITS, 0.5, 16)


@WRONG
def test_reduced_labels_that_are_others_are_refused(labels, change):
    with pytest.raises(ValidationError, match="'label' differ from the Keras model's"):
        check_reduced(labels, changed(labels, "label", change), LIMITS, 0.5, 16)


def test_noise_may_be_answered_otherwise(source):
    check_finite(source, {name: output * 0 for name, output in source.items()})


def test_a_coarser_answer_passes_and_its_error_is_reported(source):
    rounded = {name: np.round(output * 128) / 128 for name, output in source.items()}
    measured = check_reduced(source, rounded, LIMITS, 0.5, 16)
    assert 0.999 < measured["min_box_cosine"] < 1
    assert 0 < measured["mean_score_error"] <= 1 / 256
    assert all(30 < value < 80 for value in measured["snr_db"].values())


def test_scores_that_fell_to_a_few_levels_are_refused(source):
    coarse = changed(source, "score_8", lambda score: np.round(score * 12) / 12)
    with pytest.raises(
        ValidationError, match=r"'score_8' keeps \d+ of \d+ score levels: its scores share a quantization scale"
    ):
        check_reduced(source, coarse, LIMITS, 0.5, 16)


def test_the_signal_to_noise_ratio_is_in_decibels(source):
    off = changed(source, "box_8", lambda box: box + np.float32(0.1) * np.sqrt((box**2).mean()))
    assert check_reduced(source, off, LIMITS, 0.5, 16)["snr_db"]["box_8"] == pytest.approx(20, abs=0.1)


@pytest.mark.parametrize(("share", "passes"), [(0.89, False), (0.91, True), (3.0, True)])
def test_a_float32_file_smaller_than_its_weights_is_refused(networks, share, passes):
    check = check_size, round(share * 4 * networks["detection"].count_params()), networks["detection"], None
    if passes:
        check[0](*check[1:])
    else:
        with pytest.raises(ValidationError, match=r"the model's weights alone .*: the converter lost variables"):
            check[0](*check[1:])


def test_a_reduced_file_as_large_as_float32_is_refused(networks):
    weights = 4 * networks["detection"].count_params()
    check_size(round(0.3 * weights), networks["detection"], LIMITS)
    with pytest.raises(
        ValidationError, match=r"% of the size of the float32 weights: the converter left weights unquantized"
    ):
        check_size(weights, networks["detection"], LIMITS)


def test_a_weight_that_is_no_number_is_found(networks, tiny):
    assert non_finite_layers(networks["multilabel"]) == []
    spoilt = tiny.NETWORKS["multilabel"]()
    kernel, bias = spoilt.get_layer("dense").get_weights()
    kernel[3, 4] = np.nan
    spoilt.get_layer("dense").set_weights([kernel, bias])
    assert non_finite_layers(spoilt) == ["dense"]


def result(*lesions):
    return Result("", 0, 0.0, 64, 64, "m", ("comedones", "nodules"), lesions, None, Timing(0, 0, 0))


ONE, OTHER = Lesion("comedones", 0.9, (1.0, 2.0, 10.0, 12.0)), Lesion("nodules", 0.8, (30.0, 30.0, 40.0, 44.0))


def test_the_same_lesions_in_another_order_pass():
    moved = Lesion("nodules", 0.8005, (30.2, 30.0, 40.0, 43.8))
    check_same_lesions(result(ONE, OTHER), result(moved, ONE))


@pytest.mark.parametrize(
    ("got", "problem"),
    [
        (result(ONE), "misses 1 and adds 0, such as nodules at"),
        (result(ONE, Lesion("comedones", 0.8, OTHER.box)), "misses 1 and adds 1, such as nodules at"),
        (result(ONE, Lesion("nodules", 0.7, OTHER.box)), "misses 1 and adds 1"),
        (result(ONE, Lesion("nodules", 0.8, (30.0, 30.0, 40.0, 46.0))), "misses 1 and adds 1"),
        (result(ONE, OTHER, OTHER), "misses 0 and adds 1"),
    ],
    ids=["one less", "another type", "another score", "another box", "one more"],
)
def test_other_lesions_are_refused(got, problem):
    with pytest.raises(ValidationError, match=problem):
        check_same_lesions(result(ONE, OTHER), got)
    check_same_lesions(result(ONE, OTHER), got, exact=False)


def test_coarse_steps_excuse_a_few_lesions_only():
    with pytest.raises(ValidationError, match="of 3 lesions that the runtime finds, the graph misses 3"):
        check_same_lesions(result(ONE, OTHER, OTHER), result(), exact=False)


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


@pytest.fixture(scope="module")
def sparse():
    """A trained detector's answer: nearly every score near zero, a few lesions of one type each."""
    rng = np.random.default_rng(5)
    scores = rng.uniform(0, 0.002, (1, 40, 40, 4)).astype(np.float32)
    scores[0, rng.integers(0, 40, 9), rng.integers(0, 40, 9), rng.integers(0, 3, 9)] = rng.uniform(0.1, 0.9, 9)
    return {"box_8": rng.normal(size=(1, 40, 40, 64)).astype(np.float32), "score_8": scores}


@pytest.mark.parametrize(
    "change",
    [
        lambda score: score[..., ::-1],
        lambda score: score / 2,
        lambda score: score[:, ::-1],
        lambda score: np.minimum(score, 0.05),
        lambda score: score * 0,
        lambda score: np.where(score < 0.0001, 0.4, score).astype(np.float32),
    ],
    ids=["types swapped", "halved", "upside down", "lesions cut off", "nothing left", "lesions that are none"],
)
@pytest.mark.parametrize("pair", [pair for pair in EXPORTERS if EXPORTERS[pair].limits], ids="-".join)
def test_lesions_count_among_thousands_of_scores_near_zero(sparse, change, pair):
    limits = EXPORTERS[pair].limits
    assert check_reduced(sparse, sparse, limits, 0.1, 16)["relative_score_error"] == 0
    broken = changed(sparse, "score_8", change)
    assert np.abs(broken["score_8"] - sparse["score_8"]).mean() < LIMITS.max_score_error  # the mean hardly shows it
    with pytest.raises(
        ValidationError,
        match=r"(0\.050 and above differ from the Keras model's by \d+%|'score_8' differ .* by 0\.021 on)",
    ):
        check_reduced(sparse, broken, limits, 0.1, 16)


def test_a_large_rounding_of_its_source_is_no_excuse_for_anything(source, rounding):
    off = changed(source, "score_8", lambda score: score + np.float32(2e-3))
    with pytest.raises(ValidationError, match=r"'score_8' differs from the Keras model by 0\.002, more than 0\.001"):
        check_float32(source, off, {**rounding, "score_8": 1.0})


def test_lesions_at_an_edge_of_rounding_are_the_same(tiny):
    def found(first, second):
        lesions = (
            Lesion("papules", 0.9, (first, 100.0, 20.0, 110.0)),
            Lesion("papules", 0.8, (second, 300.0, 20.0, 310.0)),
        )
        return Result("", 0, 0.0, 64, 64, "m", tiny.CLASSES, lesions, None, Timing(0, 0, 0))

    def of_types(*types):
        lesion = Lesion.of_types(tiny.CLASSES, 0.9, (0.0, 0.0, 20.0, 10.0), types)
        return Result("", 0, 0.0, 64, 64, "m", tiny.CLASSES, (lesion,), None, Timing(0, 0, 0))

    check_same_lesions(found(10.24, 10.20), found(10.26, 10.20))
    # Equal but for rounding, and so of two names.
    check_same_lesions(of_types(0.0, 0.0, 0.7, 0.7001), of_types(0.0, 0.0, 0.7001, 0.7))
    with pytest.raises(ValidationError, match="`nms`: of 1 lesions that the runtime finds, the graph misses 1"):
        check_same_lesions(of_types(0.0, 0.0, 0.7, 0.2), of_types(0.0, 0.0, 0.7, 0.21))
    with pytest.raises(ValidationError, match="`nms`: of 2 lesions that the runtime finds, the graph misses 1"):
        check_same_lesions(found(10.24, 10.20), found(11.24, 10.20))
