"""Which lesions are still there, with detections that a test knows: the photographs are real pictures, shifted."""

import numpy as np
import pytest
from support.visits import BOXES, SAMPLES, SKIN, KnownLesions, add, new_store, shifted

from acne_monitor.following import ABSENT, OUT_OF_VIEW, PRESENT, UNCERTAIN, score_again
from acne_monitor.history import NEW, PERSISTING, RESOLVED, History, change, correct
from acne_monitor.store.checks import verify
from acne_monitor.store.store import StoreError
from acne_runtime.errors import SourceError
from acne_runtime.sources.image_files import read_image

MOVE = (24, -16)
MOVED = shifted(SKIN, *MOVE)


def moved(box, by=MOVE):
    x1, y1, x2, y2 = box
    return (x1 + by[0], y1 + by[1], x2 + by[0], y2 + by[1])


@pytest.fixture
def store(tmp_path):
    with new_store(tmp_path / "store") as store:
        yield store
        assert verify(store) == []


def states(store, earlier="V1", later=None):
    history = History(store, "S-01")
    last = history.visits[-1].name if later is None else later
    (comparison,) = history.compare(history.visit(earlier), history.visit(last))
    assert comparison.refused is None
    return sorted(pair.state for pair in comparison.pairs)


def test_lesions_persist_though_the_camera_moved(store):
    detector = KnownLesions()
    first = add(store, detector, 1, BOXES)
    second = add(store, detector, 8, [moved(box) for box in BOXES], image=MOVED)
    assert first.is_first and not second.is_first and second.refused is None
    assert states(store) == [PERSISTING] * 5
    assert store.one("SELECT COUNT(*) FROM lesion")[0] == 5


def test_new_and_resolved_lesions(store):
    detector = KnownLesions()
    add(store, detector, 1, BOXES[:4])
    add(store, detector, 8, [moved(box) for box in BOXES[1:]], image=MOVED)
    assert states(store) == sorted([PERSISTING] * 3 + [NEW, RESOLVED])
    (comparison,) = History(store, "S-01").compare(*History(store, "S-01").visits)
    assert change([comparison]).difference == 0


def test_evidence_below_the_threshold_makes_a_change_uncertain(store):
    """The rule without which an unchanged face reads as partly healed."""
    detector = KnownLesions()
    weak = 0.3  # 0.6 of the threshold
    add(store, detector, 1, [*((box, 0.8, "papules") for box in BOXES[:4]), (BOXES[4], weak, "papules")])
    later = [(moved(box), 0.8, "papules") for box in BOXES[1:]]
    add(store, detector, 8, [(moved(BOXES[0]), weak, "papules"), *later], image=MOVED)
    assert states(store) == sorted([PERSISTING] * 3 + [UNCERTAIN] * 2)


def test_weak_evidence_elsewhere_does_not_count(store):
    detector = KnownLesions()
    add(store, detector, 1, BOXES[:2])
    far = (400, 60, 430, 90)
    add(store, detector, 8, [BOXES[0], (far, 0.3, "papules")])
    assert states(store) == sorted([PERSISTING, RESOLVED])


def test_out_of_view_is_neither_resolved_nor_new(store):
    detector = KnownLesions()
    away = shifted(SKIN, -220, 0)
    away[:, -220:] = 90
    add(store, detector, 1, BOXES)
    seen = [moved(box, (-220, 0)) for box in BOXES if box[0] > 240]
    add(store, detector, 8, seen, image=away)
    assert states(store) == sorted([OUT_OF_VIEW] * 2 + [PERSISTING] * 3)
    add(store, detector, 15, BOXES)
    assert states(store) == [PERSISTING] * 5  # found again by the first photograph
    assert store.one("SELECT COUNT(*) FROM observation WHERE presence = 'absent'")[0] == 0


def test_a_lesion_that_comes_back_is_the_same_lesion(store):
    detector = KnownLesions()
    for day, says in ((1, BOXES), (8, BOXES[1:]), (15, BOXES)):
        add(store, detector, day, says)
    assert states(store, "V1", "V2") == sorted([PERSISTING] * 4 + [RESOLVED])
    assert states(store, "V2", "V3") == sorted([PERSISTING] * 4 + [NEW])
    assert states(store, "V1", "V3") == [PERSISTING] * 5


def test_a_resolved_lesion_stays_resolved(store):
    detector = KnownLesions()
    for day in (1, 8, 15, 22):
        add(store, detector, day, BOXES if day == 1 else BOXES[1:])
    for later in ("V2", "V3", "V4"):
        assert states(store, "V1", later) == sorted([PERSISTING] * 4 + [RESOLVED])
    assert states(store, "V2", "V4") == [PERSISTING] * 4


def test_a_photograph_that_cannot_be_aligned_says_why_and_starts_anew(store):
    detector = KnownLesions()
    add(store, detector, 1, BOXES)
    other = add(store, detector, 8, BOXES[:1], image=read_image(SAMPLES / "astronaut.png"))
    assert "take the same view again" in other.refused
    history = History(store, "S-01")
    (comparison,) = history.compare(*history.visits)
    assert comparison.refused == other.refused and comparison.pairs == () and change([comparison]) is None
    third = add(store, detector, 15, BOXES)  # aligned with the first, since the one before is of another view
    assert third.refused is None
    assert states(store, "V1", "V3") == [PERSISTING] * 5


