import dataclasses
import json

import numpy as np
import pytest

from acne_runtime.errors import ModelError
from acne_runtime.manifest import NMS_KINDS, InputSpec, Manifest, OutputSpec
from acne_runtime.model import Model
from acne_runtime.predictors.severity_model import SeverityModel
from acne_runtime.severity import NO_DIAGNOSIS, Severity, supports_severity

CLASSES = ("comedones", "nodules", "papules", "pustules")
SIDE = 64
CELLS = 8 * 8 + 4 * 4 + 2 * 2
DETECTOR = Manifest(
    name="tiny-detector",
    task="detection",
    classes=CLASSES,
    input=InputSpec("image", SIDE, SIDE, "letterbox"),
    outputs=(OutputSpec("rows", "row"),),
    thresholds=(0.5,) * 4,
)
CLASSIFIER = dataclasses.replace(
    DETECTOR,
    name="tiny-cnn",
    task="multilabel",
    input=InputSpec("image", SIDE, SIDE, "stretch"),
    outputs=(OutputSpec("label", "label"),),
)
PHOTOGRAPH = np.zeros((SIDE, SIDE, 3), np.uint8)


class Finds:
    """A backend that finds so many lesions of each type at a score, none on another."""

    name, device = "stub", "cpu"

    def __init__(self, **found):
        self.rows = np.zeros((1, 4 + len(CLASSES), CELLS), np.float32)
        lesions = [(name, score) for name, (count, score) in found.items() for _ in range(count)]
        for cell, (name, score) in enumerate(lesions):
            self.rows[0, :4, cell] = 6 * (cell % 10) + 3, 6 * (cell // 10) + 3, 4, 4
            self.rows[0, 4 + CLASSES.index(name), cell] = score

    def run(self, tensor):
        return {"rows": self.rows}


HEADS = dataclasses.replace(
    DETECTOR,
    outputs=tuple(OutputSpec(f"{kind}_{stride}", kind, stride) for kind in ("box", "score") for stride in (8, 16, 32)),
    thresholds=(0.5,),
    bins=16,
)


class FindsInHeads(Finds):
    """The same in raw heads, a cell a lesion: its own type and so much of another."""

    def __init__(self, other=0.0, **found):
        self.heads = {}
        for stride in (8, 16, 32):
            cells = SIDE // stride
            self.heads[f"box_{stride}"] = np.zeros((1, cells, cells, 64), np.float32)
            self.heads[f"box_{stride}"].reshape(-1, 16)[:, 0] = 90  # no wider than a point
            self.heads[f"score_{stride}"] = np.zeros((1, cells, cells, len(CLASSES)), np.float32)
        lesions = [(name, score) for name, (count, score) in found.items() for _ in range(count)]
        for cell, (name, score) in enumerate(lesions):
            own = CLASSES.index(name)
            self.heads["score_8"].reshape(-1, len(CLASSES))[cell, [own, own - 1]] = score, other

    def run(self, tensor):
        return self.heads


def counting(threshold=0.5, ratio=(0.25, 3.0), manifest=DETECTOR, **more):
    stated = {"threshold": threshold, "ratio_90": list(ratio), "photographs": 100, **more}
    return dataclasses.replace(manifest, validation={"counting": stated})


def graded(manifest, score_threshold=None, **found):
    found = {name: one if isinstance(one, tuple) else (one, 0.9) for name, one in found.items()}
    return SeverityModel(Model(manifest, Finds(**found), score_threshold))(
        PHOTOGRAPH, source="a.jpg", frame_index=3, time_s=1.5
    )


def test_papules_and_pustules_count_and_the_others_do_not():
    got = graded(DETECTOR, comedones=40, nodules=30, papules=4, pustules=3)
    assert got.severity == Severity("moderate", 7)


@pytest.mark.parametrize(
    ("papules", "interval", "grades"),
    [
        (0, (0, 2), ("mild", "mild")),
        (3, (0, 11), ("mild", "moderate")),
        (19, (4, 59), ("mild", "very severe")),
        (84, (20, 254), ("moderate", "very severe")),
    ],
)
def test_the_interval_is_what_the_model_says_of_its_counting(papules, interval, grades):
    got = graded(counting(), papules=papules).severity
    assert got.lesions_interval == interval
    assert got.grades_interval == grades


def test_the_count_is_corrected_by_the_median_ratio():
    got = graded(counting(ratio_50=0.5), papules=19).severity
    assert got == Severity("moderate", 9, (4, 59))


def test_a_model_that_does_not_say_how_it_counts_gives_no_interval():
    got = graded(DETECTOR, papules=3).severity
    assert (got.lesions_interval, got.grades_interval) == (None, None)
    assert got.to_dict() == {
        "grade": "mild",
        "scale": "Hayashi 2008: papules and pustules on half of a face",
        "lesions": 3,
        "lesions_to_next_grade": 3,
        "note": NO_DIAGNOSIS,
    }


def test_what_is_too_uncertain_to_be_shown_counts_where_the_model_says_so():
    got = graded(counting(0.3), papules=(10, 0.4), pustules=(5, 0.2), comedones=(7, 0.4), nodules=(2, 0.6))
    assert got.severity.lesions == 10
    assert got.counts() == {"comedones": 0, "nodules": 2, "papules": 0, "pustules": 0}


def test_what_is_shown_and_too_uncertain_to_count_does_not_count():
    got = graded(counting(0.7), papules=(10, 0.6), pustules=(5, 0.8))
    assert (got.severity.lesions, got.counts()["papules"]) == (5, 10)


def test_another_threshold_changes_what_is_shown_and_not_what_counts():
    found = {"papules": (10, 0.4), "pustules": (5, 0.8)}
    own, lower, higher = (graded(counting(0.3), score, **found) for score in (None, 0.1, 0.9))
    assert [len(model.lesions) for model in (own, lower, higher)] == [5, 15, 0]
    assert own.severity == lower.severity == higher.severity


@pytest.mark.parametrize("types", [[], "papules", ["scars"], ["papules", "papules"], [["papules"]], None, 3], ids=str)
def test_counted_types_that_are_not_its_classes_are_refused_in_one_line(types):
    with pytest.raises(
        ModelError, match=r"^tiny-detector: validation\.counting\.types .* must list some of comedones, nod"
    ):
        SeverityModel(Model(counting(manifest=HEADS, types=types), FindsInHeads()))


def test_a_score_at_the_threshold_counts_and_is_shown_as_without_a_grade():
    at = float(np.float32(0.3))
    manifest = dataclasses.replace(counting(0.3), thresholds=(0.3,) * 4)
    got = graded(manifest, papules=(4, at))
    plain = Model(manifest, Finds(papules=(4, at)))(PHOTOGRAPH, source="a.jpg", frame_index=3, time_s=1.5)
    assert got.severity.lesions == len(got.lesions) == 4
    assert dataclasses.replace(got, severity=None, timing=plain.timing) == plain


def test_a_graded_result_has_it_in_its_json():
    answer = json.loads(json.dumps(graded(counting(), papules=19).to_dict()))
    assert answer["severity"] == {
        "grade": "moderate",
        "scale": "Hayashi 2008: papules and pustules on half of a face",
        "lesions": 19,
        "lesions_interval_90": [4, 59],
        "grades_interval_90": ["mild", "very severe"],
        "lesions_to_next_grade": 2,
        "note": NO_DIAGNOSIS,
    }
    assert list(answer).index("severity") == list(answer).index("counts") + 1


def test_a_model_that_does_not_find_them_is_not_graded():
    one_class = dataclasses.replace(DETECTOR, classes=("acne",), thresholds=(0.5,))
    assert [supports_severity(detector) for detector in (DETECTOR, CLASSIFIER, one_class)] == [True, False, False]
    with pytest.raises(ModelError, match="tiny-cnn: does not detect papules and pustules"):
        SeverityModel(Model(CLASSIFIER, Finds()))


def test_a_threshold_inside_the_file_above_that_which_counts_is_refused():
    outputs = tuple(OutputSpec(kind, kind) for kind in NMS_KINDS)
    inside = dataclasses.replace(counting(0.3), outputs=outputs, thresholds=(0.5,))
    with pytest.raises(ModelError, match=r"threshold inside the file.*export it without NMS"):
        SeverityModel(Model(inside, Finds()))
    counts_above = dataclasses.replace(inside, validation=counting(0.6).validation)
    SeverityModel(Model(counts_above, Finds()))


RATIOS = ("12", [1.0], 7, [1.0, "x"], [None, None], [1, 1e999], [1, {}], [3, 1], [0, 1e308], [float("nan"), 1])


@pytest.mark.parametrize(
    "stated",
    [
        "much",
        {},
        3,
        None,
        {"ratio_90": [1, 2]},
        {"threshold": 0.5},
        *({"threshold": value, "ratio_90": [1, 2]} for value in ("x", -1, 2, None, True)),
        *({"threshold": 0.5, "ratio_90": ratio} for ratio in RATIOS),
        *({"threshold": 0.5, "ratio_90": [1, 2], "ratio_50": median} for median in (0.5, 3, "x", None)),
    ],
    ids=str,
)
def test_a_manifest_that_lies_about_its_counting_is_refused_in_one_line(stated):
    lying = dataclasses.replace(DETECTOR, validation={"counting": stated})
    with pytest.raises(
        ModelError, match=r"tiny-detector: validation\.counting .* needs threshold, a number within 0 to 1, and ratio"
    ):
        graded(lying, papules=3)


def graded_heads(manifest, score_threshold=None, **found):
    return SeverityModel(Model(manifest, FindsInHeads(**found), score_threshold))(PHOTOGRAPH)


@pytest.mark.parametrize(
    ("threshold", "counted", "shown"), [(0.3, 10, 2), (0.5, 2, 2), (0.65, 0, 2), (None, 2, 2)], ids=str
)
def test_a_lesion_of_two_types_counts_once_by_its_lesion_score(threshold, counted, shown):
    # 0.3 and 0.2 make a lesion of 0.44, 0.5 and 0.2 one of 0.6; comedones do not count.
    manifest = HEADS if threshold is None else counting(threshold, manifest=HEADS)
    got = graded_heads(manifest, other=0.2, papules=(8, 0.3), pustules=(2, 0.5), comedones=(9, 0.3))
    assert (got.severity.lesions, len(got.lesions)) == (counted, shown)


def test_another_lesion_threshold_changes_what_is_shown_and_not_what_counts():
    found = {"papules": (10, 0.4), "pustules": (5, 0.8)}
    own, lower, higher = (graded_heads(counting(0.3, manifest=HEADS), score, **found) for score in (None, 0.1, 0.9))
    assert [len(model.lesions) for model in (own, lower, higher)] == [5, 15, 0]
    assert own.severity == lower.severity == higher.severity


ALL = list(CLASSES)


@pytest.mark.parametrize(
    ("types", "count", "what"),
    [
        (None, 3, "papules and pustules"),
        (["papules", "pustules"], 3, "papules and pustules"),
        (["pustules", "papules"], 3, "papules and pustules"),
        (ALL, 10, "lesions"),
        (["nodules"], 7, "inflammatory lesions"),
    ],
    ids=str,
)
def test_a_manifest_says_which_types_count(types, count, what):
    manifest = counting(manifest=HEADS) if types is None else counting(manifest=HEADS, types=types)
    got = graded_heads(manifest, papules=(2, 0.9), pustules=(1, 0.9), nodules=(7, 0.9)).severity
    assert got.lesions == count
    assert f"(about {count} {what};" in str(got)
    assert got.to_dict()["scale"] == f"Hayashi 2008: {what} on half of a face"


def test_a_model_of_other_types_is_graded_where_it_says_that_they_count():
    acne = dataclasses.replace(counting(manifest=HEADS, types=["acne"]), classes=("acne",))
    assert supports_severity(acne)
    assert not supports_severity(dataclasses.replace(acne, validation={}))
