import math

import numpy as np
import pytest

pytest.importorskip("sklearn")

from sklearn import metrics

from acne_trainer.metrics.baselines import ConstantClassifier
from acne_trainer.metrics.calibration import reliability
from acne_trainer.metrics.multilabel import (
    choose_thresholds,
    choose_thresholds_together,
    multilabel_report,
)
from acne_trainer.metrics.thresholds import DEFAULT

CLASSES = ("comedones", "nodules", "papules")
TRUTH = np.float32([[1, 0, 0], [0, 1, 0], [0, 0, 1], [1, 1, 0]])
SCORES = np.float32([[0.9, 0.2, 0.1], [0.3, 0.8, 0.2], [0.6, 0.1, 0.4], [0.7, 0.4, 0.3]])
THRESHOLDS = (0.5, 0.3, 0.35)
PREVALENCE = np.float32([0.5, 0.25, 0.75])


COMMONEST = (1, 0, 0)


def report(truth=TRUTH, scores=SCORES, thresholds=THRESHOLDS, prevalence=PREVALENCE, classes=CLASSES, groups=None):
    groups = groups or [str(index) for index in range(len(truth))]
    baseline = ConstantClassifier(prevalence, COMMONEST[: len(classes)])
    return multilabel_report(groups, truth, scores, classes, thresholds, baseline)


def test_figures_are_those_worked_out_by_hand():
    got = report()
    assert got["images"] == 4
    model = got["model"]
    # The truth's first marked classes are 0, 1, 2, 0; the highest scores stand at 0, 1, 0, 0.
    assert model["argmax_agreement"] == 0.75
    # Said: comedones on 1, 3, 4 (right on 1, 4); nodules on 2, 4 (both right); papules on 3 (right).
    assert model["f1_by_class"] == pytest.approx({"comedones": 0.8, "nodules": 1.0, "papules": 1.0})
    assert model["macro_f1"] == pytest.approx(2.8 / 3)
    assert model["exact_match"] == 0.75  # all but the third
    # Comedones by score: right, right, wrong, wrong: both found before the first error. The others likewise.
    assert model["ap_by_class"] == pytest.approx({"comedones": 1.0, "nodules": 1.0, "papules": 1.0})
    assert model["macro_ap"] == model["macro_auroc"] == pytest.approx(1)
    # Said: six in all, five of them right, of five.
    assert model["precision_by_class"] == pytest.approx({"comedones": 2 / 3, "nodules": 1, "papules": 1})
    assert model["recall_by_class"] == pytest.approx({"comedones": 1, "nodules": 1, "papules": 1})
    assert (model["macro_precision"], model["macro_recall"]) == pytest.approx((8 / 9, 1))
    assert (model["micro_precision"], model["micro_recall"], model["micro_f1"]) == pytest.approx((5 / 6, 1, 10 / 11))
    assert model["thresholds"] == pytest.approx({"comedones": 0.5, "nodules": 0.3, "papules": 0.35})
    predicted = np.where(TRUTH == 1, SCORES, 1 - SCORES).astype(float)
    assert model["loss"] == pytest.approx(-np.log(predicted).mean(), rel=1e-5)


def test_average_precision_and_auroc_count_what_stands_in_wrong_order():
    scores = SCORES.copy()
    scores[:, 0] = [0.9, 0.8, 0.2, 0.7]  # right, wrong, right, wrong
    model = report(scores=scores)["model"]
    assert model["ap_by_class"]["comedones"] == pytest.approx((1 + 2 / 3) / 2)
    assert model["macro_auroc"] == pytest.approx((0.75 + 1 + 1) / 3)


@pytest.mark.parametrize(
    ("agreeing", "photographs", "low", "high"),
    # Wilson's interval by its formula with z = 1.959964.
    [(3, 4, 0.30064, 0.95441), (42, 51, 0.69749, 0.90426), (0, 10, 0.0, 0.27753), (10, 10, 0.72247, 1.0)],
)
def test_the_agreement_has_its_wilson_interval(agreeing, photographs, low, high):
    truth = np.zeros((photographs, 2), np.float32)
    truth[np.arange(photographs), np.arange(photographs) % 2] = 1
    scores = np.where(np.arange(photographs)[:, None] < agreeing, truth, 1 - truth) * 0.8 + 0.1
    model = report(truth, scores.astype(np.float32), (0.5, 0.5), np.float32([0.5, 0.5]), ("a", "b"))["model"]
    assert model["argmax_agreement"] == pytest.approx(agreeing / photographs)
    assert model["argmax_agreement_interval_95"] == pytest.approx([low, high], abs=1e-4)


