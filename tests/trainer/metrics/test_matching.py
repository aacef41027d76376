import math

import numpy as np
import pytest

pytest.importorskip("faster_coco_eval")

from acne_trainer.metrics.bootstrap import resample_weights
from acne_trainer.metrics.coco_eval import IOUS, SIZE_RANGES, precision_curves
from acne_trainer.metrics.matching import average_precisions, match, match_and_rank, precision_recall
from acne_trainer.metrics.scored_image import ScoredImage

CLASS_COUNT = 3


def photograph(rng, marked, found):
    """Boxes of 4 to 60 px; half of the found ones lie near marked ones, some of them twice."""

    def boxes(count):
        corners = rng.uniform(0, 200, (count, 2))
        return np.hstack([corners, corners + rng.uniform(4, 60, (count, 2))])

    truth = boxes(marked)
    near = truth[rng.integers(marked, size=found // 2)] + rng.normal(0, 3, (found // 2, 4)) if marked else boxes(0)
    answers = np.vstack([near, boxes(found - len(near))])
    scores = np.sort(rng.random(found))[::-1]
    return ScoredImage(
        truth,
        rng.integers(CLASS_COUNT, size=marked),
        answers[rng.permutation(found)],
        rng.integers(CLASS_COUNT, size=found),
        scores,
    )


@pytest.fixture(scope="module")
def photographs():
    rng = np.random.default_rng(4)
    sizes = [
        (6, 20),
        (0, 5),
        (12, 0),
        (30, 350),
        (1, 1),
        (0, 0),
        *((int(n), 3 * int(n)) for n in rng.integers(15, size=12)),
    ]
    return [photograph(rng, *size) for size in sizes]


@pytest.fixture(scope="module")
def evaluated(photographs):
    """The evaluator's average precision, `[overlaps, classes, sides]`."""
    return precision_curves(photographs, CLASS_COUNT, list(SIZE_RANGES.values()))[0].mean(axis=1)


@pytest.mark.parametrize("place", range(0, len(IOUS), 3))
def test_average_precision_is_the_evaluators(photographs, evaluated, place):
    once = np.ones((1, len(photographs)))
    got = [average_precisions(match_and_rank(photographs, index, IOUS[place]), once)[0] for index in range(CLASS_COUNT)]
    assert min(got) > 0 or place > 6
    np.testing.assert_allclose(got, evaluated[place, :, 0], atol=1e-6)


@pytest.mark.parametrize("side", SIZE_RANGES)
def test_average_precision_of_a_size_is_the_evaluators(photographs, evaluated, side):
    once = np.ones((1, len(photographs)))
    got = [
        average_precisions(match_and_rank(photographs, index, sizes=SIZE_RANGES[side]), once)[0]
        for index in range(CLASS_COUNT)
    ]
    np.testing.assert_allclose(got, evaluated[0, :, list(SIZE_RANGES).index(side)], atol=1e-6)


def test_average_precision_of_a_resample_is_the_evaluators_on_those_photographs(photographs):
    weights = resample_weights([f"{number}.jpg" for number in range(len(photographs))], count=8)
    got = np.array([average_precisions(match_and_rank(photographs, index), weights) for index in range(CLASS_COUNT)])
    for place, times in enumerate(weights.astype(int)):
        drawn = [one for one, often in zip(photographs, times, strict=True) for _ in range(often)]
        expected = precision_curves(drawn, CLASS_COUNT)[0][0, :, :, 0].mean(axis=0)
        np.testing.assert_allclose(got[:, place], expected, atol=1e-6)


def test_a_resample_without_a_lesion_of_the_class_has_no_figure(photographs):
    weights = np.zeros((1, len(photographs)))
    weights[0, 1] = 3  # nothing is marked on it
    assert math.isnan(average_precisions(match_and_rank(photographs, 0), weights)[0])


def test_boxes_that_are_all_wrong_score_zero():
    box = np.array([[0.0, 0, 9, 9]])
    wrong = ScoredImage(box, np.array([0]), box + 50, np.array([0]), np.array([0.9]))
    assert average_precisions(match_and_rank([wrong], 0), np.ones((2, 1))).tolist() == [0, 0]


def test_the_best_box_has_the_first_choice_and_takes_the_lesion_it_overlaps_most():
    marked = np.array([[0.0, 0, 10, 10], [4, 0, 14, 10]])
    found = np.array([[3.0, 0, 13, 10], [4, 0, 14, 10], [0, 0, 10, 10]])
    assert match(marked, found, 0.5).tolist() == [1, -1, 0]
    # What does not count is taken only where nothing else can be.
    assert match(marked, found, 0.5, np.array([True, False])).tolist() == [0, 1, -1]
    assert match(marked, found, 0.9).tolist() == [-1, 1, 0]
    assert match(marked[:0], found, 0.5).tolist() == [-1, -1, -1]
    assert match(marked, found[:0], 0.5).tolist() == []


def test_precision_and_recall_are_those_of_the_best_boxes():
    marked = np.array([[0.0, 0, 10, 10], [30, 0, 40, 10]])
    found = np.array([[0.0, 0, 10, 10], [60, 0, 70, 10], [30, 0, 40, 10]])
    ranked = match_and_rank(
        [ScoredImage(marked, np.zeros(2, int), found, np.zeros(3, int), np.array([0.9, 0.8, 0.7]))], 0
    )
    precision, recall = precision_recall(ranked)
    assert precision.tolist() == pytest.approx([1, 1 / 2, 2 / 3])
    assert recall.tolist() == pytest.approx([1 / 2, 1 / 2, 1])
