import json

import numpy as np
import pytest
from support.datasets import photograph

from acne_runtime.errors import SourceError
from acne_trainer.data.load import read_split, read_splits

GOOD = {
    "images": [
        {"id": 7, "file_name": "b.jpg", "width": 64, "height": 48},
        {"id": 3, "file_name": "a.jpg", "width": 64, "height": 48},
    ],
    "categories": [{"id": 5, "name": "comedones"}, {"id": 2, "name": "nodules"}],
    "annotations": [
        {"id": 1, "image_id": 7, "category_id": 5, "bbox": [1, 2, 10, 20]},
        {"id": 2, "image_id": 3, "category_id": 5, "bbox": [0, 0, 64, 48]},
        {"id": 3, "image_id": 7, "category_id": 2, "bbox": [3.5, 4, 5, 6]},
    ],
}


def coco(root, content=GOOD):
    for seed, name in enumerate(("a.jpg", "b.jpg")):
        photograph(root / "train" / name, seed)
    text = content if isinstance(content, str) else json.dumps(content)
    (root / "train/_annotations.coco.json").write_text(text)
    return root


def changed(part, index, **fields):
    """`GOOD` with some fields of one entry changed; `None` takes a field out."""
    content = json.loads(json.dumps(GOOD))
    entry = content[part][index]
    entry.update(fields)
    content[part][index] = {key: value for key, value in entry.items() if value is not None}
    return content


def refusal(root):
    with pytest.raises(SourceError) as refused:
        read_splits(root)
    assert "\n" not in str(refused.value)
    return str(refused.value).replace(str(root), "SET")


def test_boxes_and_classes_are_read(tmp_path):
    data = read_split(coco(tmp_path), "train")
    assert data.classes == ("nodules", "comedones")  # by id
    assert [sample.path.name for sample in data.samples] == ["b.jpg", "a.jpg"]
    np.testing.assert_array_equal(data.samples[0].boxes, [[1, 2, 11, 22], [3.5, 4, 8.5, 10]])
    np.testing.assert_array_equal(data.samples[0].classes, [1, 0])
    np.testing.assert_array_equal(data.samples[1].boxes, [[0, 0, 64, 48]])


def test_a_photograph_without_annotation_is_bare_skin(tmp_path):
    data = read_split(coco(tmp_path, GOOD | {"annotations": GOOD["annotations"][:1]}), "train")
    assert data.samples[1].boxes.shape == (0, 4)


def test_the_project_that_roboflow_puts_before_the_classes_is_none(tmp_path):
    categories = [
        {"id": 0, "name": "acne", "supercategory": "none"},
        {"id": 1, "name": "comedones", "supercategory": "acne"},
        {"id": 2, "name": "papules", "supercategory": "acne"},
    ]
    annotations = [{"id": 1, "image_id": 7, "category_id": 2, "bbox": [1, 2, 10, 20]}]
    data = read_split(coco(tmp_path, GOOD | {"categories": categories, "annotations": annotations}), "train")
    assert data.classes == ("comedones", "papules")
    np.testing.assert_array_equal(data.samples[0].classes, [1])


def test_a_class_under_itself_stays_a_class(tmp_path):
    categories = [{"id": 2, "name": "nodules", "supercategory": "nodules"}, GOOD["categories"][0]]
    annotations = GOOD["annotations"][:2]
    data = read_split(coco(tmp_path, GOOD | {"categories": categories, "annotations": annotations}), "train")
    assert data.classes == ("nodules", "comedones")


def test_a_class_above_others_stays_a_class_if_it_is_used(tmp_path):
    categories = [{"id": 2, "name": "acne"}, {"id": 5, "name": "comedones", "supercategory": "acne"}]
    assert read_split(coco(tmp_path, GOOD | {"categories": categories}), "train").classes == ("acne", "comedones")


def test_a_polygon_makes_no_difference(tmp_path):
    content = changed("annotations", 0, segmentation=[[1, 2, 11, 2, 11, 22]])
    np.testing.assert_array_equal(read_split(coco(tmp_path, content), "train").samples[0].boxes[0], [1, 2, 11, 22])