def test_the_constant_predictor_says_how_often_a_class_stands_on_training_photographs():
    constant = report()["baseline"]
    assert constant["argmax_agreement"] == 0.25  # it always says papules, which one photograph shows first
    # Every class on every photograph: its precision is the class's share of the four photographs.
    assert constant["f1_by_class"] == pytest.approx({"comedones": 2 / 3, "nodules": 2 / 3, "papules": 0.4})
    assert constant["ap_by_class"] == pytest.approx({"comedones": 0.5, "nodules": 0.5, "papules": 0.25})
    assert constant["macro_auroc"] == 0.5
    assert constant["exact_match"] == 0.25  # comedones alone, the commonest set: on the first photograph
    assert (constant["macro_precision"], constant["macro_recall"]) == pytest.approx((5 / 12, 1))
    # Papules in a bin: 0.75 predicted, 0.25 true; nodules: 0.25 and 0.5; comedones: 0.5 and 0.5.
    errors = {"comedones": 0, "nodules": 0.25, "papules": 0.5}
    assert constant["calibration_error_by_class"] == pytest.approx(errors)
    assert constant["calibration_error"] == pytest.approx(0.25)
    share = np.array([0.5, 0.5, 0.25])
    expected = -(share * np.log(PREVALENCE) + (1 - share) * np.log(1 - PREVALENCE)).mean()
    assert constant["loss"] == pytest.approx(expected, rel=1e-5)


def test_the_constant_predictor_does_not_depend_on_the_model():
    other = np.random.default_rng(0).random(SCORES.shape).astype(np.float32)
    assert report(scores=other)["baseline"] == report()["baseline"]


def test_a_model_without_a_right_answer_has_zeros_and_no_warning(recwarn):
    model = report(scores=1 - TRUTH, thresholds=(0.5,) * 3)["model"]
    assert model["argmax_agreement"] == model["macro_f1"] == model["exact_match"] == model["macro_auroc"] == 0
    assert math.isfinite(model["loss"])
    assert not recwarn.list


def test_a_score_on_the_threshold_counts():
    model = report(thresholds=(0.7, 0.4, 0.4))["model"]
    assert model["exact_match"] == 1


def test_thresholds_are_chosen_where_f1_of_each_class_is_highest():
    truth = np.float32([[1, 0, 1], [1, 0, 0], [0, 0, 1], [0, 0, 0]])
    scores = np.float32([[0.9, 0.1, 0.3], [0.6, 0.2, 0.2], [0.4, 0.3, 0.1], [0.1, 0.4, 0.05]])
    chosen = choose_thresholds(truth, scores)
    # Comedones part cleanly at 0.6; nobody has nodules; papules: 1 of 1 gives 2/3, 2 of 3 gives 0.8.
    assert chosen == pytest.approx((0.6, DEFAULT, 0.1))


def test_thresholds_of_random_scores_are_the_best_of_all():
    rng = np.random.default_rng(1)
    truth, scores = (rng.random((60, 3)) < 0.4).astype(np.float32), rng.random((60, 3)).astype(np.float32)

    def f1(one, threshold):
        predicted = scores[:, one] >= np.float32(threshold)
        return 2 * (predicted * truth[:, one]).sum() / (predicted.sum() + truth[:, one].sum())

    for one, threshold in enumerate(choose_thresholds(truth, scores)):
        assert f1(one, threshold) == pytest.approx(max(f1(one, other) for other in scores[:, one]))


def test_figures_of_random_scores_are_scikit_learns():
    rng = np.random.default_rng(3)
    truth, scores = (rng.random((50, 3)) < 0.3).astype(np.float32), rng.random((50, 3)).astype(np.float32)
    model = report(truth, scores, (0.4, 0.5, 0.6))["model"]
    predicted = scores >= np.float32([0.4, 0.5, 0.6])
    for average in ("macro", "micro"):
        assert model[f"{average}_ap"] == pytest.approx(metrics.average_precision_score(truth, scores, average=average))
        assert model[f"{average}_auroc"] == pytest.approx(metrics.roc_auc_score(truth, scores, average=average))
        expected = metrics.precision_recall_fscore_support(truth, predicted, average=average)[:3]
        got = [model[f"{average}_{name}"] for name in ("precision", "recall", "f1")]
        assert got == pytest.approx(expected)
    loss = np.mean([metrics.log_loss(truth[:, index], scores[:, index].astype(float)) for index in range(3)])
    assert model["loss"] == pytest.approx(loss)


