import json
import shutil

import numpy as np
import pytest
from support.datasets import CLASSES, same_marks, small_set

from acne_runtime.errors import SourceError
from acne_trainer.data.export import write_dataset
from acne_trainer.data.formats.keras_txt import read_keras_txt
from acne_trainer.data.load import load_train_valid_test, read_form_and_splits, read_split, read_splits
from acne_trainer.data.split_file import SplitFile


@pytest.fixture
def keras_txt(tmp_path):
    write_dataset(small_set(tmp_path / "made"), "keras-txt", tmp_path / "set")
    return tmp_path / "set"


def refusal(root, read=read_splits):
    with pytest.raises(SourceError) as refused:
        read(root)
    assert "\n" not in str(refused.value)
    return str(refused.value).replace(str(root), "SET")


def test_keras_txt_is_read_as_its_own_reader_does(keras_txt):
    found = read_splits(keras_txt)
    assert list(found) == ["train", "valid", "test"]
    for split, data in found.items():
        assert data.path == keras_txt / split
        assert data.fingerprint() == read_keras_txt(keras_txt / split).fingerprint()
        assert read_split(keras_txt, split).fingerprint() == data.fingerprint()


@pytest.mark.parametrize("form", ["keras-txt", "yolo", "coco", "voc", "table"])
def test_the_form_is_told_by_what_lies_there(tmp_path, form):
    write_dataset(small_set(tmp_path / "made"), form, tmp_path / "set")
    assert read_form_and_splits(tmp_path / "set")[0] == form


@pytest.mark.parametrize("form", ["keras-txt", "coco", "voc", "table"])
@pytest.mark.parametrize("alias", ["val", "validation"])
def test_the_validation_split_has_several_names(tmp_path, form, alias):
    write_dataset(small_set(tmp_path / "made"), form, tmp_path / "set")
    (tmp_path / "set/valid").rename(tmp_path / "set" / alias)
    found = read_splits(tmp_path / "set")
    assert list(found) == ["train", "valid", "test"]
    assert found["valid"].path.name == "valid"


@pytest.mark.parametrize("form", ["keras-txt", "yolo", "coco", "voc", "table"])
def test_a_set_without_splits_is_read_as_a_whole(tmp_path, form):
    train = small_set(tmp_path / "made")["train"]
    write_dataset({"all": train}, form, tmp_path / "set")
    found = read_splits(tmp_path / "set")
    assert list(found) == ["all"]
    assert [sample.path.name for sample in found["all"].samples] == ["a.jpg", "b b.jpg", "c.png"]
    assert refusal(tmp_path / "set", lambda root: read_split(root, "train")) == (
        "SET: this set has no splits; acne-train data split makes them"
    )


def test_what_lies_beside_the_splits_is_no_split(keras_txt):
    for file in (keras_txt / "train").iterdir():
        (keras_txt / file.name).write_bytes(file.read_bytes())
    assert list(read_splits(keras_txt)) == ["train", "valid", "test"]


def test_a_missing_split_is_told_with_those_that_are_there(keras_txt):
    for file in (keras_txt / "test").iterdir():
        file.unlink()
    assert refusal(keras_txt, lambda root: read_split(root, "test")) == (
        "SET: this set has no 'test' among its splits: train, valid"
    )


def test_a_folder_without_labels_is_refused_with_the_known_forms(tmp_path):
    (tmp_path / "train").mkdir()
    (tmp_path / "notes.csv").write_text("day,weather\n")
    assert refusal(tmp_path) == (
        "SET: no labelled photographs found. Known formats: yolo (data.yaml), keras-txt (_annotations.txt), "
        "coco (_annotations.coco.json), voc (*.xml), table (*.csv that begins with Name,); in the folder itself or in "
        "its train, valid and test. It holds notes.csv, train/"
    )


def test_an_empty_folder_and_none_at_all_are_refused(tmp_path):
    assert refusal(tmp_path).endswith("It holds nothing")
    assert refusal(tmp_path / "nowhere") == "SET: no such folder"


def test_splits_that_differ_in_their_classes_are_refused(keras_txt):
    (keras_txt / "valid/_classes.txt").write_text("pustules\npapules\nnodules\ncomedones\n")
    assert refusal(keras_txt) == (
        "SET/valid: its classes ['pustules', 'papules', 'nodules', 'comedones'] are not train's "
        "['pustules', 'comedones', 'nodules', 'papules']"
    )


def test_a_split_that_cannot_be_read_is_passed_over_on_demand(keras_txt):
    (keras_txt / "valid/_classes.txt").unlink()
    errors = []
    assert list(read_splits(keras_txt, errors.append)) == ["train", "test"]
    assert [str(error).split(": ")[0] for error in errors] == [str(keras_txt / "valid/_classes.txt")]


