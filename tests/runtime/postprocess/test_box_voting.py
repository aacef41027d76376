import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from acne_runtime.postprocess.box_voting import MAX_VOTERS, vote_on_boxes
from acne_runtime.postprocess.decode import Candidates
from acne_runtime.postprocess.nms import non_max_suppression

OWN, NEAR, FAR = [100, 100, 140, 140], [104, 100, 144, 140], [300, 300, 340, 340]


def candidates(boxes, scores):
    scores = np.array(scores, np.float32)
    types = np.stack([scores, np.zeros_like(scores)], axis=1)
    return Candidates(np.array(boxes, np.float32).reshape(-1, 4), scores, np.zeros(len(scores), np.int64), types)


def plain_vote(own, found, iou_threshold, min_score):
    """The formula of the module's docstring, one pair at a time, in double precision."""
    total, mean = 0.0, np.zeros(4)
    for box, score in zip(np.float64(found.boxes), np.float64(found.scores), strict=True):
        sides = np.clip(np.minimum(own[2:], box[2:]) - np.maximum(own[:2], box[:2]), 0, None)
        overlap = sides.prod()
        iou = overlap / ((own[2:] - own[:2]).prod() + (box[2:] - box[:2]).prod() - overlap)
        weight = max(0, iou - iou_threshold) * max(0, score - min_score)
        total, mean = total + weight, mean + weight * box
    return total, mean / total if total else own


def test_a_box_is_the_weighted_mean_of_those_that_overlap_it():
    found = candidates([OWN, NEAR, FAR], [0.9, 0.6, 0.8])
    voted = vote_on_boxes(found.take([0, 2]), found, 0.35, 0.1)
    iou = 36 / 44
    own, near = (1 - 0.35) * 0.8, (iou - 0.35) * 0.5
    moved = 4 * near / (own + near)
    np.testing.assert_allclose(voted.boxes, [[100 + moved, 100, 140 + moved, 140], FAR], rtol=1e-6)
    assert voted.scores.tolist() == found.scores[[0, 2]].tolist()  # scores and types stay
    assert voted.types.tolist() == found.types[[0, 2]].tolist()


@pytest.mark.parametrize(
    ("scores", "min_score"),
    [([0.9, 0.1], 0.1), ([0.05, 0.04], 0.1), ([0.9, 0.9], 1.0)],
    ids=["the neighbour is too faint", "all are too faint", "nobody votes"],
)
def test_who_does_not_vote_moves_nothing(scores, min_score):
    found = candidates([OWN, NEAR], scores)
    assert vote_on_boxes(found.take([0]), found, 0.35, min_score).boxes.tolist() == [OWN]


@pytest.mark.parametrize("kept", [[], [0]], ids=["nothing found", "one without candidates"])
def test_nothing_to_vote_on_or_by(kept):
    found = candidates([OWN], [0.9])
    few = found.take([]) if kept else found
    assert vote_on_boxes(found.take(np.array(kept, int)), few, 0.35, 0.1).boxes.tolist() == [OWN][: len(kept)]


boxes = st.lists(
    st.tuples(*[st.floats(0, 200, width=32)] * 2, *[st.floats(4, 60, width=32)] * 2, st.floats(0, 1, width=32)),
    min_size=1,
    max_size=30,
)


@settings(max_examples=200, deadline=None)
@given(boxes, st.floats(0.05, 0.9), st.floats(0, 1))
def test_it_is_the_formula(drawn, iou, min_score):
    x, y, width, height, scores = np.array(drawn, np.float32).T
    found = candidates(np.stack([x, y, x + width, y + height], axis=1), scores)
    kept = non_max_suppression(found, iou, 300)
    voted = vote_on_boxes(kept, found, iou, min_score)
    for own, got in zip(np.float64(kept.boxes), voted.boxes, strict=True):
        total, expected = plain_vote(own, found, iou, min_score)
        if total == 0 or total > 1e-3:  # others are the rounding of float32
            np.testing.assert_allclose(got, expected, atol=0.05)


def test_it_is_continuous_where_a_candidate_starts_to_count():
    near = np.array(NEAR, np.float32)
    iou = 36 / 44
    for change in (-1e-5, 1e-5):
        found = candidates([OWN, near], [0.9, 0.6])
        voted = vote_on_boxes(found.take([0]), found, iou + change, 0.1)
        np.testing.assert_allclose(voted.boxes, [OWN], atol=1e-3)
        found = candidates([OWN, near], [0.9, 0.3 + change])
        np.testing.assert_allclose(vote_on_boxes(found.take([0]), found, 0.35, 0.3).boxes, [OWN], atol=1e-3)


def test_of_very_many_the_best_vote():
    count = MAX_VOTERS + 10
    found = candidates([OWN] * MAX_VOTERS + [NEAR] * 10, np.linspace(0.9, 0.5, count))
    assert vote_on_boxes(found.take([0]), found, 0.35, 0.1).boxes.tolist() == [OWN]
    less = candidates([OWN] * 10 + [NEAR] * 10, np.linspace(0.9, 0.5, 20))
    assert vote_on_boxes(less.take([0]), less, 0.35, 0.1).boxes[0, 0] > 101