def test_the_calibration_error_is_that_of_its_definition():
    rng = np.random.default_rng(5)
    truth, scores = (rng.random((70, 2)) < 0.5).astype(np.float32), rng.random((70, 2)).astype(np.float32)
    scores[0] = [1, 0]  # the ends belong to the last and the first bin
    got = report(truth, scores, (0.5, 0.5), np.float32([0.5, 0.5]), ("a", "b"))
    assert got["calibration_bins"] == 10

    def error(truth, scores):
        bins = np.minimum(np.floor(scores * 10), 9)
        gaps = [
            abs((scores - truth)[bins == bin_index].mean()) * (bins == bin_index).mean()
            for bin_index in np.unique(bins)
        ]
        return sum(gaps)

    by_class = {name: error(truth[:, one], scores[:, one]) for one, name in enumerate("ab")}
    assert got["model"]["calibration_error_by_class"] == pytest.approx(by_class)
    assert got["model"]["calibration_error"] == pytest.approx(error(truth.ravel(), scores.ravel()))


def test_bins_tell_mean_score_share_and_number():
    got = reliability(np.float32([0, 1, 1, 0]), np.float32([0.12, 0.18, 0.95, 1.0]))
    assert got == [pytest.approx((0.15, 0.5, 2)), pytest.approx((0.975, 0.5, 2))]


def test_every_figure_has_its_interval():
    rng = np.random.default_rng(6)
    truth, scores = (rng.random((60, 3)) < 0.4).astype(np.float32), rng.random((60, 3)).astype(np.float32)
    for measured in (report(truth, scores)[who] for who in ("model", "baseline")):
        for name in set(measured) - {"thresholds"}:
            if name.endswith("_interval_95"):
                continue
            value, interval = measured[name], measured[f"{name}_interval_95"]
            pairs = (
                [(value[name], interval[name]) for name in CLASSES] if isinstance(value, dict) else [(value, interval)]
            )
            for point, (low, high) in pairs:
                assert low <= high
                if "calibration" not in name:  # which leans upwards in a resample
                    assert low - 1e-9 <= point <= high + 1e-9, name


def test_the_interval_of_a_class_is_wilsons():
    model = report()["model"]
    # Comedones: two of three predicted are right, two of two found.
    assert model["precision_by_class_interval_95"]["comedones"] == pytest.approx([0.20765, 0.93851], abs=1e-4)
    assert model["recall_by_class_interval_95"]["comedones"] == pytest.approx([0.34238, 1], abs=1e-4)
    assert model["exact_match_interval_95"] == pytest.approx([0.30064, 0.95441], abs=1e-4)


def test_images_of_one_group_are_resampled_together():
    model = report(groups=["face"] * 4)["model"]
    assert model["loss_interval_95"] == pytest.approx([model["loss"]] * 2)
    assert model["macro_ap_interval_95"] == pytest.approx([model["macro_ap"]] * 2)
    apart = report()["model"]
    assert apart["loss_interval_95"][0] < model["loss"] < apart["loss_interval_95"][1]


def test_a_class_that_no_photograph_shows_has_no_figure_and_does_not_count(recwarn):
    truth = TRUTH * np.float32([1, 1, 0])
    model = report(truth)["model"]
    for name in ("recall", "f1", "ap", "auroc"):
        assert math.isnan(model[f"{name}_by_class"]["papules"])
        known = [model[f"{name}_by_class"][one] for one in CLASSES[:2]]
        assert model[f"macro_{name}"] == pytest.approx(np.mean(known))
    assert not recwarn.list


def worth(truth, scores, thresholds):
    """Macro F1 plus exact match, of scikit-learn."""
    predicted = scores >= np.float32(thresholds)
    return (
        metrics.f1_score(truth, predicted, average="macro", zero_division=0) + (predicted == truth).all(axis=1).mean()
    )


@pytest.mark.parametrize("seed", range(5))
def test_thresholds_together_are_worth_more_than_those_of_the_best_f1_alone(seed):
    rng = np.random.default_rng(seed)
    truth = (rng.random((80, 3)) < [0.2, 0.5, 0.7]).astype(np.float32)
    scores = np.clip(0.3 * truth + rng.normal(0.4, 0.25, truth.shape), 0, 1).astype(np.float32)
    together = choose_thresholds_together(truth, scores)
    alone = worth(truth, scores, choose_thresholds(truth, scores))
    assert worth(truth, scores, together) > alone
    for index in range(3):  # no threshold alone could move for the better
        for other in np.quantile(scores[:, index], np.linspace(0, 1, 201), method="lower"):
            moved = (*together[:index], float(other), *together[index + 1 :])
            assert worth(truth, scores, moved) <= worth(truth, scores, together) + 1e-9


def test_thresholds_together_leave_a_class_that_is_never_shown_at_the_default():
    truth = TRUTH * np.float32([1, 0, 1])
    assert choose_thresholds_together(truth, SCORES)[1] == DEFAULT
