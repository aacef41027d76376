import cv2
import numpy as np
import pytest
from support.images import picture
from support.results import CLASSES, detection_result, multilabel_result

from acne_runtime.result import Lesion, annotate
from acne_runtime.severity import NO_DIAGNOSIS


def test_a_picture_names_each_lesion_once_and_doubts_what_is_unsure(monkeypatch):
    written = []
    monkeypatch.setattr(cv2, "putText", lambda image, text, *rest: written.append(text))
    places = [(100.0, 150.0, 120.0, 170.0), (200.0, 150.0, 220.0, 170.0)]
    scores = [(0.0, 0.1, 0.6, 0.5), (0.0, 0.1, 0.6, 0.4)]
    lesions = [Lesion.of_types(CLASSES, 0.75, *one) for one in zip(places, scores, strict=True)]
    annotate(picture(640, 640), detection_result(lesions=tuple(lesions), size=(640, 640)))
    assert written == ["papules 0.75", "papules? 0.75", "2 papules", NO_DIAGNOSIS]


@pytest.mark.parametrize("size", [(120, 160), (48, 48), (900, 30), (30, 900), (1, 1), (1200, 1600)])
@pytest.mark.parametrize(
    "result",
    [
        detection_result(),
        detection_result(lesions=()),
        multilabel_result(),
        detection_result(lesions=(Lesion("nodules", 1.0, (-5.0, -9.0, 5000.0, 3.0)),)),
    ],
    ids=["lesions", "no lesion", "labels", "a box outside"],
)
def test_annotating_gives_a_copy_of_the_same_shape_that_differs(result, size):
    image = picture(*size)
    before = image.copy()
    drawn = annotate(image, result)
    np.testing.assert_array_equal(image, before)
    assert (drawn.shape, drawn.dtype) == (image.shape, np.uint8)
    if min(size) > 1:
        assert (drawn != image).any()


def test_a_lesion_is_drawn_where_it_is():
    blank = np.full((480, 640, 3), 128, np.uint8)
    with_box = annotate(blank, detection_result(lesions=(Lesion("nodules", 0.9, (300.0, 200.0, 400.0, 300.0)),)))
    changed = (with_box != blank).any(axis=-1)
    assert changed[200, 310:390].all()
    assert changed[210:290, 400].all()
    assert not changed[210:290, 310:390].any()
    assert not changed[350:440, 200:].any()


def test_the_answers_of_several_models_are_drawn_on_one_picture():
    blank = np.full((480, 640, 3), 128, np.uint8)
    boxes, labels = (
        detection_result(lesions=(Lesion("nodules", 0.9, (300.0, 200.0, 400.0, 300.0)),)),
        multilabel_result(),
    )
    both = annotate(blank, boxes, labels)
    assert (both[200:301, 300:401] == annotate(blank, boxes)[200:301, 300:401]).all()
    first_line, last_lines = both[:20, :60], both[25:120, :60]
    assert (first_line == annotate(blank, boxes)[:20, :60]).all()
    assert (last_lines != annotate(blank, boxes)[25:120, :60]).any()


def test_each_class_has_a_colour_of_its_own():
    blank = np.full((480, 640, 3), 128, np.uint8)
    colours = {
        tuple(
            annotate(blank, detection_result(lesions=(Lesion(name, 0.9, (300.0, 200.0, 400.0, 300.0)),)))[
                250, 400
            ].tolist()
        )
        for name in CLASSES
    }
    assert len(colours) == len(CLASSES)
