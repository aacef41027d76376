import math

import numpy as np
import pytest

pytest.importorskip("faster_coco_eval")

from acne_trainer.metrics.bootstrap import resample_weights
from acne_trainer.metrics.lesions import lesion_metrics, type_agreement, type_confusion
from acne_trainer.metrics.matching import match
from acne_trainer.metrics.scored_image import ScoredImage


def photograph(marked, found, scores, gt_classes=None, pred_classes=None):
    marked, found = np.float64(marked).reshape(-1, 4), np.float64(found).reshape(-1, 4)
    classes = (
        np.zeros(len(one), np.int64) if given is None else np.int64(given)
        for one, given in ((marked, gt_classes), (found, pred_classes))
    )
    gt_types, predicted_types = classes
    return ScoredImage(marked, gt_types, found, predicted_types, np.float64(scores))


def test_by_centre_a_box_matches_whose_iou_is_far_too_small():
    loose, tight = [[0, 0, 40, 40]], [[16, 16, 24, 24]]
    assert match(np.float64(loose), np.float64(tight), 0.3).tolist() == [-1]
    assert match(np.float64(loose), np.float64(tight), "centre").tolist() == [0]
    assert match(np.float64(tight), np.float64(loose), "centre").tolist() == [0]


def test_by_centre_the_nearer_of_two_is_taken_and_each_once():
    marked = np.float64([[0, 0, 20, 20], [6, 0, 26, 20]])
    found = np.float64([[7, 1, 25, 19], [7, 1, 25, 19], [7, 1, 25, 19]])
    assert match(marked, found, "centre").tolist() == [1, 0, -1]


def test_a_box_beside_its_lesion_matches_by_no_centre():
    assert match(np.float64([[0, 0, 10, 10]]), np.float64([[20, 0, 30, 10]]), "centre").tolist() == [-1]


@pytest.fixture
def photographs():
    """Two lesions found out of three, at IoU 0.36 and 1, one false box; then one lesion, missed."""
    first = photograph(
        [[0, 0, 10, 10], [50, 50, 60, 60], [90, 0, 99, 9]],
        [[0, 0, 6, 6], [50, 50, 60, 60], [200, 200, 210, 210]],
        [0.9, 0.8, 0.7],
    )
    second = photograph([[0, 0, 10, 10]], [[80, 80, 90, 90]], [0.2])
    return [first, second]


def measured(photographs, threshold):
    weights = resample_weights(["a.jpg", "b.jpg"], 50)
    shown = [image.reaching(np.array([threshold])) for image in photographs]
    counts = np.array([len(one.pred_boxes) for one in shown], float)
    return lesion_metrics(photographs, shown, counts, weights)


def test_figures_at_the_threshold(photographs):
    got = measured(photographs, 0.5)
    assert got["precision_one_class"] == pytest.approx(2 / 3)
    assert got["recall_one_class"] == pytest.approx(2 / 4)
    assert got["f1_one_class"] == pytest.approx(2 * 2 / (3 + 4))
    assert got["count_rho"] == pytest.approx(1.0)  # 3 and 0 predicted, 3 and 1 marked


def test_average_precision_at_a_small_overlap_and_by_centre(photographs):
    got = measured(photographs, 0.5)
    # Both best boxes lie on lesions, two of four: precision 1 up to recall 0.5, 51 of COCO's 101 points.
    assert got["ap30_one_class"] == pytest.approx(51 / 101)
    assert got["ap_centre_one_class"] == pytest.approx(51 / 101)
    low, high = got["ap30_one_class_interval_95"]
    assert low <= got["ap30_one_class"] <= high


def test_reliability_says_how_many_boxes_of_a_score_lie_on_lesions(photographs):
    got = measured(photographs, 0.5)
    assert [count for *_, count in got["reliability"]] == [1, 1, 1, 1]
    assert got["calibration_error"] == pytest.approx((0.2 + 0.7 + 0.2 + 0.1) / 4)


def test_no_box_at_all_has_no_calibration_and_no_rank():
    bare = [photograph([[0, 0, 9, 9]], [], [])] * 2
    got = measured(bare, 0.5)
    assert math.isnan(got["calibration_error"])
    assert math.isnan(got["count_rho"])
    assert got["f1_one_class"] == 0


def test_types_are_compared_among_matched_lesions_only_and_unknown_types_not_at_all():
    one = photograph(
        [[0, 0, 10, 10], [20, 0, 30, 10], [40, 0, 50, 10], [60, 0, 70, 10]],
        [[0, 0, 10, 10], [20, 0, 30, 10], [60, 0, 70, 10], [90, 90, 99, 99]],
        [0.9, 0.8, 0.7, 0.6],
        gt_classes=[0, 1, 1, 2],  # of two types; the last is of unknown type
        pred_classes=[0, 0, 1, 1],
    )
    assert type_confusion([one], 2).tolist() == [[1, 0], [1, 0]]
    got = type_agreement([one, one], 2, resample_weights(["a.jpg", "b.jpg"], 10))
    assert got["type_agreement"] == 0.5
    assert got["type_confusion"] == [[2, 0], [2, 0]]
