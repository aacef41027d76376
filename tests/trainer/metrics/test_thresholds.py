import numpy as np
import pytest

from acne_trainer.metrics.thresholds import DEFAULT, best_f1_threshold, match_positive_count


@pytest.mark.parametrize(
    ("precision", "recall", "scores", "threshold", "f1"),
    [
        ([1.0], [1.0], [0.7], 0.7, 1.0),
        ([0.5, 1.0], [1.0, 0.5], [0.2, 0.9], 0.2, 2 / 3),  # equally good: the first point stands
        ([0.4, 0.6, 1.0], [1.0, 0.9, 0.3], [0.1, 0.4, 0.8], 0.4, 0.72),
        ([0.1, 0.2, 0.9], [1.0, 1.0, 0.8], [0.01, 0.02, 0.6], 0.6, 1.44 / 1.7),
        ([0.0, 0.5], [0.0, 0.5], [0.9, 0.3], 0.3, 0.5),
        ([0.5, 0.0], [0.5, 1.0], [0.3, 0.0], 0.3, 0.5),
    ],
)
def test_the_threshold_stands_where_f1_is_highest(precision, recall, scores, threshold, f1):
    got = best_f1_threshold(np.array(precision), np.array(recall), np.array(scores))
    assert got == (threshold, pytest.approx(f1))
    assert all(type(result) is float for result in got)


@pytest.mark.parametrize("points", [0, 1, 101], ids=["no points", "one point", "a curve at zero"])
def test_a_class_never_found_keeps_the_default(points):
    nothing = np.zeros(points)
    assert best_f1_threshold(nothing, nothing, nothing) == (DEFAULT, 0.0)


def test_no_other_point_of_a_random_curve_has_a_higher_f1():
    rng = np.random.default_rng(0)
    for _ in range(50):
        precision, recall, scores = rng.random((3, 40))
        threshold, f1 = best_f1_threshold(precision, recall, scores)
        every = [2 * p * r / (p + r) for p, r in zip(precision, recall, strict=True)]
        assert f1 == pytest.approx(max(every))
        assert threshold == scores[int(np.argmax(every))]


def test_as_many_scores_of_the_reduced_model_reach_the_carried_threshold():
    rng = np.random.default_rng(2)
    exact = rng.uniform(0, 1, 200)
    reduced = 0.6 * exact + 0.1
    for threshold in (0.02, 0.3, 0.71, 0.99):
        got = match_positive_count(threshold, exact, reduced)
        assert ((reduced >= got) == (exact >= threshold)).all()
        assert type(got) is float


def test_equal_scores_fall_to_the_side_that_is_nearer_in_number():
    reduced = np.array([0.9, 0.5, 0.5, 0.5, 0.1])
    exact = np.array([0.9, 0.8, 0.7, 0.2, 0.1])
    assert match_positive_count(0.85, exact, reduced) == pytest.approx(0.7)  # one
    assert match_positive_count(0.75, exact, reduced) == pytest.approx(0.7)  # two: one is nearer than four
    assert match_positive_count(0.6, exact, reduced) == pytest.approx(0.3)  # three


@pytest.mark.parametrize(
    ("exact", "reduced"),
    [([0.1, 0.2], [0.1, 0.2]), ([0.9, 0.8], [0.9, 0.8]), ([], []), ([0.9, 0.1], [0.4, 0.4])],
    ids=["none reaches it", "all reach it", "no scores", "one score only"],
)
def test_where_the_scores_tell_nothing_the_threshold_stays(exact, reduced):
    assert match_positive_count(0.5, np.array(exact), np.array(reduced)) == 0.5
