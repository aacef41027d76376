import numpy as np
import pytest

from acne_monitor.comparing.matching import _UNMATCHED, assign, match


def total(cost, pairs):
    alone = len(cost) - len(pairs)
    return sum(cost[pair] for pair in pairs) + _UNMATCHED * alone


@pytest.mark.parametrize("seed", range(40))
def test_the_assignment_costs_no_more_than_scipys(seed):
    optimize = pytest.importorskip("scipy.optimize")
    rng = np.random.default_rng(seed)
    rows, columns = rng.integers(1, 30, 2)
    cost = rng.uniform(0, 2.5, (rows, columns))
    cost[rng.uniform(size=cost.shape) < 0.6] = np.inf
    pairs = assign(cost)
    assert len({row for row, _ in pairs}) == len({column for _, column in pairs}) == len(pairs)
    assert all(np.isfinite(cost[pair]) for pair in pairs)
    padded = np.full((rows, columns + rows), 1e6)
    padded[:, :columns] = np.where(np.isfinite(cost), cost, 1e6)
    padded[np.arange(rows), columns + np.arange(rows)] = _UNMATCHED
    best = padded[optimize.linear_sum_assignment(padded)].sum()
    assert total(cost, pairs) == pytest.approx(best)


def test_a_near_pair_does_not_leave_another_alone():
    """Greedy would take the nearest pair first, and the second lesion would have none."""
    expected = np.array([[100.0, 100.0], [112.0, 100.0]])
    boxes = np.array([[98, 90, 118, 110], [114, 90, 134, 110]], float)  # centres at 108 and 124
    assert match(expected, np.array([20.0, 20.0]), boxes, 640) == [(0, 0), (1, 1)]


def test_what_is_far_away_is_another_lesion():
    boxes = np.array([[150, 90, 170, 110]], float)
    assert match(np.array([[100.0, 100.0]]), np.array([20.0]), boxes, 640) == []


def test_a_large_lesion_may_move_further_than_a_small_one():
    boxes = np.array([[110, 80, 150, 120]], float)
    assert match(np.array([[105.0, 100.0]]), np.array([40.0]), boxes, 640) == [(0, 0)]
    assert match(np.array([[105.0, 100.0]]), np.array([8.0]), boxes, 640) == []


def test_nothing_matches_nothing():
    none, some = np.zeros((0, 4)), np.array([[0, 0, 9, 9]], float)
    assert match(np.zeros((0, 2)), np.zeros(0), some, 640) == [] == match(np.zeros((1, 2)), np.ones(1), none, 640)