@pytest.mark.parametrize("name", ["annotations/instances_val.json", "annotations/val.json"])
@pytest.mark.parametrize("folder", ["images/val", "val", "images"])
def test_annotations_may_lie_apart(tmp_path, name, folder):
    for seed, photo in enumerate(("a.jpg", "b.jpg")):
        photograph(tmp_path / folder / photo, seed)
    (tmp_path / "annotations").mkdir()
    (tmp_path / name).write_text(json.dumps(GOOD))
    data = read_splits(tmp_path)
    assert list(data) == ["valid"]
    assert data["valid"].samples[0].path == tmp_path / folder / "b.jpg"


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        ('{"images": [],\n "annotations": [}', ":2: not JSON (Expecting value)"),
        ("[]", ": not COCO: 'images' is no list of objects"),
        ({"images": [], "annotations": {}, "categories": []}, ": not COCO: 'annotations' is no list of objects"),
        ({"images": ["a.jpg"], "annotations": [], "categories": []}, ": not COCO: 'images' is no list of objects"),
        (GOOD | {"images": [], "annotations": []}, ": no photograph is listed"),
        (GOOD | {"categories": [], "annotations": []}, ": names no class"),
        (changed("categories", 0, name="nodules"), ": names the class 'nodules' twice"),
        (changed("categories", 0, name=None), ": not COCO: name is missing in the category {'id': 5}"),
        (
            changed("images", 0, file_name=None, width=None, height=None),
            ": not COCO: file_name is missing in the image {'id': 7}",
        ),
        (changed("images", 0, file_name="z.jpg"), ": image 7: 'z.jpg' is no photograph in SET/train"),
        (changed("images", 0, file_name="a.jpg"), ": image 3: 'a.jpg' or its id is listed twice"),
        (changed("images", 1, id=7), ": annotation 2: image 3 is not listed"),
        (changed("annotations", 1, image_id=9), ": annotation 2: image 9 is not listed"),
        (changed("annotations", 1, category_id=4), ": annotation 2: category 4 is not one of [2, 5]"),
        (changed("annotations", 1, bbox=[1, 2, 3]), ": annotation 2: bbox [1, 2, 3] is not [x, y, width, height]"),
        (changed("annotations", 1, bbox=None), ": annotation 2: bbox None is not [x, y, width, height]"),
        (
            changed("annotations", 1, bbox=[1, 2, "w", 4]),
            ": annotation 2: bbox [1, 2, 'w', 4] is not [x, y, width, height]",
        ),
        (
            changed("annotations", 1, bbox=[1, 2, -3, 4]),
            ": annotation 2: bbox [1, 2, -3, 4] is not [x, y, width, height]",
        ),
        (changed("annotations", 1, bbox=[1, 2, 3, 0]), ": annotation 2: the box 1,2,4,2 (x1,y1,x2,y2) has no area"),
        (
            changed("annotations", 1, bbox=[1, 2, float("nan"), 4]),
            ": annotation 2: bbox [1, 2, nan, 4] is not [x, y, width, height]",
        ),
    ],
    ids=range(20),
)
def test_a_malformed_file_is_refused_with_the_entry(tmp_path, content, problem):
    assert refusal(coco(tmp_path, content)) == f"SET/train/_annotations.coco.json{problem}"


def test_text_that_is_no_utf8_is_refused(tmp_path):
    root = coco(tmp_path)
    (root / "train/_annotations.coco.json").write_bytes(b'{"\xff"')
    assert refusal(root) == "SET/train/_annotations.coco.json: not UTF-8 text (invalid start byte at byte 2)"


def test_what_cannot_be_read_is_passed_over_on_demand(tmp_path):
    content = changed("annotations", 1, bbox=[1])
    content["annotations"].append({"id": 4, "image_id": 9, "category_id": 5, "bbox": [1, 2, 3, 4]})
    errors = []
    data = read_splits(coco(tmp_path, content), errors.append)
    assert [sample.path.name for sample in data["train"].samples] == ["b.jpg"]
    assert [str(error).split(": ")[1] for error in errors] == ["annotation 4", "annotation 2"]
