import json

import numpy as np
import pytest

from acne_runtime.result import SCHEMA, Label, Lesion, Result, Timing, annotate

CLASSES = ("comedones", "nodules", "papules", "pustules")
LESIONS = (
    Lesion("papules", 0.83456, (1.23456, 2.0, 30.9999, 40.5)),
    Lesion("papules", 0.5, (5.0, 6.0, 7.0, 8.0), (0.0, 0.0, 0.312345, 0.29), unsure=True),
    Lesion("comedones", 0.25, (0.0, 0.0, 2.0, 2.0)),
)
LABELS = tuple(Label(name, score, score >= 0.5) for name, score in zip(CLASSES, (0.1, 0.91239, 0.5, 0.0), strict=True))


def result(lesions=None, labels=None):
    return Result(
        source="a/b.jpg",
        frame_index=3,
        time_s=1.23456,
        width=640,
        height=480,
        model="acne-yolov8-lite0",
        classes=CLASSES,
        lesions=lesions,
        labels=labels,
        timing=Timing(1.00049, 20.5, 0.25),
    )


def test_a_detection_has_exactly_the_promised_fields():
    assert result(lesions=LESIONS).to_dict() == {
        "schema": SCHEMA,
        "source": "a/b.jpg",
        "frame": 3,
        "time_s": 1.235,
        "width": 640,
        "height": 480,
        "model": "acne-yolov8-lite0",
        "lesions": [
            {"class": "papules", "score": 0.8346, "box": [1.23, 2.0, 31.0, 40.5]},
            {
                "class": "papules",
                "score": 0.5,
                "types": {"comedones": 0.0, "nodules": 0.0, "papules": 0.3123, "pustules": 0.29},
                "unsure": True,
                "box": [5.0, 6.0, 7.0, 8.0],
            },
            {"class": "comedones", "score": 0.25, "box": [0.0, 0.0, 2.0, 2.0]},
        ],
        "counts": {"comedones": 1, "nodules": 0, "papules": 2, "pustules": 0},
        "timing_ms": {"preprocess": 1.0, "inference": 20.5, "postprocess": 0.25},
    }


def test_a_multilabel_answer_has_exactly_the_promised_fields():
    assert result(labels=LABELS).to_dict() == {
        "schema": SCHEMA,
        "source": "a/b.jpg",
        "frame": 3,
        "time_s": 1.235,
        "width": 640,
        "height": 480,
        "model": "acne-yolov8-lite0",
        "labels": [
            {"class": "comedones", "score": 0.1, "present": False},
            {"class": "nodules", "score": 0.9124, "present": True},
            {"class": "papules", "score": 0.5, "present": True},
            {"class": "pustules", "score": 0.0, "present": False},
        ],
        "counts": {"comedones": 0, "nodules": 1, "papules": 1, "pustules": 0},
        "timing_ms": {"preprocess": 1.0, "inference": 20.5, "postprocess": 0.25},
    }


@pytest.mark.parametrize("one", [result(lesions=LESIONS), result(lesions=()), result(labels=LABELS)])
def test_the_answer_survives_as_one_json_line(one):
    line = json.dumps(one.to_dict(), allow_nan=False)
    assert "\n" not in line
    assert json.loads(line) == one.to_dict()


@pytest.mark.parametrize(
    ("one", "middle"), [(result(lesions=LESIONS), "lesions"), (result(labels=LABELS), "labels")], ids=str
)
def test_the_fields_come_in_the_promised_order(one, middle):
    first = ["schema", "source", "frame", "time_s", "width", "height", "model"]
    assert list(one.to_dict()) == [*first, middle, "counts", "timing_ms"]


def test_a_photograph_without_lesions_counts_zero_of_every_class():
    answer = result(lesions=()).to_dict()
    assert answer["lesions"] == []
    assert answer["counts"] == dict.fromkeys(CLASSES, 0)
    assert list(answer["counts"]) == list(CLASSES)


@pytest.mark.parametrize(("lesions", "labels"), [(None, None), (LESIONS, LABELS), ((), LABELS), ((), ())])
def test_both_kinds_of_answer_or_neither_is_refused(lesions, labels):
    with pytest.raises(ValueError, match="either lesions or labels"):
        result(lesions, labels)


