import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("faster_coco_eval")

from acne_runtime.manifest import InputSpec
from acne_runtime.result import Lesion, Result, Timing
from acne_trainer.data.dataset import Sample
from acne_trainer.metrics.baselines import ConstantDetector
from acne_trainer.metrics.detection_report import average_precision, detection_report
from acne_trainer.metrics.thresholds import DEFAULT

CLASSES = ("comedones", "nodules", "papules")
COMEDONES, NODULES, PAPULES = range(3)
INPUT = InputSpec("image", 640, 640, "letterbox")


def sample(*lesions, name="a.jpg"):
    """A photograph with lesions: class index and box."""
    boxes = np.array([box for _, box in lesions], np.float32).reshape(-1, 4)
    return Sample(Path(name), boxes, np.array([one for one, _ in lesions], np.int32))


def constant(median_count=0.0, median_counts=(0.0, 0.0, 0.0), boxes=()):
    """What answers without looking; boxes are class index and box in the photograph's pixels."""
    places = np.array([box for _, box in boxes], np.float64).reshape(-1, 4) / 640
    return ConstantDetector(
        places, np.array([one for one, _ in boxes], np.int64), median_count, np.array(median_counts)
    )


def answer(*lesions):
    """What a model predicted: class index, score and box."""
    found = sorted((Lesion(CLASSES[one], score, tuple(map(float, box))) for one, score, box in lesions), key=_falling)
    return Result("a.jpg", 0, 0.0, 640, 640, "tiny", CLASSES, tuple(found), None, Timing(1, 1, 1))


def _falling(lesion):
    return -lesion.score


