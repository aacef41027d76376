import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from acne_runtime.manifest import OutputSpec
from acne_runtime.postprocess.decode import decode, lesion_scores


def specs(*strides):
    return tuple(OutputSpec(f"{kind}_{s}", kind, s) for kind in ("box", "score") for s in strides)


def random_outputs(size, strides, classes, bins, seed=0):
    rng = np.random.default_rng(seed)
    outputs = {}
    for stride in strides:
        rows, columns = size[1] // stride, size[0] // stride
        outputs[f"box_{stride}"] = rng.normal(0, 3, (1, rows, columns, 4 * bins)).astype(np.float32)
        outputs[f"score_{stride}"] = rng.random((1, rows, columns, classes), dtype=np.float32)
    return outputs


def plain_score(types):
    """One type after the other, in float32."""
    absent = np.float32(1)
    for probability in types:
        absent = np.float32(absent * np.float32(np.float32(1) - probability))
    return np.float32(np.float32(1) - absent)


def plain_decode(outputs, strides, threshold, bins):
    """Cell by cell, side by side, in the words of the paper."""
    found = []
    for stride in strides:
        box, score = outputs[f"box_{stride}"][0].astype(np.float64), outputs[f"score_{stride}"][0]
        for row in range(score.shape[0]):
            for column in range(score.shape[1]):
                sides = []
                for side in range(4):
                    logits = box[row, column, side * bins : (side + 1) * bins]
                    weights = [np.exp(logit - max(logits)) for logit in logits]
                    sides.append(sum(k * weight for k, weight in enumerate(weights)) / sum(weights))
                x, y = column + 0.5, row + 0.5
                left, top, right, bottom = sides
                xyxy = [v * stride for v in (x - left, y - top, x + right, y + bottom)]
                lesion = plain_score(score[row, column])
                if lesion >= np.float32(threshold):
                    found.append((*xyxy, lesion, np.argmax(score[row, column]), *score[row, column]))
    return np.array(sorted(found, key=lambda line: line[4:]))


def as_table(candidates):
    table = np.column_stack([candidates.boxes, candidates.scores, candidates.classes, candidates.types])
    return table[np.lexsort(table.T[:3:-1])]


@pytest.mark.parametrize(
    ("size", "strides", "threshold", "classes", "bins"),
    [
        ((64, 64), (8,), 0.5, 1, 16),
        ((64, 32), (8,), 0.9, 4, 16),
        ((32, 96), (8, 16, 32), 0.97, 4, 16),
        ((96, 64), (32, 8, 16), 0.6, 2, 8),
        ((64, 64), (16, 32), 0.7, 3, 2),
        ((32, 32), (8, 16), 0.0, 2, 5),
        ((32, 32), (32,), 0.001, 4, 16),
        ((64, 64), (8, 16), 0.9999, 7, 4),
    ],
)
def test_boxes_are_those_of_a_plain_loop_over_the_cells(size, strides, threshold, classes, bins):
    outputs = random_outputs(size, strides, classes, bins)
    got = decode(outputs, specs(*strides), np.float32(threshold), bins)
    expected = plain_decode(outputs, strides, threshold, bins)
    assert len(expected) > 0
    np.testing.assert_allclose(as_table(got), expected, rtol=1e-5, atol=1e-3)
    np.testing.assert_array_equal(np.sort(got.scores), np.sort(expected[:, 4].astype(np.float32)))
    assert [part.dtype for part in got] == [np.float32, np.float32, np.int64, np.float32]


def test_one_cell_gives_the_box_that_its_distances_say():
    bins, distances = 4, (0, 1, 2, 3)
    box = np.full((1, 3, 5, 4 * bins), -50, np.float32)
    for side, distance in enumerate(distances):
        box[0, 1, 2, side * bins + distance] = 50
    score = np.zeros((1, 3, 5, 2), np.float32)
    score[0, 1, 2, 1] = 0.75
    got = decode({"box_8": box, "score_8": score}, specs(8), np.float32(0.5), bins)
    # The cell's centre is (20, 12).
    np.testing.assert_allclose(got.boxes, [[20 - 0, 12 - 8, 20 + 16, 12 + 24]], atol=1e-4)
    assert got.scores.tolist() == [0.75]
    assert got.classes.tolist() == [1]
    assert got.types.tolist() == [[0, 0.75]]