def test_a_set_of_which_nothing_can_be_read_is_refused_even_then(keras_txt):
    for split in ("train", "valid", "test"):
        (keras_txt / split / "_annotations.txt").write_text("z.jpg\n")
    with pytest.raises(SourceError, match="no split of this keras-txt set can be read"):
        read_splits(keras_txt, lambda _: None)


def splits_file(folder, source, **splits):
    SplitFile(source, "keras-txt", 0, (0.8, 0.1, 0.1), 6, splits).write(folder / "splits.json")
    return folder


TRAIN = ("train/a.jpg", "valid/d.jpg", "test/e.jpg")
VALID = ("train/b b.jpg", "train/c.png", "test/für.jpg")


@pytest.mark.parametrize("apart", [False, True])
def test_saved_splits_are_followed(keras_txt, tmp_path, apart):
    folder = tmp_path / "elsewhere" if apart else keras_txt
    splits_file(folder, keras_txt, train=TRAIN, valid=VALID)
    found = read_splits(folder)
    assert {split: data.path for split, data in found.items()} == {"train": folder / "train", "valid": folder / "valid"}
    assert all(
        sample.path.samefile(keras_txt / name) for sample, name in zip(found["train"].samples, TRAIN, strict=True)
    )
    assert read_split(folder, "valid").fingerprint() == found["valid"].fingerprint()
    assert read_splits(folder / "splits.json")["valid"].fingerprint() == found["valid"].fingerprint()
    own = {sample.path.name: sample for data in small_set(tmp_path / "made").values() for sample in data.samples}
    for sample in found["valid"].samples:
        np.testing.assert_array_equal(sample.boxes, own[sample.path.name].boxes)
    assert found["train"].classes == CLASSES
    assert refusal(folder, lambda root: read_split(root, "test")) == (
        "SET: this set has no 'test' among its splits: train, valid"
    )


def test_saved_splits_can_be_left_alone(keras_txt):
    splits_file(keras_txt, keras_txt, train=TRAIN, valid=VALID)
    assert list(read_form_and_splits(keras_txt, follow=False)[1]) == ["train", "valid", "test"]


def test_a_set_and_its_splits_can_be_moved_together(keras_txt, tmp_path):
    splits_file(tmp_path / "splits", keras_txt, train=TRAIN, valid=VALID)
    (tmp_path / "new").mkdir()
    for name in ("set", "splits"):
        (tmp_path / name).rename(tmp_path / "new" / name)
    assert len(read_split(tmp_path / "new/splits", "train").samples) == 3


@pytest.mark.parametrize(
    ("train", "valid", "problem"),
    [
        ((*TRAIN, "train/z.jpg"), VALID, "names a photograph that the set does not hold: train/z.jpg"),
        ((*TRAIN, "train/c.png"), VALID, "names twice train/c.png"),
        (TRAIN, VALID[1:], "leaves out 1 photographs, such as train/b b.jpg"),
    ],
)
def test_saved_splits_that_do_not_fit_the_set_are_refused(keras_txt, train, valid, problem):
    splits_file(keras_txt, keras_txt, train=train, valid=valid)
    assert refusal(keras_txt) == f"SET/splits.json: {problem}; make the splits again"


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        ("{\n}}", ":2: not JSON (Extra data)"),
        ("[]", ": not splits of schema 1; acne-train data split writes them"),
        (json.dumps({"schema": 2}), ": not splits of schema 1; acne-train data split writes them"),
        (json.dumps({"schema": 1}), ": corrupt (KeyError: 'source'); make the splits again"),
    ],
)
def test_damaged_splits_are_refused(keras_txt, content, problem):
    (keras_txt / "splits.json").write_text(content)
    assert refusal(keras_txt) == f"SET/splits.json{problem}"


def test_every_form_gives_the_same_marks_by_either_way(tmp_path):
    made = small_set(tmp_path / "made")
    write_dataset(made, "coco", tmp_path / "set")
    assert all(same_marks(read_split(tmp_path / "set", split), data) for split, data in made.items())


def test_three_splits_are_read_and_a_missing_one_is_named(keras_txt):
    for part, split in zip(load_train_valid_test(keras_txt), ("train", "valid", "test"), strict=True):
        assert part.path == keras_txt / split
    shutil.rmtree(keras_txt / "test")
    assert "no 'test' among its splits: train, valid" in refusal(keras_txt, load_train_valid_test)


def test_three_splits_have_to_agree_on_their_classes(keras_txt):
    names = (keras_txt / "valid/_classes.txt").read_text().split()
    (keras_txt / "valid/_classes.txt").write_text("\n".join(names[::-1]))
    assert "SET/valid: its classes" in refusal(keras_txt, load_train_valid_test)
