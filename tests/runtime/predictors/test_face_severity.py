import dataclasses

import numpy as np
import pytest

from acne_runtime import FaceSeverity
from acne_runtime.errors import AcneEdgeError, ModelError
from acne_runtime.manifest import InputSpec, Manifest, OutputSpec
from acne_runtime.model import Model
from acne_runtime.predictors.face_severity import REGIONS
from acne_runtime.severity import Severity

SIDE, CELLS = 64, 84
DETECTOR = Manifest(
    name="tiny-detector",
    task="detection",
    classes=("comedones", "papules", "pustules"),
    input=InputSpec("image", SIDE, SIDE, "letterbox"),
    outputs=(OutputSpec("rows", "row"),),
    thresholds=(0.5,) * 3,
    validation={"counting": {"threshold": 0.3, "ratio_90": [0.5, 2.0], "ratio_50": 0.8, "photographs": 100}},
)


class CountsBrightness:
    """A backend that finds as many papules as the picture's blue is bright, half of them too faint to be shown."""

    name, device = "stub", "cpu"

    def run(self, tensor):
        count = int(tensor[0, SIDE // 2, SIDE // 2, 2])
        rows = np.zeros((1, 7, CELLS), np.float32)
        for cell in range(count):
            rows[0, :4, cell] = 6 * (cell % 10) + 3, 6 * (cell // 10) + 3, 4, 4
            rows[0, 5, cell] = 0.9 if cell % 2 else 0.4
        return {"rows": rows}


def photograph(lesions):
    image = np.zeros((SIDE, SIDE, 3), np.uint8)
    image[..., 0] = lesions
    return image


def graded(*photographs, manifest=DETECTOR):
    face = FaceSeverity(Model(manifest, CountsBrightness()))
    for region, lesions in photographs:
        face.add(region, photograph(lesions))
    return face


def test_the_counts_of_regions_are_added_up_before_they_are_corrected():
    face = graded(("forehead", 10), ("left-cheek", 14), ("chin", 5))
    # (29 + 1) * 0.8 - 1, and the ends of the interval with 0.5 and 2
    assert face.severity == Severity("severe", 23, (14, 59))


def test_a_photograph_shows_its_lesions_and_region_and_no_grade():
    result = FaceSeverity(Model(DETECTOR, CountsBrightness())).add("chin", photograph(5))
    assert (result.region, result.severity, result.counts()["papules"]) == ("chin", None, 2)
    assert result.to_dict()["region"] == "chin"


def test_photographs_of_one_region_count_as_their_mean():
    face = graded(("chin", 4), ("chin", 7), ("nose", 2))
    assert face.counted == {"nose": 2, "chin": 5.5}
    assert face.severity.lesions == round((7.5 + 1) * 0.8 - 1)


def test_with_both_cheeks_the_grade_rests_on_half_of_the_sum():
    one, both = graded(("left-cheek", 20)), graded(("left-cheek", 20), ("right-cheek", 40))
    assert one.severity.lesions == round(21 * 0.8 - 1)
    assert both.severity.lesions == round(31 * 0.8 - 1)
    assert [face.to_dict()["face"] for face in (one, both)] == ["half", "whole"]
    assert str(one).startswith("half of the face (left-cheek): severity moderate (about 16 ")
    assert str(both).startswith("face (left-cheek, right-cheek; half of the sum): severity severe")


def test_the_order_of_photographs_changes_nothing():
    photographs = [("chin", 4), ("forehead", 9), ("chin", 7)]
    assert graded(*photographs).to_dict() == graded(*photographs[::-1]).to_dict()


def test_a_model_without_calibrated_counts_counts_what_is_shown():
    face = graded(("chin", 5), ("chin", 10), manifest=dataclasses.replace(DETECTOR, validation={}))
    assert face.counted == {"chin": 3.5}
    assert face.severity == Severity("mild", 4)


def test_what_is_no_region_is_refused():
    face = graded()
    with pytest.raises(AcneEdgeError, match="region 'cheek': expected one of forehead, left-cheek, right-cheek"):
        face.add("cheek", photograph(1))
    with pytest.raises(AcneEdgeError, match="no photograph of a region was added"):
        _ = face.severity
    assert face.counted == {}
    assert len(REGIONS) == 5


def test_a_model_that_does_not_detect_what_counts_is_refused():
    with pytest.raises(ModelError, match="does not detect papules and pustules"):
        graded(manifest=dataclasses.replace(DETECTOR, classes=("comedones", "nodules", "cysts"), validation={}))