@pytest.mark.parametrize(
    ("types", "score"),
    [
        ([0.0, 0.0, 0.0, 0.0], 0.0),
        ([0.5], 0.5),
        ([0.5, 0.5], 0.75),
        ([0.1, 0.2, 0.3, 0.4], 1 - 0.9 * 0.8 * 0.7 * 0.6),
        ([1.0, 0.3], 1.0),
        ([0.5, 1.5], np.nan),
        ([1.5, 1.5], np.nan),
        ([0.9, -9.0], np.nan),
        ([0.9, np.nan], np.nan),
    ],
    ids=str,
)
def test_a_lesion_is_there_unless_every_type_is_absent(types, score):
    got = lesion_scores(np.float32([types]))
    assert got.dtype == np.float32
    np.testing.assert_allclose(got, [score], rtol=1e-6)


@pytest.mark.parametrize("classes", [1, 2, 4, 9])
@pytest.mark.parametrize("least", [1e-6, 0.001, 0.03, 0.3, 0.7, 0.99, 0.999999, 1.0])
def test_a_score_on_the_threshold_counts_and_one_a_hair_below_does_not(classes, least):
    """Also where all types are alike, so that the largest of them is as small as it can be."""
    largest = 1 - (1 - least) ** (1 / classes)
    outputs = random_outputs((64, 64), (8,), classes, 4)
    alike = np.float32(largest) * np.linspace(0.999999, 1.000001, 64, dtype=np.float32)
    outputs["score_8"][:] = np.minimum(alike, 1).reshape(1, 8, 8, 1)
    outputs["score_8"][0, 0, :4] *= np.eye(classes, dtype=np.float32)[0]
    scores = lesion_scores(outputs["score_8"].reshape(-1, classes))
    for threshold in np.unique(scores[scores > 0]):
        assert (decode(outputs, specs(8), threshold, 4).scores >= threshold).all()
        assert len(decode(outputs, specs(8), threshold, 4).scores) == (scores >= threshold).sum()


def test_a_cell_of_several_types_gives_one_box_that_says_them_all():
    outputs = random_outputs((8, 8), (8,), 3, 4)
    outputs["score_8"][:] = [0.6, 0.8, 0.1]
    got = decode(outputs, specs(8), np.float32(0.5), 4)
    assert (got.boxes.shape, got.classes.tolist()) == ((1, 4), [1])
    assert got.types.tolist() == [pytest.approx([0.6, 0.8, 0.1])]
    assert got.scores.tolist() == pytest.approx([1 - 0.4 * 0.2 * 0.9])


def test_types_that_do_not_reach_the_threshold_alone_make_a_lesion_together():
    outputs = random_outputs((8, 8), (8,), 4, 4)
    outputs["score_8"][:] = 0.2
    assert len(decode(outputs, specs(8), np.float32(0.59), 4).scores) == 1
    assert len(decode(outputs, specs(8), np.float32(0.6), 4).scores) == 0


@pytest.mark.parametrize("strides", [(8,), (8, 16, 32)])
@pytest.mark.parametrize("share", [0.0, 0.5])
def test_nothing_above_the_threshold_gives_no_candidates(strides, share):
    outputs = random_outputs((64, 64), strides, 4, 16)
    for stride in strides:
        outputs[f"score_{stride}"] *= share
    got = decode(outputs, specs(*strides), np.float32(0.95), 16)
    assert [part.shape for part in got] == [(0, 4), (0,), (0,), (0, 4)]
    assert [part.dtype for part in got] == [np.float32, np.float32, np.int64, np.float32]


def test_a_stride_without_lesions_does_not_hide_the_others():
    outputs = random_outputs((64, 64), (8, 16, 32), 2, 16)
    outputs["score_8"][:] = outputs["score_32"][:] = 0
    got = decode(outputs, specs(8, 16, 32), np.float32(0.5), 16)
    expected = plain_decode({**outputs}, (16,), 0.5, 16)
    np.testing.assert_allclose(as_table(got), expected, rtol=1e-5, atol=1e-3)


