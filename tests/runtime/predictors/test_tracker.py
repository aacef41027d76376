import math
from time import perf_counter

import numpy as np
import pytest

from acne_runtime.predictors.camera_motion import STILL
from acne_runtime.predictors.tracker import Tracker
from acne_runtime.result import Lesion

CLASSES = ("comedones", "papules")
SIZE = (640, 480)
PLACES = [(100, 100), (300, 120), (200, 300)]


def lesion(x, y, score=0.8, side=20, papule=0.7):
    box = (x - side / 2, y - side / 2, x + side / 2, y + side / 2)
    return Lesion.of_types(CLASSES, score, box, (1 - papule, papule))


def feed(tracker, frames, rate=10, motion=STILL, threshold=0.5):
    """Gives the tracker one list of lesions per frame; returns the number of confirmed lesions after each."""
    start = max(0.0, tracker._time_s + 1 / rate)
    confirmed = []
    for index, lesions in enumerate(frames):
        ratios = np.array([one.score / threshold for one in lesions])
        tracker.update(lesions, ratios, start + index / rate, motion, SIZE)
        confirmed.append(sum(one.confirmed for one in tracker.lesions))
    return confirmed


def confirmed_ids(tracker):
    return sorted(one.id for one in tracker.lesions if one.confirmed)


def test_lesions_are_confirmed_at_the_third_frame_and_keep_their_ids():
    tracker = Tracker(CLASSES)
    assert feed(tracker, [[lesion(*place) for place in PLACES]] * 8) == [0, 0, 3, 3, 3, 3, 3, 3]
    assert confirmed_ids(tracker) == [1, 2, 3] and tracker.ids == 3


def test_one_missed_frame_ends_no_track():
    tracker = Tracker(CLASSES)
    shown = [lesion(*place) for place in PLACES]
    assert feed(tracker, [shown] * 6 + [[]] + [shown] * 3) == [0, 0] + [3] * 8
    assert confirmed_ids(tracker) == [1, 2, 3]


def test_what_is_seen_once_in_twenty_frames_is_never_confirmed():
    tracker = Tracker(CLASSES)
    clip = [[lesion(100, 100, score=1.0)] if index % 20 == 0 else [] for index in range(200)]
    assert max(feed(tracker, clip)) == 0 and tracker.ids == 0


def test_a_score_around_the_threshold_gives_one_lesion_that_stays():
    rng = np.random.default_rng(0)
    tracker = Tracker(CLASSES)
    clip = [[lesion(100, 100, score=float(rng.uniform(0.35, 0.75)))] for _ in range(200)]
    counts = feed(tracker, clip)
    assert tracker.ids == 1 and np.mean(counts[10:]) > 0.95
    assert np.mean([frame[0].score >= 0.5 for frame in clip]) < 0.8  # while single frames flicker


def test_a_weak_detection_keeps_a_lesion_and_makes_none():
    weak = [[lesion(100, 100, score=0.2)]] * 30
    assert max(feed(Tracker(CLASSES), weak)) == 0
    tracker = Tracker(CLASSES)
    feed(tracker, [[lesion(100, 100)]] * 5 + weak + [[lesion(100, 100)]] * 5)
    assert confirmed_ids(tracker) == [1]  # the same lesion, not another one


def test_a_lesion_not_seen_for_two_seconds_is_another_one():
    tracker = Tracker(CLASSES)
    feed(tracker, [[lesion(100, 100)]] * 5 + [[]] * 20 + [[lesion(100, 100)]] * 5)
    assert confirmed_ids(tracker) == [2]


@pytest.mark.parametrize("rate", [5, 10, 30])
def test_times_are_seconds_whatever_the_frame_rate(rate):
    tracker = Tracker(CLASSES)
    feed(tracker, [[lesion(100, 100)]] * (2 * rate), rate)
    gone = feed(tracker, [[]] * (2 * rate), rate)
    assert gone[-1] == 0 and 0.1 <= gone.index(0) / rate <= 0.5


def test_lesions_move_with_the_camera_and_are_forgotten_outside_the_picture():
    tracker = Tracker(CLASSES)
    feed(tracker, [[lesion(100, 100), lesion(610, 100)]] * 4)
    shift = np.array([[1, 0, 60.0], [0, 1, 0]])  # three times the lesion's size: no overlap to go by
    feed(tracker, [[lesion(160, 100)]], motion=shift)
    assert confirmed_ids(tracker) == [1]
    assert tracker.lesions[0].box.tolist() == pytest.approx([150, 90, 170, 110])
    assert len(tracker.lesions) == 1


def test_a_turn_and_a_scale_move_boxes_too():
    tracker = Tracker(CLASSES)
    feed(tracker, [[lesion(100, 50)]] * 3)
    turn = np.array([[0, -2.0, 400], [2.0, 0, 0]])  # a quarter turn, twice as large
    feed(tracker, [[]], motion=turn)
    assert tracker.lesions[0].box.tolist() == pytest.approx([280, 180, 320, 220])


def test_the_type_is_that_of_most_frames():
    tracker = Tracker(CLASSES)
    feed(tracker, [[lesion(100, 100, papule=0.7 if index % 3 else 0.2)] for index in range(30)])
    assert CLASSES[int(tracker.lesions[0].types.argmax())] == "papules"


def test_classes_without_probabilities_are_voted_on():
    tracker = Tracker(CLASSES)
    clip = [[Lesion(CLASSES[index % 3 > 0], 0.8, (90, 90, 110, 110))] for index in range(30)]
    feed(tracker, clip)
    assert CLASSES[int(tracker.lesions[0].types.argmax())] == "papules"


def test_an_infinite_time_constant_is_the_mean_of_all_frames():
    tracker = Tracker(CLASSES, math.inf)
    scores = [0.9, 0.3, 0.6, 0.5]
    feed(tracker, [[lesion(100, 100, score=score)] for score in scores])
    assert tracker.lesions[0].score == pytest.approx(np.mean(scores))


def test_neighbours_do_not_swap_ids():
    rng = np.random.default_rng(1)
    tracker = Tracker(CLASSES)
    for _ in range(60):
        moved = [lesion(100 + rng.normal(0, 2), 100), lesion(124 + rng.normal(0, 2), 100)]
        feed(tracker, [moved])
    left, right = sorted(tracker.lesions, key=lambda one: one.box[0])
    assert (left.box[0] < 100 < right.box[0]) and tracker.ids == 2


def test_ten_thousand_frames_need_no_more_memory_and_little_time():
    rng = np.random.default_rng(2)
    tracker = Tracker(CLASSES)
    most = 0
    started = perf_counter()
    for _ in range(100):
        crowd = [lesion(*rng.uniform(20, 460, 2), score=float(rng.uniform(0.2, 1))) for _ in range(20)]
        feed(tracker, [crowd] * 10)
        most = max(most, len(tracker.lesions))
    assert most <= 20 * 3  # of the last 1.5 seconds
    assert perf_counter() - started < 60
