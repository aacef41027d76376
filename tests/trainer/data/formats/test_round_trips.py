import dataclasses
import json
import shutil

import numpy as np
import pytest
import yaml
from support.datasets import CLASSES, labelled, photograph, same_marks, small_set

from acne_runtime.errors import SourceError
from acne_trainer.data.export import write_dataset
from acne_trainer.data.formats.names import FORMATS
from acne_trainer.data.formats.registry import REGISTRY
from acne_trainer.data.load import read_splits

WITH_BOXES = [form for form in FORMATS if form != "table"]
LOST = {"yolo": 0.001, "coco": 0, "voc": 0, "keras-txt": 0}
"""Pixels that a box of whole pixels may move by, in photographs of 64 x 48: YOLO has five decimals."""


def test_every_format_is_registered_in_the_order_of_its_name():
    assert tuple(REGISTRY) == FORMATS


@pytest.mark.parametrize("second", WITH_BOXES)
@pytest.mark.parametrize("first", WITH_BOXES)
def test_boxes_survive_the_way_through_two_forms(tmp_path, first, second):
    made = small_set(tmp_path / "made")
    write_dataset(made, first, tmp_path / "first")
    write_dataset(read_splits(tmp_path / "first"), second, tmp_path / "second")
    found = read_splits(tmp_path / "second")
    assert list(found) == list(made)
    for split, data in made.items():
        assert same_marks(data, found[split], LOST[first] + LOST[second])


@pytest.mark.parametrize("form", FORMATS)
def test_types_survive_the_way_into_a_table(tmp_path, form):
    made = small_set(tmp_path / "made")
    write_dataset(made, form, tmp_path / "first")
    write_dataset(read_splits(tmp_path / "first"), "table", tmp_path / "second")
    found = read_splits(tmp_path / "second")
    assert list(found) == list(made)
    for split, data in made.items():
        assert found[split].classes == CLASSES
        types = {sample.path.name: sample.types.tolist() for sample in found[split].samples}
        assert types == {s.path.name: sorted(set(s.classes.tolist())) for s in data.samples}


def test_fractions_of_a_pixel_survive_but_in_voc(tmp_path):
    made = {"train": labelled(tmp_path / "made", {"a.jpg": [(1.25, 2.5, 11.125, 12.75, 0)]})}
    for form, lost in {"keras-txt": 0, "coco": 0, "yolo": 0.001, "voc": 0.5}.items():
        write_dataset(made, form, tmp_path / form)
        assert same_marks(made["train"], read_splits(tmp_path / form)["train"], lost)


def test_boxes_beyond_the_photograph_survive(tmp_path):
    made = {"train": labelled(tmp_path / "made", {"a.jpg": [(-3, -2, 70, 60, 0)]})}
    for form in WITH_BOXES:
        write_dataset(made, form, tmp_path / form)
        assert same_marks(made["train"], read_splits(tmp_path / form)["train"], 0.001)


def test_data_yaml_names_what_other_tools_look_for(tmp_path):
    write_dataset(small_set(tmp_path / "made"), "yolo", tmp_path / "set")
    assert yaml.safe_load((tmp_path / "set/data.yaml").read_text()) == {
        "train": "train/images",
        "val": "valid/images",
        "test": "test/images",
        "nc": 4,
        "names": list(CLASSES),
    }


def test_coco_claims_no_licence_and_no_date_for_the_photographs(tmp_path):
    write_dataset(small_set(tmp_path / "made"), "coco", tmp_path / "set")
    content = json.loads((tmp_path / "set/train/_annotations.coco.json").read_text())
    assert "licenses" not in content
    assert content["images"][0] == {"id": 1, "file_name": "a.jpg", "height": 48, "width": 64}


def test_the_table_is_the_papers(tmp_path):
    write_dataset(small_set(tmp_path / "made"), "table", tmp_path / "set")
    assert (tmp_path / "set/train/_classes.csv").read_text() == (
        "Name,pustules,comedones,nodules,papules\na.jpg,1,0,1,0\nb b.jpg,0,0,0,0\nc.png,0,1,0,0\n"
    )