def test_heads_are_matched_by_stride_whatever_their_order():
    outputs = random_outputs((64, 64), (8, 16, 32), 2, 16)
    expected = decode(outputs, specs(8, 16, 32), np.float32(0.7), 16)
    got = decode(outputs, tuple(reversed(specs(8, 16, 32))), np.float32(0.7), 16)
    np.testing.assert_array_equal(as_table(got), as_table(expected))


def test_very_large_logits_stay_finite():
    outputs = random_outputs((16, 16), (8,), 1, 16)
    outputs["box_8"] *= 1e4
    assert np.isfinite(decode(outputs, specs(8), np.float32(0), 16).boxes).all()


REPEATABLE = settings(derandomize=True, deadline=None, max_examples=200)


@given(
    st.integers(0, 2**32 - 1),
    st.integers(1, 3),
    st.integers(1, 3),
    st.floats(0.1, 30),
    st.integers(1, 5),
    st.floats(0, 1, width=32),
)
@settings(REPEATABLE, max_examples=40)
def test_boxes_are_those_that_kerascv_decodes(seed, rows, columns, spread, classes, least):
    pytest.importorskip("keras_cv")
    from keras_cv.src.models.object_detection.yolo_v8 import yolo_v8_detector as kerascv

    height, width, strides, channels = 32 * rows, 32 * columns, (8, 16, 32), kerascv.BOX_REGRESSION_CHANNELS
    rng = np.random.default_rng(seed)
    outputs, logits, scores = {}, [], []
    for stride in strides:
        grid = (1, height // stride, width // stride)
        outputs[f"box_{stride}"] = rng.normal(0, spread, (*grid, channels)).astype(np.float32)
        outputs[f"score_{stride}"] = rng.random((*grid, classes), dtype=np.float32)
        logits.append(outputs[f"box_{stride}"].reshape(1, -1, channels))
        scores.append(outputs[f"score_{stride}"].reshape(-1, classes))

    distances = kerascv.decode_regression_to_boxes(np.concatenate(logits, axis=1))
    anchors, anchor_strides = kerascv.get_anchors((height, width, 3), strides)
    boxes = np.asarray(kerascv.dist2bbox(distances, anchors) * anchor_strides[:, None])[0]
    scores = np.concatenate(scores)
    lesions = lesion_scores(scores)
    (cells,) = np.nonzero(lesions >= np.float32(least))

    specs = tuple(OutputSpec(f"{kind}_{stride}", kind, stride) for kind in ("box", "score") for stride in strides)
    got = decode(outputs, specs, np.float32(least), channels // 4)
    np.testing.assert_allclose(got.boxes, boxes[cells], rtol=0, atol=1e-3)
    np.testing.assert_array_equal(got.scores, lesions[cells])
    np.testing.assert_array_equal(got.types, scores[cells])
    np.testing.assert_array_equal(got.classes, scores[cells].argmax(axis=1))


@given(st.integers(0, 2**32 - 1), st.integers(1, 8), st.floats(0, 1, width=32), st.floats(1e-6, 1))
@REPEATABLE
def test_the_first_comparison_loses_no_lesion(seed, classes, least, spread):
    """Probabilities near the smallest that could still make a lesion together, and one-sided ones."""
    rng = np.random.default_rng(seed)
    near = 1 - (1 - float(least)) ** (1 / classes)
    types = np.clip(near + spread * 1e-4 * rng.normal(size=(400, classes)), 0, 1).astype(np.float32)
    types[:50] *= rng.random((50, classes)) < 0.5
    outputs = {"box_8": np.zeros((1, 20, 20, 8), np.float32), "score_8": types.reshape(1, 20, 20, classes)}
    got = decode(outputs, (OutputSpec("box_8", "box", 8), OutputSpec("score_8", "score", 8)), np.float32(least), 2)
    expected = lesion_scores(types)
    np.testing.assert_array_equal(got.scores, expected[expected >= np.float32(least)])
