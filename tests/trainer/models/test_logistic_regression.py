import numpy as np
import pytest

pytest.importorskip("sklearn")

from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler

from acne_trainer.models.logistic_regression import fit_dense_layer

RNG = np.random.default_rng(0)
GROUPS = [f"photo {number // 2}" for number in range(60)]
SCALES = np.array([1, 100, 0.01, 5, 0, 1, 1, 1], np.float32)
"""Of the features: one is the same on all photographs."""
FEATURES = (RNG.normal(size=(60, 8)) * SCALES + 3).astype(np.float32)
TARGETS = np.stack([FEATURES[:, 0] > 3, FEATURES[:, 1] > 50], axis=1).astype(np.float32)


def test_the_scaling_is_folded_into_the_layer(caplog):
    caplog.set_level("INFO")
    layer, _ = fit_dense_layer(FEATURES, TARGETS, None, GROUPS)
    assert len(caplog.messages) == 3
    best = max(caplog.messages, key=lambda line: float(line.split("macro AP ")[1].split(" by")[0]))
    strength = float(best.split("C = ")[1].split(":")[0])
    scaler = StandardScaler().fit(FEATURES)
    for index in range(2):
        model = LogisticRegression(C=strength, max_iter=1000).fit(scaler.transform(FEATURES), TARGETS[:, index])
        expected = model.predict_proba(scaler.transform(FEATURES))[:, 1]
        np.testing.assert_allclose(layer.probabilities(FEATURES)[:, index], expected, atol=1e-4)
    assert layer.kernel.shape == (8, 2)
    assert layer.kernel.dtype == layer.bias.dtype == np.float32


def test_out_of_fold_answers_never_saw_a_version_of_their_photograph():
    # The label is the group's own and no feature of others tells it: only a leak could.
    groups = [f"photo {number // 10}" for number in range(60)]
    features = np.eye(6, dtype=np.float32)[np.arange(60) // 10]
    targets = (np.arange(60) // 10 % 2).astype(np.float32)[:, None]
    layer, out_of_fold = fit_dense_layer(features, targets, None, groups)
    assert ((layer.probabilities(features) > 0.5) == targets).all()
    assert not ((out_of_fold > 0.5) == targets).all()


@pytest.mark.parametrize("value", [0.0, 1.0])
def test_a_type_that_no_photograph_or_every_one_shows_gets_its_prevalence(value):
    targets = np.full((60, 1), value, np.float32)
    layer, out_of_fold = fit_dense_layer(FEATURES, targets, None, GROUPS)
    assert not layer.kernel.any()
    np.testing.assert_allclose(layer.probabilities(FEATURES), value, atol=2e-3)
    np.testing.assert_allclose(out_of_fold, value, atol=2e-3)


def test_one_group_alone_needs_no_folds():
    layer, out_of_fold = fit_dense_layer(FEATURES, TARGETS, None, ["same"] * 60)
    np.testing.assert_array_equal(out_of_fold, layer.probabilities(FEATURES))


def test_an_absence_that_was_not_looked_for_teaches_nothing():
    wrong = TARGETS.copy()
    unknown = np.zeros_like(TARGETS)
    unknown[:20, 0] = 1
    wrong[:20, 0] = 0  # not looked for
    given, _ = fit_dense_layer(FEATURES, wrong, unknown, GROUPS)
    expected, _ = fit_dense_layer(FEATURES[20:], TARGETS[20:], None, GROUPS[20:])
    cosine = given.kernel[:, 0] @ expected.kernel[:, 0]
    cosine /= np.linalg.norm(given.kernel[:, 0]) * np.linalg.norm(expected.kernel[:, 0])
    assert cosine > 0.95
