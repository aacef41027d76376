import json
import re

import pytest
import yaml
from click.testing import CliRunner
from support.datasets import labelled, same_marks, small_set

from acne_trainer.cli.data import data
from acne_trainer.data.export import write_dataset
from acne_trainer.data.load import read_splits


def run(*arguments):
    return CliRunner().invoke(data, [str(argument) for argument in arguments])


@pytest.fixture
def keras_txt(tmp_path):
    write_dataset(small_set(tmp_path / "made"), "keras-txt", tmp_path / "set")
    return tmp_path / "set"


@pytest.fixture
def larger(tmp_path):
    marks = {
        f"p{k}_jpg.rf.{v}.jpg": [(1, 1, 9, 9, k % 4), (10, 10, 20, 20, (k + v) % 4)] for k in range(15) for v in (1, 2)
    }
    write_dataset({"all": labelled(tmp_path / "made", marks)}, "keras-txt", tmp_path / "set")
    return tmp_path / "set"


def test_inspect_prints_a_table_and_writes_json_and_a_picture(keras_txt, tmp_path):
    done = run("inspect", keras_txt, "--json", tmp_path / "out/a.json", "--picture", tmp_path / "out/a.png")
    assert done.exit_code == 0
    assert done.stdout.startswith(f"{keras_txt}: keras-txt, 6 photographs, 8 boxes")
    assert "\nPROBLEMS\n- 3 splits lack a class altogether\n    train: papules\n" in done.stdout
    content = json.loads((tmp_path / "out/a.json").read_text())
    assert content["splits"]["train"]["showing"] == [1, 1, 1, 0]
    assert [finding["kind"] for finding in content["findings"]] == ["class-missing", "no-label"]
    assert (tmp_path / "out/a.png").read_bytes().startswith(b"\x89PNG")


def test_inspect_measures_boxes_at_the_training_size(keras_txt, tmp_path):
    assert run("inspect", keras_txt, "--training-size", 64, "--json", tmp_path / "a.json").exit_code == 0
    sides = json.loads((tmp_path / "a.json").read_text())["box_side_percentiles"]
    assert sides[2][1] == pytest.approx((440**0.5 + 24**0.5) / 2)


def test_inspect_reports_everything_and_then_fails_if_something_cannot_be_read(keras_txt, tmp_path):
    (keras_txt / "train/c.png").write_bytes(b"")
    done = run("inspect", keras_txt, "--json", tmp_path / "a.json")
    assert done.exit_code == 1
    assert (
        f"CANNOT BE READ\n- 1 photograph or label cannot be read\n    {keras_txt}/train/c.png: the file is empty\n"
        in done.stdout
    )
    assert "Photographs that show both" in done.stdout
    assert (tmp_path / "a.json").exists()


def test_inspect_shows_the_first_cases_and_json_lists_all(keras_txt, tmp_path):
    lines = [f"z{number}.jpg 1,2,3,4,0" for number in range(9)]
    with (keras_txt / "train/_annotations.txt").open("a") as annotations:
        annotations.write("\n".join(lines))
    done = run("inspect", keras_txt, "--json", tmp_path / "a.json")
    assert "    ... and 4 more (--json lists all)\n" in done.stdout
    assert len(json.loads((tmp_path / "a.json").read_text())["findings"][0]["cases"]) == 9


@pytest.mark.parametrize(
    "command", [["inspect", "DIR"], ["split", "DIR", "--out", "OUT"], ["convert", "DIR", "OUT", "--to", "voc"]]
)
def test_a_folder_without_labels_is_one_line_and_exit_1(tmp_path, command):
    (tmp_path / "photos").mkdir()
    places = {"DIR": tmp_path / "photos", "OUT": tmp_path / "out"}
    done = run(*(places.get(word, word) for word in command))
    assert done.exit_code == 1
    assert done.stdout == ""
    (line,) = [line for line in done.stderr.splitlines() if "Reading photographs" not in line]
    assert line.startswith(f"Error: {tmp_path}/photos: no labelled photographs found. Known formats: ")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    "command",
    [
        ["inspect"],
        ["inspect", "nowhere"],
        ["inspect", ".", "--training-size", "0"],
        ["split", "."],
        ["convert", ".", "x"],
        ["convert", ".", "x", "--to", "word"],
    ],
)
def test_wrong_usage_is_exit_2(command):
    assert run(*command).exit_code == 2


