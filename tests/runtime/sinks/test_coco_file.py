import json

import pytest

from acne_runtime.errors import AcneEdgeError
from acne_runtime.frame import Frame
from acne_runtime.result import Label, Lesion, Result, Timing
from acne_runtime.sinks.coco_file import CocoFile

TIMING = Timing(1.0, 2.0, 3.0)
FRAME = Frame(None, "a.jpg")


def found(source, index, *lesions, classes=("comedones", "papules")):
    return Result(source, index, index / 10, 160, 120, "tiny", classes, lesions, None, TIMING)


def labelled():
    labels = (Label("comedones", 0.9, True),)
    return Result("a.jpg", 0, 0.0, 160, 120, "tiny-cnn", ("comedones",), None, labels, TIMING)


def written(folder, *frames, numbered=False):
    coco = CocoFile(folder / "out" / "found.json", numbered)
    for results in frames:
        coco.write(FRAME, results)
    assert not (folder / "out").exists()  # a name stands for a whole file
    coco.close()
    return json.loads((folder / "out" / "found.json").read_text())


def test_frames_and_lesions_are_images_and_annotations(tmp_path):
    coco = written(
        tmp_path,
        [found("a.jpg", 0, Lesion("papules", 0.91234, (1.0, 2.5, 31.0, 42.5)))],
        [found("c.jpg", 0)],
        [found("b.jpg", 0, Lesion("papules", 0.5, (0, 0, 1, 1)), Lesion("comedones", 0.4, (2, 2, 4, 5)))],
    )
    assert coco["images"] == [
        {"id": 1, "file_name": "a.jpg", "width": 160, "height": 120},
        {"id": 2, "file_name": "c.jpg", "width": 160, "height": 120},
        {"id": 3, "file_name": "b.jpg", "width": 160, "height": 120},
    ]
    assert coco["categories"] == [{"id": 1, "name": "comedones"}, {"id": 2, "name": "papules"}]
    assert [
        (annotation["id"], annotation["image_id"], annotation["category_id"]) for annotation in coco["annotations"]
    ] == [
        (1, 1, 2),
        (2, 3, 2),
        (3, 3, 1),
    ]
    assert coco["annotations"][0] == {
        "id": 1,
        "image_id": 1,
        "category_id": 2,
        "bbox": [1.0, 2.5, 30.0, 40.0],
        "area": 1200.0,
        "score": 0.9123,
        "iscrowd": 0,
    }


def test_the_frames_of_a_video_are_numbered_from_the_first_on(tmp_path):
    coco = written(tmp_path, [found("clip.mp4", 0)], [found("clip.mp4", 3)], numbered=True)
    assert [entry["file_name"] for entry in coco["images"]] == ["clip.mp4#0", "clip.mp4#3"]


def test_the_classes_of_several_detectors_share_their_numbers(tmp_path):
    other = found("a.jpg", 0, Lesion("papules", 0.6, (0, 0, 2, 2)), classes=("papules", "scars"))
    coco = written(tmp_path, [found("a.jpg", 0, Lesion("papules", 0.5, (0, 0, 1, 1))), labelled(), other])
    assert [category["name"] for category in coco["categories"]] == ["comedones", "papules", "scars"]
    assert [annotation["category_id"] for annotation in coco["annotations"]] == [2, 2]
    assert len(coco["images"]) == 1


def test_a_model_without_boxes_is_refused_with_the_way_out(tmp_path):
    with pytest.raises(AcneEdgeError, match=r"found\.json: tiny-cnn has no boxes for COCO; write JSON lines or CSV"):
        CocoFile(tmp_path / "found.json", numbered=False).write(FRAME, [labelled()])


def test_no_frame_is_no_file(tmp_path):
    CocoFile(tmp_path / "found.json", numbered=False).close()
    assert list(tmp_path.iterdir()) == []
