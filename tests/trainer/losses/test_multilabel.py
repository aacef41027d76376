import numpy as np
import pytest

pytest.importorskip("tensorflow")

from acne_trainer.losses.multilabel import multilabel_loss

TRUTH = np.float32([[1, 0, 0, 1], [0, 0, 1, 0]])
PREDICTED = np.float32([[0.9, 0.2, 0.6, 0.3], [0.1, 0.5, 0.8, 0.4]])


def crossentropy(wanted, predicted=PREDICTED):
    return -wanted * np.log(predicted) - (1 - wanted) * np.log(1 - predicted)


def loss(*arguments, **options):
    return float(multilabel_loss(TRUTH, PREDICTED, *arguments, **options)["loss"])


def test_plain_loss_is_the_mean_binary_crossentropy():
    assert loss() == pytest.approx(crossentropy(TRUTH).mean(), rel=1e-5)


def test_smoothing_moves_labels_towards_one_half():
    assert loss(label_smoothing=0.2) == pytest.approx(crossentropy(TRUTH * 0.8 + 0.1).mean(), rel=1e-5)


def test_focal_weighs_each_answer_by_its_error():
    expected = (crossentropy(TRUTH) * np.abs(TRUTH - PREDICTED) ** 2).mean()
    assert loss(focal=2.0) == pytest.approx(expected, rel=1e-5)


def test_what_was_not_looked_for_costs_nothing_unless_it_is_there():
    unknown = np.float32([[1, 1, 0, 0], [0, 0, 0, 1]])
    expected = (crossentropy(TRUTH) * np.float32([[1, 0, 1, 1], [1, 1, 1, 0]])).mean()
    assert loss(unknown) == pytest.approx(expected, rel=1e-5)


def test_certain_answers_stay_finite():
    assert np.isfinite(multilabel_loss(TRUTH, np.round(PREDICTED))["loss"])
