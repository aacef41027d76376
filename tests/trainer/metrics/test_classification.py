import numpy as np
import pytest

pytest.importorskip("sklearn")

from sklearn import metrics

from acne_trainer.metrics.classification import aurocs, average_precisions


@pytest.fixture(params=[2, 20, 10_000], ids=["two scores", "many ties", "hardly a tie"])
def case(request):
    """Truth, scores of so many distinct values, and weights of which some are 0."""
    rng = np.random.default_rng(request.param)
    truth = (rng.random(80) < 0.3).astype(np.float32)
    scores = (rng.integers(request.param, size=80) / request.param).astype(np.float32)
    weights = np.vstack([np.ones(80), rng.integers(4, size=(5, 80))]).astype(np.float64)
    return truth, scores, weights


def test_average_precision_of_each_resample_is_scikit_learns(case):
    truth, scores, weights = case
    expected = [metrics.average_precision_score(truth, scores, sample_weight=row) for row in weights]
    np.testing.assert_allclose(average_precisions(truth, scores, weights), expected, rtol=1e-9)


def test_auroc_of_each_resample_is_scikit_learns(case):
    truth, scores, weights = case
    expected = [metrics.roc_auc_score(truth, scores, sample_weight=row) for row in weights]
    np.testing.assert_allclose(aurocs(truth, scores, weights), expected, rtol=1e-9)


@pytest.mark.parametrize(("truth", "has_ap"), [([0, 0, 0], False), ([1, 1, 1], True)])
def test_a_class_on_none_or_all_has_no_curve(truth, has_ap):
    given = np.float32(truth), np.float32([0.1, 0.5, 0.9]), np.ones((1, 3))
    assert np.isnan(aurocs(*given)).all()
    assert np.isnan(average_precisions(*given)).all() != has_ap