@pytest.mark.parametrize("inside", [True, False])
def test_split_writes_what_read_splits_follows(larger, tmp_path, inside):
    out = larger if inside else tmp_path / "elsewhere"
    done = run("split", larger, "--out", out, "--ratios", "0.6,0.2,0.2", "--seed", 3)
    assert done.exit_code == 0, done.output
    found = read_splits(out)
    assert {split: len(part.samples) for split, part in found.items()} == {"train": 18, "valid": 6, "test": 6}
    sources = [{sample.path.name.split("_")[0] for sample in part.samples} for part in found.values()]
    assert [len(names) for names in sources] == [9, 3, 3]
    content = json.loads((out / "splits.json").read_text())
    assert {key: content[key] for key in ("schema", "form", "seed", "ratios", "groups")} == {
        "schema": 1,
        "form": "keras-txt",
        "seed": 3,
        "ratios": [0.6, 0.2, 0.2],
        "groups": 15,
    }
    assert content["source"] == ("." if inside else "../set")
    assert done.stdout.splitlines()[0] == f"{out}/splits.json: 30 photographs in 15 groups"
    assert done.stdout.splitlines()[1].startswith("  train      18 photographs: ")


def test_splits_can_have_any_name_and_the_seed_repeats_them(larger, tmp_path):
    for name in ("a", "b"):
        assert run("split", larger, "--out", tmp_path / f"{name}.json").exit_code == 0
    assert (tmp_path / "a.json").read_text() == (tmp_path / "b.json").read_text()
    assert list(read_splits(tmp_path / "a.json")) == ["train", "valid", "test"]
    assert run("inspect", tmp_path / "a.json").exit_code == 0


def test_a_set_that_has_splits_is_split_anew(keras_txt):
    assert run("split", keras_txt, "--out", keras_txt, "--ratios", "0.5,0.5,0").exit_code == 0
    assert {split: len(part.samples) for split, part in read_splits(keras_txt).items()} == {"train": 3, "valid": 3}


def test_saved_splits_are_not_overwritten(larger):
    (larger / "splits.json").write_text("mine")
    done = run("split", larger, "--out", larger)
    assert done.exit_code == 1
    assert done.stderr == f"Error: {larger}/splits.json: is there already; remove it or name another\n"
    assert (larger / "splits.json").read_text() == "mine"


def test_splitting_stops_at_a_photograph_that_cannot_be_read(larger):
    (larger / "p0_jpg.rf.1.jpg").write_bytes(b"")
    done = run("split", larger, "--out", larger)
    assert done.exit_code == 1
    assert done.stderr.splitlines()[-1] == f"Error: {larger}/p0_jpg.rf.1.jpg: the file is empty"
    assert not (larger / "splits.json").exists()


@pytest.mark.parametrize("ratios", ["0.8,0.2", "a,b,c", "0.8,0.1,0.2", "0,0.5,0.5", "1.2,-0.1,-0.1", "nan,0,1"])
def test_shares_that_are_none_are_wrong_usage(larger, ratios):
    done = run("split", larger, "--out", larger, "--ratios", ratios)
    assert done.exit_code == 2
    assert "such as 0.8,0.1,0.1" in done.stderr


@pytest.mark.parametrize("form", ["keras-txt", "yolo", "coco", "voc", "table"])
def test_convert_writes_every_form(keras_txt, tmp_path, form):
    done = run("convert", keras_txt, tmp_path / "out", "--to", form)
    assert done.stdout == f"{tmp_path}/out: {form}, photographs: 3 in train, 1 in valid, 2 in test\n"
    assert done.exit_code == 0
    if form != "table":
        for split, part in read_splits(keras_txt).items():
            assert same_marks(part, read_splits(tmp_path / "out")[split], 0.001)


def test_convert_can_link_the_photographs(keras_txt, tmp_path):
    assert run("convert", keras_txt, tmp_path / "out", "--to", "yolo", "--link").exit_code == 0
    assert (tmp_path / "out/train/images/a.jpg").samefile(keras_txt / "train/a.jpg")


def test_convert_follows_saved_splits(larger, tmp_path):
    run("split", larger, "--out", larger)
    assert run("convert", larger, tmp_path / "out", "--to", "coco").exit_code == 0
    assert sorted(entry.name for entry in (tmp_path / "out").iterdir()) == ["test", "train", "valid"]


def test_convert_leaves_a_folder_that_holds_something_alone(keras_txt, tmp_path):
    done = run("convert", keras_txt, keras_txt, "--to", "coco")
    assert done.exit_code == 1
    assert done.stderr == f"Error: {keras_txt}: not empty; name another folder\n"


def test_a_set_that_lists_a_file_twice_cannot_be_split(tmp_path):
    write_dataset(small_set(tmp_path / "made"), "yolo", tmp_path / "set")
    settings = yaml.safe_load((tmp_path / "set/data.yaml").read_text())
    (tmp_path / "set/data.yaml").write_text(yaml.safe_dump(settings | {"val": settings["train"]}))
    done = run("split", tmp_path / "set", "--out", tmp_path)
    assert done.exit_code == 1
    assert re.fullmatch(r"Error: \S+: listed more than once; acne-train data inspect tells .*", done.stderr.strip())


def test_splits_are_not_split_again_but_their_set_is(larger):
    assert run("split", larger, "--out", larger / "mine.json").exit_code == 0
    done = run("split", larger / "mine.json", "--out", larger / "other.json")
    assert done.exit_code == 1
    assert "mine.json: name the folder of the labelled set itself" in done.stderr
