from pathlib import Path

import numpy as np
import pytest

from acne_runtime.errors import ModelError
from acne_runtime.frame import Frame
from acne_runtime.load import load_model
from acne_runtime.predictors.severity_model import SeverityModel
from acne_runtime.predictors.tracked_model import TrackedModel
from acne_runtime.sources.image_files import read_image

pytest.importorskip("onnxruntime")

ROOT = Path(__file__).resolve().parents[3]
SKIN = read_image(ROOT / "samples" / "rendered_skin.jpg")


def follow(model, images, rate=10):
    return [model.predict(Frame(image, "clip", index, index / rate)) for index, image in enumerate(images)]


@pytest.fixture(scope="module")
def results():
    return follow(TrackedModel(load_model(threads=1)), [np.roll(SKIN, 2 * index, axis=1) for index in range(8)])


def test_lesions_are_tentative_first_and_then_confirmed(results):
    assert {lesion.track.state for lesion in results[0].lesions} == {"tentative"}
    assert all(lesion.track.id is None for lesion in results[0].lesions)
    assert sum(results[0].stable_counts.values()) == 0 < sum(results[0].counts().values())
    confirmed = [lesion for lesion in results[-1].lesions if lesion.track.state == "confirmed"]
    assert len(confirmed) == sum(results[-1].stable_counts.values()) >= 15
    ids = [lesion.track.id for lesion in confirmed]
    assert len(set(ids)) == len(ids) and max(ids) <= 1.3 * len(ids)


def test_ids_stay_with_the_lesion_though_the_camera_moves(results):
    early = {lesion.track.id: lesion for lesion in results[3].lesions if lesion.track.id}
    late = {lesion.track.id: lesion for lesion in results[7].lesions if lesion.track.id}
    shared = early.keys() & late.keys()
    assert len(shared) >= 0.8 * len(early)
    moves = [late[one].box[0] - early[one].box[0] for one in shared]
    assert np.median(moves) == pytest.approx(8, abs=2)


def test_the_json_form_and_the_picture_show_the_steady_counts(results):
    fields = results[-1].to_dict()
    assert fields["stable_counts"] == results[-1].stable_counts
    track = fields["lesions"][0]["track"]
    assert track["state"] == "confirmed" and track["id"] >= 1 and 0 <= track["since_s"] <= 0.3
    assert "stable_counts" not in load_model(threads=1)(SKIN).to_dict()
    assert (results[-1].draw(SKIN) != SKIN).any()


def test_a_grade_from_steady_counts():
    model = load_model(threads=1)
    graded = follow(TrackedModel(model, SeverityModel(model)), [SKIN] * 5)
    assert graded[0].severity.lesions == 0  # nothing is known yet
    assert graded[-1].severity.lesions == pytest.approx(SeverityModel(model)(SKIN).severity.lesions, abs=1)


def test_lesions_out_of_the_picture_are_not_counted():
    model = TrackedModel(load_model(threads=1))
    follow(model, [SKIN] * 4)
    blank = np.full_like(SKIN, 90)
    last = [model.predict(Frame(blank, "clip", index, 0.4 + index / 10)) for index in range(20)][-1]
    assert sum(last.stable_counts.values()) == 0 and last.lesions == ()


def test_other_models_cannot_be_tracked():
    with pytest.raises(ModelError, match="not a detector, which tracking needs"):
        TrackedModel(load_model("acne-cnn", threads=1))
