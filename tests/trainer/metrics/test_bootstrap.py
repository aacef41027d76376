import math

import numpy as np
import pytest

pytest.importorskip("scipy")

from acne_trainer.data.source_names import source_of
from acne_trainer.metrics.bootstrap import (
    percentile_interval,
    resample_weights,
    weighted_means,
    wilson_interval,
)


@pytest.mark.parametrize(
    ("name", "source"),
    [
        ("42_jpg.rf.ac939613b601bacfae6bc5860d3a1983.jpg", "42"),
        ("01F3_jpeg_jpg.rf.aa9ab174.jpg", "01F3"),
        ("01F3_jpeg.rf.5aed8ef1.jpg", "01F3"),
        ("levle0_101_JPG.rf.5cf5.png", "levle0_101"),
        ("a.rf.b.c_png.rf.0a.jpg", "a.rf.b.c"),
        ("IMG_jpg_7232_jpg.rf.0a.jpg", "IMG_jpg_7232"),
        ("plain_jpg.jpg", "plain_jpg.jpg"),
        ("no ending", "no ending"),
    ],
)
def test_a_name_tells_the_photograph_that_it_was_made_from(name, source):
    assert source_of(name) == source


def test_images_of_one_group_stand_equally_often_in_a_resample():
    weights = resample_weights(["a", "b", "a", "c"], count=500)
    assert weights.shape == (500, 4)
    np.testing.assert_array_equal(weights[:, 0], weights[:, 2])
    np.testing.assert_array_equal(weights[:, [0, 1, 3]].sum(axis=1), 3)  # as many sources as there are
    assert weights.mean(axis=0) == pytest.approx([1, 1, 1, 1], abs=0.1)
    np.testing.assert_array_equal(resample_weights(["x", "y"]), resample_weights(["x", "y"]))


def test_the_mean_of_a_resample_is_that_of_the_values_drawn():
    weights = np.array([[2.0, 0, 1], [0, 0, 0]])
    got = weighted_means(np.array([[3.0, 5, 9], [1, 1, 1]]), weights)
    assert got[:, 0].tolist() == [5, 1]
    assert np.isnan(got[:, 1]).all()


def test_the_interval_of_a_mean_is_as_wide_as_theory_has_it():
    values = np.random.default_rng(2).normal(5, 2, 400)
    drawn = weighted_means(values, resample_weights([str(n) for n in range(400)], count=2000))
    low, high = percentile_interval(drawn)
    half = 1.96 * values.std() / 20
    assert (low, high) == pytest.approx((values.mean() - half, values.mean() + half), abs=0.02)


def test_resamples_without_a_figure_do_not_count():
    assert percentile_interval(np.array([1.0, math.nan, 1.0])) == [1, 1]
    assert np.isnan(percentile_interval(np.array([math.nan]))).all()


def test_wilsons_interval_without_a_trial_is_none():
    assert wilson_interval(42, 51) == pytest.approx([0.69749, 0.90426], abs=1e-4)
    assert np.isnan(wilson_interval(0, 0)).all()
