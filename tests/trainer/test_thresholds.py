import numpy as np
import pytest

from acne_trainer.thresholds import DEFAULT, best_f1_threshold


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
    assert all(type(one) is float for one in got)


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