def test_lesions_become_coco_annotations_with_the_classes_counted_from_1():
    assert result(lesions=LESIONS).to_coco(7) == [
        {
            "image_id": 7,
            "category_id": 3,
            "bbox": [1.23, 2.0, 29.77, 38.5],
            "area": 1146.14,
            "score": 0.8346,
            "iscrowd": 0,
        },
        {
            "image_id": 7,
            "category_id": 3,
            "bbox": [5.0, 6.0, 2.0, 2.0],
            "area": 4.0,
            "score": 0.5,
            "iscrowd": 0,
            "types": {"comedones": 0.0, "nodules": 0.0, "papules": 0.3123, "pustules": 0.29},
            "unsure": True,
        },
        {"image_id": 7, "category_id": 1, "bbox": [0.0, 0.0, 2.0, 2.0], "area": 4.0, "score": 0.25, "iscrowd": 0},
    ]
    categories = {"papules": 9, "comedones": 4}
    assert [lesion["category_id"] for lesion in result(lesions=LESIONS).to_coco(7, categories)] == [9, 9, 4]


def test_labels_are_no_coco_annotations():
    with pytest.raises(ValueError, match="acne-yolov8-lite0 is not a detector"):
        result(labels=LABELS).to_coco(1)


def test_lesions_become_detections_of_supervision():
    pytest.importorskip("supervision")
    with pytest.raises(ValueError, match="acne-yolov8-lite0 is not a detector"):
        result(labels=LABELS).to_supervision()
    found = result(lesions=LESIONS).to_supervision()
    assert found.xyxy.tolist() == [pytest.approx(lesion.box) for lesion in LESIONS]
    assert found.confidence.tolist() == pytest.approx([0.83456, 0.5, 0.25])
    assert found.class_id.tolist() == [2, 2, 0]
    assert found.data["class_name"].tolist() == ["papules", "papules", "comedones"]
    assert found.data["unsure"].tolist() == [False, True, False]
    assert "types" not in found.data  # a lesion of these does not say them
    assert len(result(lesions=()).to_supervision()) == 0
    detections = result(lesions=(LESIONS[1], LESIONS[1])).to_supervision()
    assert detections.data["types"].tolist() == [pytest.approx(LESIONS[1].types)] * 2
    assert detections[detections.confidence > 0.9].data["types"].shape == (0, len(CLASSES))


@pytest.mark.parametrize(
    ("types", "name", "unsure"),
    [
        ((0.1, 0.2, 0.7, 0.3), "papules", False),
        ((0.0, 0.0, 0.5, 0.4), "papules", True),  # at the ratio itself
        ((0.0, 0.0, 0.5, 0.399), "papules", False),
        ((0.0, 0.0, 0.4, 0.5), "pustules", True),
        ((0.3, 0.0, 0.3, 0.0), "comedones", True),
        ((1.0, 0.0, 0.0, 0.0), "comedones", False),
    ],
)
def test_a_lesion_is_of_its_most_probable_type_and_unsure_where_another_is_nearly_so(types, name, unsure):
    lesion = Lesion.of_types(CLASSES, 0.9, (0.0, 0.0, 1.0, 1.0), types)
    assert lesion == Lesion(name, 0.9, (0.0, 0.0, 1.0, 1.0), types, unsure)
    assert ("unsure" in lesion.to_dict(CLASSES)) is unsure
    assert list(lesion.to_dict(CLASSES)) == ["class", "score", "types", *["unsure"] * unsure, "box"]


def test_the_only_type_of_a_model_is_sure():
    assert not Lesion.of_types(("acne",), 0.9, (0.0, 0.0, 1.0, 1.0), (0.9,)).unsure


def test_a_result_draws_itself_on_a_copy():
    picture = np.full((480, 640, 3), 128, np.uint8)
    drawn = result(lesions=LESIONS).draw(picture)
    assert (picture == 128).all()
    np.testing.assert_array_equal(drawn, annotate(picture, result(lesions=LESIONS)))
