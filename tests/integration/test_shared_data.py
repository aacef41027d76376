import numpy as np
import pytest

from acne_runtime.sources.image_files import read_image
from acne_trainer.data.formats.keras_txt import read_keras_txt

FOUR = ("comedones", "nodules", "papules", "pustules")


@pytest.mark.parametrize(
    ("name", "classes", "photographs"),
    [
        ("acne4", FOUR, {"train": 1922, "valid": 214, "test": 246}),
        ("acne04", ("lesion",), {"train": 1032, "valid": 127, "test": 129}),
    ],
)
def test_every_split_holds_the_photographs_its_readme_counts(shared_data, name, classes, photographs):
    splits = {split: read_keras_txt(shared_data / name / split) for split in photographs}
    assert {split: len(data.samples) for split, data in splits.items()} == photographs
    assert {data.classes for data in splits.values()} == {classes}


@pytest.mark.parametrize(
    ("name", "boxes"), [("acne4", [10_319, 2_779, 4_382, 3_217]), ("acne04", [13_308])], ids=["acne4", "acne04"]
)
def test_the_training_boxes_are_those_its_readme_counts(shared_data, name, boxes):
    data = read_keras_txt(shared_data / name / "train")
    marked = np.concatenate([sample.classes for sample in data.samples])
    assert np.bincount(marked, minlength=len(boxes)).tolist() == boxes


def test_boxes_lie_on_their_photographs(shared_data):
    for name in ("acne4", "acne04"):
        for sample in read_keras_txt(shared_data / name / "valid").samples[::20]:
            height, width = read_image(sample.path).shape[:2]
            assert (sample.boxes >= -1).all()
            assert (sample.boxes <= [width + 1, height + 1] * 2).all()


def test_no_file_name_stands_in_two_splits(shared_data):
    for name in ("acne4", "acne04"):
        names = [
            sample.path.name
            for split in ("train", "valid", "test")
            for sample in read_keras_txt(shared_data / name / split).samples
        ]
        assert len(set(names)) == len(names)
