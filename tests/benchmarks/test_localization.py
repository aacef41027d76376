import numpy as np
import pytest

from acne_trainer.metrics.scored_image import ScoredImage
from benchmarks.accuracy.localization import agreement, distances, with_truth

GT = np.array([[10.0, 10, 30, 30], [50, 50, 90, 90]])
PREDICTED = np.array([[14.0, 12, 24, 32], [200, 200, 210, 220]])  # in the first one; on nothing


def image():
    classes = np.zeros(2, np.int64)
    return ScoredImage(GT, classes, PREDICTED, classes, np.array([0.9, 0.8]))


@pytest.mark.parametrize(
    ("size", "centre", "expected"),
    [
        (False, False, [14, 12, 24, 32]),
        (True, False, [9, 12, 29, 32]),
        (False, True, [15, 10, 25, 30]),
        (True, True, [10, 10, 30, 30]),
    ],
)
def test_boxes_that_hold_a_lesion_take_its_size_and_centre_and_others_stay(size, centre, expected):
    boxes = with_truth(image(), size, centre).pred_boxes
    assert boxes.tolist() == [expected, PREDICTED[1].tolist()]


def test_distances_are_of_lesions_that_both_annotations_mark_once():
    (found,) = distances(image(), np.array([[21.0, 19], [70, 70]]))
    # In sides of 20 px: box (20, 20), predicted (19, 22), mark (21, 19).
    assert found.tolist() == [[-0.05, 0.05], [-0.1, 0.15], [-0.05, 0.1]]
    assert len(distances(image(), np.array([[21.0, 19], [25, 25]]))) == 0  # marked twice
    assert len(distances(image(), np.array([[70.0, 70]]))) == 0  # marked, and not found


def test_the_table_gives_the_median_and_where_nine_of_ten_are():
    rows = agreement(np.array([[[0.3, 0.4], [0.0, 0.1], [0.0, 0.0]]] * 4))
    assert [row["median"] for row in rows] == ["0.500", "0.100", "0.000"]
    assert rows[0]["90 % within"] == "0.500"
    assert "4 lesions, centres, in box sides" in rows[0]
