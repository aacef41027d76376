from itertools import combinations

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from acne_runtime.postprocess.decode import Candidates
from acne_runtime.postprocess.nms import MAX_CANDIDATES, drop_surrounding, non_max_suppression


def candidates(boxes, scores, classes, types=None):
    return Candidates(
        np.array(boxes, np.float32).reshape(-1, 4), np.array(scores, np.float32), np.array(classes, np.int64), types
    )


def saying_types(found):
    """The same boxes, of a model that says the probability of each type."""
    return found._replace(types=np.eye(10, dtype=np.float32)[found.classes])


BOTH = pytest.mark.parametrize("kind", [lambda found: found, saying_types], ids=["class by class", "all types at once"])


def overlap(a, b):
    a, b = np.float64(a), np.float64(b)
    width = max(0, min(a[2], b[2]) - max(a[0], b[0]))
    height = max(0, min(a[3], b[3]) - max(a[1], b[1]))
    both = (a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - width * height
    return width * height / both if both > 0 else 0.0


def plain_suppress(found, iou, most):
    """Every box against every box already kept."""
    order = sorted(range(len(found.scores)), key=lambda i: -found.scores[i])  # stable, as Python's sort is
    kept = []
    for i in order:
        rivals = [j for j in kept if found.types is not None or found.classes[j] == found.classes[i]]
        if all(overlap(found.boxes[i], found.boxes[j]) <= iou for j in rivals):
            kept.append(i)
    kept = kept[:most]
    return Candidates(*(None if part is None else part[kept] for part in found))


def random_candidates(count, classes, seed, *, low=-200.0, high=440.0, levels=None):
    rng = np.random.default_rng(seed)
    centres, half = rng.uniform(low, high, (count, 2)), rng.uniform(2, 60, (count, 2))
    scores = rng.uniform(0.01, 1, count) if levels is None else rng.integers(1, levels + 1, count) / levels
    return candidates(
        np.concatenate([centres - half, centres + half], axis=1), scores, rng.integers(classes, size=count)
    )


def assert_same(got, expected):
    for a, b in zip(got, expected, strict=True):
        np.testing.assert_array_equal(a, b)
        assert (a is None and b is None) or a.dtype == b.dtype


@BOTH
@pytest.mark.parametrize("iou", [0.05, 0.3, 0.6, 0.9])
@pytest.mark.parametrize(
    ("count", "classes", "low", "high"),
    [
        (1, 1, 0, 100),
        (40, 1, 0, 100),
        (300, 4, 0, 640),
        (300, 4, -200, 200),
        (200, 3, -900, -500),
        (300, 7, 0, 50),
    ],
)
def test_random_boxes_survive_as_a_plain_double_loop_says(count, classes, low, high, iou, kind):
    found = kind(random_candidates(count, classes, seed=count + classes, low=low, high=high))
    expected = plain_suppress(found, iou, 10_000)
    assert_same(non_max_suppression(found, iou, 10_000), expected)


@BOTH
@pytest.mark.parametrize("levels", [1, 2, 10])
@pytest.mark.parametrize("seed", range(3))
def test_equal_scores_keep_the_order_they_came_in(levels, seed, kind):
    found = kind(random_candidates(200, 3, seed, low=0, high=200, levels=levels))
    assert_same(non_max_suppression(found, 0.4, 10_000), plain_suppress(found, 0.4, 10_000))


@BOTH
@pytest.mark.parametrize("most", [0, 1, 5, 300])
def test_no_more_than_the_best_few_are_kept(most, kind):
    found = kind(random_candidates(400, 4, seed=9))
    got = non_max_suppression(found, 0.6, most)
    assert_same(got, plain_suppress(found, 0.6, most))
    assert len(got.scores) == min(most, len(plain_suppress(found, 0.6, 10_000).scores))


def test_survivors_come_best_score_first_over_all_classes():
    boxes = [[100 * i, 0, 100 * i + 10, 10] for i in range(5)]
    got = non_max_suppression(candidates(boxes, [0.2, 0.9, 0.5, 0.7, 0.1], [1, 0, 1, 2, 0]), 0.5, 300)
    np.testing.assert_allclose(got.scores, [0.9, 0.7, 0.5, 0.2, 0.1])
    assert got.classes.tolist() == [0, 2, 1, 1, 0]
    assert got.boxes[:, 0].tolist() == [100, 300, 200, 0, 400]


def test_no_candidates_leave_none():
    got = non_max_suppression(candidates([], [], []), 0.5, 300)
    assert (got.boxes.shape, got.scores.shape, got.classes.shape) == ((0, 4), (0,), (0,))


@pytest.mark.parametrize("shift", [-1000, -5, 0, 1000])
def test_a_lesion_of_two_types_is_kept_once_as_the_better(shift):
    box = [shift, shift, shift + 20, shift + 20]
    got = non_max_suppression(saying_types(candidates([box, box, box], [0.4, 0.8, 0.7], [0, 3, 0])), 0.5, 300)
    np.testing.assert_allclose(got.scores, [0.8])
    assert (got.classes.tolist(), got.types.argmax(axis=1).tolist()) == ([3], [3])


@pytest.mark.parametrize("shift", [-1000, -5, 0, 1000])
def test_a_box_of_two_classes_is_kept_under_both_where_no_types_are_said(shift):
    box = [shift, shift, shift + 20, shift + 20]
    got = non_max_suppression(candidates([box, box, box], [0.4, 0.8, 0.7], [0, 3, 0]), 0.5, 300)
    np.testing.assert_allclose(got.scores, [0.8, 0.7])
    assert got.classes.tolist() == [3, 0]


def test_boxes_of_one_class_that_overlap_less_than_the_limit_are_all_kept():
    # Their overlap is 10 / 190.
    boxes = [[0, 0, 10, 10], [9, 0, 19, 10]]
    assert len(non_max_suppression(candidates(boxes, [0.9, 0.8], [0, 0]), 0.06, 300).scores) == 2
    assert len(non_max_suppression(candidates(boxes, [0.9, 0.8], [0, 0]), 0.05, 300).scores) == 1


def test_an_overlap_of_exactly_the_limit_is_kept():
    boxes = [[0, 0, 8, 8], [0, 0, 4, 8]]
    assert len(non_max_suppression(candidates(boxes, [0.9, 0.8], [0, 0]), 0.5, 300).scores) == 2


def test_a_suppressed_box_suppresses_nothing():
    # Each overlaps its neighbour by a half over one and a half: the middle one falls, the last one stays.
    boxes = [[0, 0, 10, 10], [5, 0, 15, 10], [10, 0, 20, 10]]
    got = non_max_suppression(candidates(boxes, [0.9, 0.8, 0.7], [0, 0, 0]), 0.3, 300)
    np.testing.assert_allclose(got.scores, [0.9, 0.7])


def test_a_score_of_zero_is_kept_when_the_thresholds_let_it_through():
    boxes = [[0, 0, 10, 10], [50, 50, 60, 60]]
    assert len(non_max_suppression(candidates(boxes, [0.9, 0.0], [0, 0]), 0.5, 300).scores) == 2


@BOTH
def test_of_too_many_candidates_the_best_are_looked_at(kind):
    count = MAX_CANDIDATES + 50
    corners = np.stack(np.divmod(np.arange(count), 100), axis=1) * 10.0
    scores = np.linspace(0.1, 0.9, count)
    found = kind(candidates(np.concatenate([corners, corners + 5], axis=1), scores, np.zeros(count)))
    got = non_max_suppression(found, 0.5, count)
    np.testing.assert_array_equal(got.scores, found.scores[::-1][:MAX_CANDIDATES])


def test_the_candidates_themselves_are_left_alone():
    found, before = random_candidates(100, 2, seed=3), random_candidates(100, 2, seed=3)
    non_max_suppression(found, 0.5, 300)
    assert_same(found, before)


REPEATABLE = settings(derandomize=True, deadline=None, max_examples=200)


def exact_iou(a, b):
    width = max(0.0, min(a[2], b[2]) - max(a[0], b[0]))
    height = max(0.0, min(a[3], b[3]) - max(a[1], b[1]))
    both = (a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - width * height
    return width * height / both if both > 0 else 0.0


def touch(a, b):
    return bool((np.maximum(a[:2], b[:2]) <= np.minimum(a[2:], b[2:])).all())


def pairwise_ious(found):
    boxes = found.boxes.astype(np.float64).tolist()
    return [[exact_iou(a, b) for b in boxes] for a in boxes]


def double_loop_nms(found, overlaps, iou, most):
    kept = []
    for index in sorted(range(len(found.scores)), key=lambda place: -found.scores[place]):  # stable
        rivals = [other for other in kept if found.types is not None or found.classes[index] == found.classes[other]]
        if not any(overlaps[index][other] > iou for other in rivals):
            kept.append(index)
    return Candidates(*(None if part is None else part[kept[:most]] for part in found))


@st.composite
def drawn_candidates(draw, least_side):
    """Coordinates in quarters, so that areas are exact in float32; some boxes stand there twice, or half of them."""
    count, kinds, scores = draw(st.integers(1, 24)), draw(st.integers(1, 4)), draw(st.integers(1, 100))
    low, spread, longest = (draw(st.sampled_from(some)) for some in ([-900, -80, 0], [60, 1200], [8, 80, 600]))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    corners, sides = rng.integers(low, low + spread, (count, 2)), rng.integers(least_side, longest, (count, 2))
    for place in range(1, count):
        if rng.random() < 0.4:
            other = rng.integers(place)
            corners[place], sides[place] = (
                corners[other],
                np.maximum(sides[other] // [rng.integers(1, 3), 1], least_side),
            )
    boxes = np.concatenate([corners, corners + sides], axis=1).astype(np.float32) / 4
    some_scores = rng.integers(0, scores + 1, count).astype(np.float32) / scores
    types = draw(st.sampled_from([None, rng.random((count, kinds), np.float32)]))
    return Candidates(boxes, some_scores, rng.integers(0, kinds, count) if types is None else types.argmax(1), types)


@st.composite
def limits(draw, overlaps):
    """Also just above and below what two of the boxes overlap by."""
    found = sorted({point for row in overlaps for point in row if 0.01 < point < 0.98})
    near = (
        st.builds(sum, st.tuples(st.sampled_from(found), st.sampled_from([-0.002, 0.002]))) if found else st.nothing()
    )
    iou = draw(st.one_of(st.just(0.5), near, st.floats(0.01, 0.99)))
    # An exact half is computed alike by all; other limits are not held against their own rounding.
    assume(iou == 0.5 or all(abs(point - iou) > 1e-5 for row in overlaps for point in row))
    return iou


def assert_survivors_as_a_plain_double_loop_says(found, data):
    overlaps = pairwise_ious(found)
    iou, most = data.draw(limits(overlaps), "iou"), data.draw(st.integers(1, 30), "most")
    got, expected = non_max_suppression(found, iou, most), double_loop_nms(found, overlaps, iou, most)
    for one, other in zip(got, expected, strict=True):
        np.testing.assert_array_equal(one, other)


@given(drawn_candidates(least_side=1), st.data())
@REPEATABLE
def test_boxes_survive_as_a_plain_double_loop_says(found, data):
    assert_survivors_as_a_plain_double_loop_says(found, data)


@given(drawn_candidates(least_side=0), st.data())
@REPEATABLE
def test_a_box_without_area_and_another_beside_it_leave_each_other_alone(found, data):
    areas = (found.boxes[:, 2:] - found.boxes[:, :2]).prod(axis=1)
    points = [(box, one) for box, one, area in zip(found.boxes, found.classes, areas, strict=True) if area == 0]
    # What two of them overlap by is nought by nought where they touch.
    by_class = found.types is None
    assume(
        not any(
            (kind == other_kind or not by_class) and touch(a, b)
            for (a, kind), (b, other_kind) in combinations(points, 2)
        )
    )
    assert_survivors_as_a_plain_double_loop_says(found, data)


SMALL, AROUND, ASIDE, BESIDE = [20, 20, 40, 40], [5, 5, 60, 60], [36, 20, 90, 70], [100, 100, 120, 120]


@pytest.mark.parametrize(
    ("boxes", "left"),
    [
        ([SMALL, AROUND], [SMALL]),
        ([AROUND, SMALL], [AROUND, SMALL]),
        ([SMALL, ASIDE, BESIDE], [SMALL, ASIDE, BESIDE]),
        ([BESIDE, AROUND, SMALL], [BESIDE, AROUND, SMALL]),
        ([SMALL, BESIDE, AROUND], [SMALL, BESIDE]),
        ([SMALL, SMALL], [SMALL, SMALL]),
        ([], []),
    ],
    ids=["a box around", "a box inside", "a fifth inside", "a better one around", "not the next", "as large", "none"],
)
def test_of_a_lesion_with_a_second_larger_box_the_better_smaller_one_stays(boxes, left):
    scores = np.linspace(0.9, 0.5, len(boxes))
    found = candidates(boxes, scores, [0] * len(boxes))
    assert drop_surrounding(found, 0.8).boxes.tolist() == np.reshape(left, (-1, 4)).tolist()
    assert drop_surrounding(found, 1.0) is found
