import numpy as np
import pytest

from acne_runtime.decode import decode
from acne_runtime.manifest import OutputSpec


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


def plain_decode(outputs, strides, thresholds, bins):
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
                for one, threshold in enumerate(thresholds):
                    if score[row, column, one] >= threshold:
                        found.append((*xyxy, score[row, column, one], one))
    return np.array(sorted(found, key=lambda line: line[4:])).reshape(-1, 6)


def as_table(candidates):
    table = np.column_stack([candidates.boxes, candidates.scores, candidates.classes])
    return table[np.lexsort((table[:, 5], table[:, 4]))]


@pytest.mark.parametrize(
    ("size", "strides", "thresholds", "bins"),
    [
        ((64, 64), (8,), [0.5], 16),
        ((64, 32), (8,), [0.9, 0.5, 0.2, 0.99], 16),
        ((32, 96), (8, 16, 32), [0.9, 0.5, 0.2, 0.99], 16),
        ((96, 64), (32, 8, 16), [0.6, 0.3], 8),
        ((64, 64), (16, 32), [0.7, 0.7, 0.7], 2),
        ((32, 32), (8, 16), [0.0, 1.0], 5),
        ((32, 32), (32,), [0.0, 0.0, 0.0, 0.0], 16),
    ],
)
def test_boxes_are_those_of_a_plain_loop_over_the_cells(size, strides, thresholds, bins):
    outputs = random_outputs(size, strides, len(thresholds), bins)
    got = decode(outputs, specs(*strides), np.array(thresholds, np.float32), bins)
    expected = plain_decode(outputs, strides, thresholds, bins)
    assert len(expected) > 0
    np.testing.assert_allclose(as_table(got), expected, rtol=1e-5, atol=1e-3)
    assert (got.boxes.dtype, got.scores.dtype, got.classes.dtype) == (np.float32, np.float32, np.int64)


def test_one_cell_gives_the_box_that_its_distances_say():
    bins, distances = 4, (0, 1, 2, 3)
    box = np.full((1, 3, 5, 4 * bins), -50, np.float32)
    for side, distance in enumerate(distances):
        box[0, 1, 2, side * bins + distance] = 50
    score = np.zeros((1, 3, 5, 2), np.float32)
    score[0, 1, 2, 1] = 0.75
    got = decode({"box_8": box, "score_8": score}, specs(8), np.array([0.5, 0.5], np.float32), bins)
    # The cell's centre is (20, 12).
    np.testing.assert_allclose(got.boxes, [[20 - 0, 12 - 8, 20 + 16, 12 + 24]], atol=1e-4)
    assert got.scores.tolist() == [0.75]
    assert got.classes.tolist() == [1]


def test_a_score_is_held_against_the_threshold_of_its_own_class():
    outputs = random_outputs((16, 8), (8,), 3, 4)
    outputs["score_8"][0, 0] = [[0.3, 0.3, 0.3], [0.6, 0.6, 0.6]]
    got = decode(outputs, specs(8), np.array([0.2, 0.5, 0.9], np.float32), 4)
    pairs = sorted(zip(got.classes.tolist(), got.scores.tolist(), strict=True))
    assert pairs == [(0, pytest.approx(0.3)), (0, pytest.approx(0.6)), (1, pytest.approx(0.6))]


def test_a_score_on_the_threshold_counts():
    outputs = random_outputs((8, 8), (8,), 1, 4)
    for score, found in ((np.float32(0.3), 1), (np.nextafter(np.float32(0.3), np.float32(0)), 0)):
        outputs["score_8"][:] = score
        assert len(decode(outputs, specs(8), np.array([0.3], np.float32), 4).scores) == found


def test_a_box_of_two_classes_stands_under_both():
    outputs = random_outputs((8, 8), (8,), 2, 4)
    outputs["score_8"][:] = 0.8
    got = decode(outputs, specs(8), np.array([0.5, 0.5], np.float32), 4)
    assert sorted(got.classes.tolist()) == [0, 1]
    np.testing.assert_array_equal(got.boxes[0], got.boxes[1])


@pytest.mark.parametrize("strides", [(8,), (8, 16, 32)])
def test_nothing_above_the_thresholds_gives_no_candidates(strides):
    outputs = random_outputs((64, 64), strides, 4, 16)
    for stride in strides:
        outputs[f"score_{stride}"] *= 0.5
    got = decode(outputs, specs(*strides), np.full(4, 0.6, np.float32), 16)
    assert (got.boxes.shape, got.scores.shape, got.classes.shape) == ((0, 4), (0,), (0,))
    assert (got.boxes.dtype, got.scores.dtype, got.classes.dtype) == (np.float32, np.float32, np.int64)


def test_a_stride_without_lesions_does_not_hide_the_others():
    outputs = random_outputs((64, 64), (8, 16, 32), 2, 16)
    outputs["score_8"][:] = outputs["score_32"][:] = 0
    got = decode(outputs, specs(8, 16, 32), np.array([0.5, 0.5], np.float32), 16)
    expected = plain_decode({**outputs}, (16,), [0.5, 0.5], 16)
    np.testing.assert_allclose(as_table(got), expected, rtol=1e-5, atol=1e-3)


def test_heads_are_matched_by_stride_whatever_their_order():
    outputs = random_outputs((64, 64), (8, 16, 32), 2, 16)
    thresholds = np.array([0.5, 0.7], np.float32)
    expected = decode(outputs, specs(8, 16, 32), thresholds, 16)
    got = decode(outputs, tuple(reversed(specs(8, 16, 32))), thresholds, 16)
    np.testing.assert_array_equal(as_table(got), as_table(expected))


def test_very_large_logits_stay_finite():
    outputs = random_outputs((16, 16), (8,), 1, 16)
    outputs["box_8"] *= 1e4
    assert np.isfinite(decode(outputs, specs(8), np.zeros(1, np.float32), 16).boxes).all()