def box(row, side=40, shift=0.0):
    return (100.0 * (row % 6) + shift, 100.0 * (row // 6), 100.0 * (row % 6) + shift + side, 100.0 * (row // 6) + side)


SAMPLES = [
    sample((COMEDONES, box(0, 8)), (COMEDONES, box(1, 12)), (PAPULES, box(2)), name="a.jpg"),
    sample((PAPULES, box(3)), (NODULES, box(4, 90)), name="b.jpg"),
    sample((NODULES, box(5, 60)), name="c.jpg"),
]
PERFECT = [
    answer((COMEDONES, 0.9, box(0, 8)), (COMEDONES, 0.8, box(1, 12)), (PAPULES, 0.7, box(2))),
    answer((PAPULES, 0.6, box(3)), (NODULES, 0.5, box(4, 90))),
    answer((NODULES, 0.4, box(5, 60))),
]
NOTHING = [answer(), answer(), answer()]


def shifted(share):
    """The perfect answer with each box moved to the right by a share of its width."""

    def move(lesion):
        x1, y1, x2, y2 = lesion.box
        return CLASSES.index(lesion.name), lesion.score, (x1 + share * (x2 - x1), y1, x2 + share * (x2 - x1), y2)

    return [answer(*map(move, result.lesions)) for result in PERFECT]


def test_perfect_detections_have_an_average_precision_of_one():
    got = average_precision(SAMPLES, PERFECT, CLASSES)
    assert (got.ap, got.ap50, got.ap75) == pytest.approx((1, 1, 1))
    assert got.ap50_by_class == pytest.approx(dict.fromkeys(CLASSES, 1))
    # The least score at which everything is found.
    assert got.thresholds == pytest.approx({"comedones": 0.8, "nodules": 0.4, "papules": 0.6})


@pytest.mark.parametrize("one_class", [False, True])
def test_no_detection_has_an_average_precision_of_zero(one_class):
    got = average_precision(SAMPLES, NOTHING, CLASSES, one_class)
    assert (got.ap, got.ap50, got.ap75) == (0, 0, 0)
    names = ("lesion",) if one_class else CLASSES
    assert got.ap50_by_class == dict.fromkeys(names, 0)
    assert got.thresholds == dict.fromkeys(names, DEFAULT)


@pytest.mark.parametrize(
    ("share", "ap50", "ap75", "ap"),
    # Boxes moved by a share s of their width overlap by (1 - s) / (1 + s).
    [(0.0, 1, 1, 1.0), (0.07, 1, 1, 0.8), (0.2, 1, 0, 0.4), (0.3, 1, 0, 0.1), (0.4, 0, 0, 0.0), (3, 0, 0, 0.0)],
)
def test_boxes_beside_the_lesion_count_up_to_the_overlap_asked_for(share, ap50, ap75, ap):
    got = average_precision(SAMPLES, shifted(share), CLASSES)
    assert (got.ap50, got.ap75, got.ap) == pytest.approx((ap50, ap75, ap))


def test_right_boxes_of_the_wrong_type_count_for_one_class_only():
    wrong = [
        answer(*(((CLASSES.index(lesion.name) + 1) % 3, lesion.score, lesion.box) for lesion in result.lesions))
        for result in PERFECT
    ]
    assert average_precision(SAMPLES, wrong, CLASSES).ap50 == 0
    got = average_precision(SAMPLES, wrong, CLASSES, one_class=True)
    assert (got.ap50, got.ap50_by_class) == (pytest.approx(1), {"lesion": pytest.approx(1)})


@pytest.mark.parametrize(
    ("found", "ap50"),
    [
        ([(PAPULES, 0.9, box(0)), (PAPULES, 0.8, box(9))], 1),  # the false one comes last
        ([(PAPULES, 0.8, box(0)), (PAPULES, 0.9, box(9))], 0.5),  # the false one comes first
        ([(PAPULES, 0.8, box(0)), (PAPULES, 0.9, box(8)), (PAPULES, 0.95, box(9))], 1 / 3),
        ([(PAPULES, 0.9, box(0)), (PAPULES, 0.8, box(0))], 1),  # twice found
        ([(PAPULES, 0.9, box(0)), (COMEDONES, 0.95, box(9))], 1),  # another type's false one
    ],
)
def test_a_false_box_costs_by_the_place_it_takes(found, ap50):
    assert average_precision([sample((PAPULES, box(0)))], [answer(*found)], CLASSES).ap50 == pytest.approx(ap50)


def test_half_of_the_lesions_found_is_half_of_the_precision():
    samples = [sample((PAPULES, box(0)), (PAPULES, box(1)))]
    got = average_precision(samples, [answer((PAPULES, 0.9, box(0)))], CLASSES)
    assert got.ap50 == pytest.approx(51 / 101)  # 51 of the 101 recall points lie up to 0.5
    assert got.thresholds["papules"] == pytest.approx(0.9)


def test_a_class_without_a_box_has_no_figure_and_does_not_count():
    samples, results = [sample((PAPULES, box(0)))], [answer((PAPULES, 0.9, box(0)), (NODULES, 0.8, box(1)))]
    got = average_precision(samples, results, CLASSES)
    assert got.ap50 == pytest.approx(1)
    assert got.ap50_by_class["papules"] == pytest.approx(1)
    assert math.isnan(got.ap50_by_class["comedones"])
    assert math.isnan(got.ap50_by_class["nodules"])
    assert got.thresholds["comedones"] == got.thresholds["nodules"] == DEFAULT


def test_a_class_without_a_box_has_no_figure_even_when_nothing_was_found():
    got = average_precision([sample((PAPULES, box(0)))], [answer()], CLASSES)
    assert got.ap50_by_class["papules"] == got.ap50 == 0
    assert math.isnan(got.ap50_by_class["comedones"])


def test_more_than_a_hundred_lesions_of_a_photograph_count():
    grid = [(10.0 * x, 10.0 * y, 10.0 * x + 8, 10.0 * y + 8) for x in range(20) for y in range(14)]
    samples = [sample(*((COMEDONES, one) for one in grid))]
    results = [answer(*((COMEDONES, 0.2 + 0.001 * i, one) for i, one in enumerate(grid)))]
    assert average_precision(samples, results, CLASSES).ap50 == pytest.approx(1)


def test_a_photograph_is_scored_against_its_own_answer():
    turned = PERFECT[1:] + PERFECT[:1]
    assert average_precision(SAMPLES, turned, CLASSES).ap50 < 0.2
    with pytest.raises(ValueError, match="zip"):
        average_precision(SAMPLES, PERFECT[:2], CLASSES)


def test_a_report_holds_the_figures_worked_out_by_hand():
    results = [
        # Comedones: one of two found. Papules: a false one below the threshold.
        answer((COMEDONES, 0.9, box(0, 8)), (PAPULES, 0.7, box(2)), (PAPULES, 0.1, box(9))),
        PERFECT[1],
        answer(),
    ]
    report = detection_report(SAMPLES, results, CLASSES, (0.5, 0.5, 0.5), INPUT, constant(3.0, (1.0, 2.0, 0.0)))
    got, baseline = report["model"], report["baseline"]
    assert (report["images"], report["boxes"]) == (3, 6)
    assert got["ap50_by_class"] == pytest.approx({"comedones": 51 / 101, "nodules": 51 / 101, "papules": 1})
    assert got["ap50"] == pytest.approx((2 * 51 / 101 + 1) / 3)
    # Four of six found before the false one: 67 of the 101 recall points lie up to 4/6.
    assert got["ap50_one_class"] == pytest.approx(67 / 101)
    # Nodules stand once on the first two photographs, and are found there.
    assert report["images_multi_class"] == 2
    assert got["multi_class_images"]["ap50"] == pytest.approx((51 / 101 + 1 + 1) / 3)
    # Counted from 0.5 on: 2, 2, 0; marked: 3, 2, 1. The constant answer is 3.
    assert got["count_error"] == pytest.approx((1 + 0 + 1) / 3)
    assert baseline["count_error"] == pytest.approx((0 + 1 + 2) / 3)
    # Marked by class: 2 0 1, 0 1 1, 0 1 0; predicted: 1 0 1, 0 1 1, 0 0 0; the constant answer: 1 2 0.
    assert got["count_error_by_class"] == pytest.approx({"comedones": 1 / 3, "nodules": 1 / 3, "papules": 0})
    assert baseline["count_error_by_class"] == pytest.approx({"comedones": 1, "nodules": 4 / 3, "papules": 2 / 3})
    # At 0.5: one comedone, one nodule and two papules, all right, of two each.
    assert (got["precision"], got["recall"], got["f1"]) == pytest.approx((1, 4 / 6, 0.8))
    assert got["recall_by_class"] == pytest.approx({"comedones": 0.5, "nodules": 0.5, "papules": 1})
    # The same on the first two photographs: two of three and two of two.
    assert got["multi_class_images"]["recall"] == pytest.approx(4 / 5)
    assert got["multi_class_images"]["count_error"] == pytest.approx(1 / 2)
    low, high = got["ap50_interval_95"]
    assert 0 <= low <= got["ap50"] <= high <= 1
    assert low < high


def test_each_class_is_counted_from_its_own_threshold():
    results = [answer((COMEDONES, 0.4, box(0)), (NODULES, 0.4, box(1)), (PAPULES, 0.4, box(2)))]
    marked = [sample((PAPULES, box(0)), (PAPULES, box(1)))]
    both, one = (
        detection_report(marked, results, CLASSES, thresholds, INPUT, constant())
        for thresholds in ((0.3, 0.4, 0.5), (0.3, 0.5, 0.5))
    )
    both, one = both["model"], one["model"]
    assert (both["count_error"], one["count_error"]) == (0, 1)
    assert both["count_error_by_class"] == {"comedones": 1, "nodules": 1, "papules": 2}


def predicted(*lesions):
    """What a model predicted that gives a probability of each type: lesion score, probabilities and box."""
    found = [Lesion.of_types(CLASSES, score, tuple(map(float, where)), types) for score, types, where in lesions]
    return Result("a.jpg", 0, 0.0, 640, 640, "tiny", CLASSES, tuple(sorted(found, key=_falling)), None, Timing(1, 1, 1))


def test_a_lesion_is_ranked_under_each_type_and_counted_and_decided_once():
    marked = [sample((PAPULES, box(0)), (COMEDONES, box(1)))]
    # The second one is taken for a papule, but a comedone is nearly as probable.
    results = [predicted((0.9, (0.1, 0.0, 0.85), box(0)), (0.6, (0.4, 0.0, 0.45), box(1)))]
    got = average_precision(marked, results, CLASSES)
    assert got.ap50_by_class["papules"] == pytest.approx(1)
    assert got.ap50_by_class["comedones"] == pytest.approx(1)  # 0.4 on it comes before 0.1 next to it
    assert average_precision(marked, results, CLASSES, one_class=True).thresholds == {"lesion": pytest.approx(0.6)}
    report = detection_report(marked, results, CLASSES, (0.5,), INPUT, constant())["model"]
    assert (report["count_error"], report["ap50"], report["ap50_one_class"]) == pytest.approx((0, 1, 1))
    assert report["count_error_by_class"] == {"comedones": 1, "nodules": 0, "papules": 1}
    assert report["recall_by_class"]["comedones"] == 0
    assert report["precision"] == pytest.approx(1 / 2)
    above = detection_report(marked, results, CLASSES, (0.7,), INPUT, constant())["model"]
    assert (above["count_error"], above["precision"]) == (1, 1)


def test_a_lesion_that_is_hardly_of_a_type_is_not_ranked_under_it():
    marked = [sample((PAPULES, box(0)))]
    for probability, ap50 in ((0.0009, 0), (0.0011, 1)):
        results = [predicted((0.9, (0.9, 0.0, probability), box(0)))]
        assert average_precision(marked, results, CLASSES).ap50 == pytest.approx(ap50)


def test_probabilities_of_one_type_only_are_scored_as_a_box_of_that_type():
    sure = [
        predicted(
            *(
                (lesion.score, tuple(lesion.score * (lesion.name == name) for name in CLASSES), lesion.box)
                for lesion in each.lesions
            )
        )
        for each in shifted(0.2)
    ]
    reports = [
        detection_report(SAMPLES, results, CLASSES, thresholds, INPUT, constant())
        for results, thresholds in ((sure, (0.5,)), (shifted(0.2), (0.5,) * 3))
    ]
    np.testing.assert_equal(*reports)


def test_lesions_that_say_their_types_beside_some_that_do_not_are_refused():
    both = (*predicted((0.9, (0.1, 0.0, 0.85), box(0))).lesions, *answer((PAPULES, 0.5, box(1))).lesions)
    with pytest.raises(ValueError, match=r"a\.jpg: some lesions say the probability of each type and some do not"):
        average_precision([sample()], [replace(answer(), lesions=both)], CLASSES)


def test_the_same_results_give_the_same_report():
    reports = [detection_report(SAMPLES, shifted(0.2), CLASSES, (0.5,) * 3, INPUT, constant()) for _ in range(2)]
    np.testing.assert_equal(*reports)


def test_perfect_detections_leave_no_doubt():
    got = detection_report(SAMPLES, PERFECT, CLASSES, (0.3,) * 3, INPUT, constant())["model"]
    assert got["ap50_interval_95"] == pytest.approx([1, 1])
    assert got["count_error"] == 0


def test_lesions_are_scored_by_their_side_in_the_models_pixels():
    results = [answer((COMEDONES, 0.9, box(0, 8))), answer((PAPULES, 0.9, box(3))), answer()]
    got = detection_report(SAMPLES, results, CLASSES, (0.5,) * 3, INPUT, constant())["model"]
    # Sides: 8 and 12, 40 and 40, 90 and 60. A side on the border counts on both sides of it.
    assert got["lesions_by_size"] == {"under 12 px": 2, "12 to 32 px": 1, "over 32 px": 4}
    # Small: one of two comedones. Middle: none of one. Large: one of two papules, none of two nodules.
    expected = {"under 12 px": 51 / 101, "12 to 32 px": 0, "over 32 px": 51 / 101 / 2}
    assert got["ap50_by_size"] == pytest.approx(expected)
    # Photographs of 640 px under an input of 160: sides of 2 and 3, 10 and 10, 22 and 15.
    small = detection_report(
        SAMPLES, results, CLASSES, (0.5,) * 3, InputSpec("image", 160, 200, "letterbox"), constant()
    )["model"]
    assert small["lesions_by_size"] == {"under 12 px": 4, "12 to 32 px": 2, "over 32 px": 0}
    assert math.isnan(small["ap50_by_size"]["over 32 px"])
    assert {name: small[name] for name in ("ap", "ap50", "recall")} == pytest.approx(
        {name: got[name] for name in ("ap", "ap50", "recall")}
    )


def test_the_constant_detector_is_scored_as_any_other():
    # Its first box is a comedone of the first photograph, its second one is nowhere; it says its first.
    blind = constant(1.0, boxes=[(COMEDONES, box(0, 8)), (NODULES, box(20, 30))])
    got = detection_report(SAMPLES, NOTHING, CLASSES, (0.5,) * 3, INPUT, blind)["baseline"]
    # Three equal scores, one of them right: at best first, COCO keeps the photographs' order.
    assert got["ap50_by_class"] == pytest.approx({"comedones": 51 / 101, "nodules": 0, "papules": 0})
    assert (got["precision"], got["recall"]) == pytest.approx((1 / 3, 1 / 6))
    assert got["multi_class_images"]["precision"] == pytest.approx(1 / 2)


def test_every_figure_has_its_interval():
    got = detection_report(SAMPLES, shifted(0.2), CLASSES, (0.5,) * 3, INPUT, constant(boxes=[(PAPULES, box(2))]))
    counts = {"lesions_by_size", "reliability", "type_confusion"}

    def check(measured):
        for name, value in measured.items():
            if name == "multi_class_images":
                check(value)
            elif name not in counts and not name.endswith("_interval_95"):
                interval = measured[f"{name}_interval_95"]
                by_key = value if isinstance(value, dict) else {"": value}
                for key, number in by_key.items():
                    low, high = interval[key] if isinstance(value, dict) else interval
                    assert math.isnan(number) or low <= high, (name, key)

    check(got["model"])
    check(got["baseline"])


def test_versions_of_one_photograph_are_drawn_together():
    marked = [sample((PAPULES, box(0)), name=f"face_jpg.rf.{version}.jpg") for version in ("0a", "1b", "2c")]
    results = [answer((PAPULES, 0.9, box(0))), answer(), answer()]
    got = detection_report(marked, results, CLASSES, (0.5,) * 3, INPUT, constant())["model"]
    assert got["recall"] == pytest.approx(1 / 3)
    assert got["recall_interval_95"] == pytest.approx([1 / 3, 1 / 3])  # there is one photograph only to draw


def test_photographs_of_one_type_only_leave_no_figure_for_several():
    got = detection_report(SAMPLES[2:], PERFECT[2:], CLASSES, (0.3,) * 3, INPUT, constant())
    assert got["images_multi_class"] == 0
    assert math.isnan(got["model"]["multi_class_images"]["ap50"])
    assert math.isnan(got["model"]["multi_class_images"]["count_error"])