@pytest.mark.parametrize("link", [False, True])
def test_photographs_are_copied_or_linked(tmp_path, link):
    made = small_set(tmp_path / "made")
    write_dataset(made, "keras-txt", tmp_path / "set", link=link)
    source, written = made["train"].samples[0].path, tmp_path / "set/train/a.jpg"
    assert written.read_bytes() == source.read_bytes()
    assert written.samefile(source) is link


def test_a_target_that_holds_something_is_left_alone(tmp_path):
    made = small_set(tmp_path / "made")
    (tmp_path / "set").mkdir()
    (tmp_path / "set/mine.txt").write_text("keep")
    with pytest.raises(SourceError, match="set: not empty; name another folder"):
        write_dataset(made, "coco", tmp_path / "set")
    with pytest.raises(SourceError, match=r"mine\.txt: not empty; name another folder"):
        write_dataset(made, "coco", tmp_path / "set/mine.txt")
    assert [file.name for file in (tmp_path / "set").iterdir()] == ["mine.txt"]


def test_an_empty_target_is_filled(tmp_path):
    (tmp_path / "set").mkdir()
    write_dataset(small_set(tmp_path / "made"), "voc", tmp_path / "set")
    assert len(read_splits(tmp_path / "set")) == 3
    assert oct((tmp_path / "set").stat().st_mode)[-3:] == "755"


@pytest.mark.parametrize("fault", [KeyboardInterrupt, OSError])
def test_nothing_is_left_of_what_was_not_finished(tmp_path, monkeypatch, fault):
    made = small_set(tmp_path / "made")
    copied = []

    def fail_late(source, target):
        if len(copied) == 4:
            raise fault
        copied.append(target)
        target.write_bytes(source.read_bytes())

    monkeypatch.setattr(shutil, "copyfile", fail_late)
    with pytest.raises(fault):
        write_dataset(made, "keras-txt", tmp_path / "set")
    assert len(copied) == 4
    assert [entry.name for entry in tmp_path.iterdir()] == ["made"]


@pytest.mark.parametrize("form", WITH_BOXES)
def test_a_table_has_no_boxes_to_write(tmp_path, form):
    made = small_set(tmp_path / "made")["train"]
    types = [dataclasses.replace(sample, types=np.array([1], np.int32)) for sample in made.samples]
    with pytest.raises(SourceError, match="its photographs come without boxes; only the format table can hold them"):
        write_dataset({"train": dataclasses.replace(made, samples=tuple(types))}, form, tmp_path / "set")
    assert not (tmp_path / "set").exists()


@pytest.mark.parametrize(
    ("form", "name"),
    [("keras-txt", "a.jpg"), ("coco", "a.jpg"), ("table", "a.jpg"), ("yolo", "a.png"), ("voc", "a.png")],
)
def test_two_photographs_of_one_name_are_refused(tmp_path, form, name):
    data = labelled(tmp_path / "one", {"a.jpg": []})
    twin = dataclasses.replace(data.samples[0], path=photograph(tmp_path / "two" / name, 1))
    with pytest.raises(SourceError) as refused:
        write_dataset({"train": dataclasses.replace(data, samples=(*data.samples, twin))}, form, tmp_path / "set")
    one, two = tmp_path / "one/a.jpg", tmp_path / "two" / name
    assert str(refused.value) == f"{two}: would be written under the name of {one}; rename one of them"


@pytest.mark.parametrize("form", ["yolo", "voc"])
def test_a_photograph_that_cannot_be_decoded_is_named(tmp_path, form):
    data = labelled(tmp_path / "one", {"a.jpg": [(1, 2, 3, 4, 0)]})
    (tmp_path / "one/a.jpg").write_bytes(b"skin")
    with pytest.raises(SourceError, match=r"one/a\.jpg"):
        write_dataset({"train": data}, form, tmp_path / "set")
    assert [entry.name for entry in tmp_path.iterdir()] == ["one"]