def test_no_lesions_at_all(store):
    detector = KnownLesions()
    add(store, detector, 1, [])
    add(store, detector, 8, [])
    assert states(store) == []
    (comparison,) = History(store, "S-01").compare(*History(store, "S-01").visits)
    assert change([comparison]).verdict == "within measuring error"


def test_views_are_compared_with_themselves(store):
    detector = KnownLesions()
    add(store, detector, 1, BOXES, view="left")
    add(store, detector, 1, BOXES[:2], view="right")
    add(store, detector, 8, BOXES[1:], view="left")
    history = History(store, "S-01")
    assert [visit.name for visit in history.visits] == ["V1", "V2"]
    assert list(history.visits[0].photographs) == ["left", "right"]
    assert [one.view for one in history.compare(*history.visits)] == ["left"]
    add(store, detector, 15, BOXES, view="forehead")
    history = History(store, "S-01")
    with pytest.raises(StoreError, match="share no view"):
        history.compare(history.visits[0], history.visits[2])


def test_a_person_corrects_and_it_is_kept(store):
    detector = KnownLesions()
    add(store, detector, 1, BOXES)
    add(store, detector, 8, BOXES[1:])
    gone = store.one("SELECT id FROM observation WHERE presence = 'absent'")["id"]
    correct(store, gone[:8], "persisting", by="Dr. A")
    assert states(store) == [PERSISTING] * 5
    assert History(store, "S-01").visits[1].counts()["total"] == 5
    row = store.one("SELECT * FROM audit ORDER BY seq DESC LIMIT 1")
    assert (row["actor"], row["action"]) == ("Dr. A", "correct") and "absent -> present" in row["what"]


def test_what_is_called_no_lesion_is_none_from_then_on(store):
    detector = KnownLesions()
    add(store, detector, 1, BOXES)
    mole = store.one("SELECT id FROM observation LIMIT 1")["id"]
    correct(store, mole, "not-a-lesion")
    add(store, detector, 8, BOXES)
    assert states(store) == [PERSISTING] * 4
    assert [visit.counts()["total"] for visit in History(store, "S-01").visits] == [4, 4]


@pytest.mark.parametrize(("observation", "state"), [("", "new"), ("zzz", "new"), ("%", "new")])
def test_a_correction_of_nothing(store, observation, state):
    add(store, KnownLesions(), 1, BOXES)
    with pytest.raises(StoreError, match="acne-monitor compare lists them"):
        correct(store, observation, state)


def test_models_are_never_mixed(store):
    one, two = KnownLesions("one"), KnownLesions("two")
    add(store, one, 1, BOXES)
    add(store, one, 8, BOXES[1:])
    two.says = [(box, 0.9, "pustules") for box in BOXES[:3]]
    assert score_again(store, two) == 2 and score_again(store, two) == 0
    assert states(store) == [PERSISTING] * 3  # of the newest model
    history = History(store, "S-01", one.model.manifest.digest)
    assert [visit.counts()["total"] for visit in history.visits] == [5, 4]
    add(store, two, 15, BOXES[:3])
    history = History(store, "S-01", one.model.manifest.digest)
    assert [len(visit.photographs) for visit in history.visits] == [1, 1, 0]
    assert set(history.models.values()) == {"model-one", "model-two"}


def test_order_of_time_and_twice_the_same_view(store):
    detector = KnownLesions()
    add(store, detector, 8, BOXES)
    with pytest.raises(StoreError, match="in order of time"):
        add(store, detector, 1, BOXES)
    with pytest.raises(StoreError, match="has a photograph of view 'left' already"):
        add(store, detector, 8, BOXES)
    with pytest.raises(StoreError, match="no subject 'S-07'"):
        add(store, detector, 9, BOXES, code="S-07")


def test_an_unusable_photograph_is_refused_unless_somebody_takes_it(store):
    detector = KnownLesions()
    blurred = np.full_like(SKIN, 120)
    with pytest.raises(SourceError, match="cannot be used: come closer"):
        add(store, detector, 1, BOXES, image=blurred, override_by=None)
    assert store.one("SELECT COUNT(*) FROM visit")[0] == 0
    add(store, detector, 1, BOXES, image=blurred, override_by="Dr. A")
    assert store.one("SELECT override_by FROM photo")[0] == "Dr. A"


def test_presences_are_what_the_states_are_made_of(store):
    detector = KnownLesions()
    add(store, detector, 1, BOXES)
    add(store, detector, 8, [*BOXES[2:], (BOXES[0], 0.3, "papules")])
    found = [row["presence"] for row in store.all("SELECT presence FROM observation")]
    assert {presence: found.count(presence) for presence in found} == {PRESENT: 8, ABSENT: 1, UNCERTAIN: 1}
