import numpy as np
import pytest
from support.datasets import photograph

from acne_runtime.errors import SourceError
from acne_trainer.data.load import read_split, read_splits


def table(root, text, name="train/_classes.csv"):
    for seed, photo in enumerate(("a.jpg", "b, c.jpg")):
        photograph(root / "train" / photo, seed)
    (root / name).write_bytes(text if isinstance(text, bytes) else text.encode())
    return root


def refusal(root):
    with pytest.raises(SourceError) as refused:
        read_splits(root)
    assert "\n" not in str(refused.value)
    return str(refused.value).replace(str(root), "SET")


PAPER = 'Name,0,1,2,3\na.jpg,1,0,0,1\n"b, c.jpg",0,0,0,0\n'


def test_the_papers_table_is_read(tmp_path):
    data = read_split(table(tmp_path, PAPER), "train")
    assert data.classes == ("0", "1", "2", "3")
    assert not data.has_boxes
    assert [sample.path.name for sample in data.samples] == ["a.jpg", "b, c.jpg"]
    np.testing.assert_array_equal(data.samples[0].types, [0, 3])
    np.testing.assert_array_equal(data.samples[1].types, [])
    np.testing.assert_array_equal(data.samples[0].presence(4), [1, 0, 0, 1])
    assert (data.samples[0].boxes.shape, data.samples[0].types.dtype) == ((0, 4), np.int32)


def test_numbered_columns_take_the_names_beside_them(tmp_path):
    root = table(tmp_path, PAPER)
    (root / "train/_classes.txt").write_text("comedones\nnodules\npapules\npustules\n")
    assert read_split(root, "train").classes == ("comedones", "nodules", "papules", "pustules")


def test_roboflows_multi_class_table_is_read(tmp_path):
    data = read_split(
        table(tmp_path, 'filename, comedones, nodules\r\na.jpg, 0, 1\r\n\r\n"b, c.jpg", 1, 1\r\n'), "train"
    )
    assert data.classes == ("comedones", "nodules")
    np.testing.assert_array_equal(data.samples[1].types, [0, 1])


def test_a_name_in_quotes_may_hold_commas(tmp_path):
    assert read_split(table(tmp_path, 'filename, "comedones, open"\na.jpg, 1\n'), "train").classes == (
        "comedones, open",
    )


@pytest.mark.parametrize("name", ["train/labels.csv", "train.csv"])
def test_the_table_may_have_another_name_or_place(tmp_path, name):
    assert len(read_split(table(tmp_path, PAPER, name), "train").samples) == 2


def test_the_byte_order_mark_of_a_windows_editor_is_no_part_of_the_header(tmp_path):
    assert read_split(table(tmp_path, b"\xef\xbb\xbf" + PAPER.encode(), "train.csv"), "train").classes[0] == "0"


def test_another_table_beside_the_photographs_is_none_of_labels(tmp_path):
    root = table(tmp_path, "patient,age\n1,17\n", "train/people.csv")
    assert "no labelled photographs found" in refusal(root)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", ":1: '' is no header (expected: Name,comedones,...)"),
        ("a.jpg,1,0\n", ":1: 'a.jpg,1,0' is no header (expected: Name,comedones,...)"),
        ("Name\na.jpg\n", ":1: 'Name' is no header (expected: Name,comedones,...)"),
        ("Name,0\n", ": no photograph is listed"),
        (
            "filename,width,height,class,xmin,ymin,xmax,ymax\na.jpg,64,48,papules,1,1,9,9\n",
            ": a table of boxes, as TensorFlow has it; export the set as YOLO, COCO or Pascal VOC",
        ),
        ("Name,a,A \na.jpg,0,1\n", ": names the class 'a' as 'A' too; write it in one way"),
        ("Name,a,a\na.jpg,0,1\n", ": names the class 'a' twice"),
        ("Name,0,1\na.jpg,1,0\na.jpg,1,0\n", ":3: 'a.jpg' is listed twice"),
        ("Name,0,1\na.jpg,1\n", ":2: 2 columns instead of 3"),
        ("Name,0,1\n\na.jpg,1,0,0\n", ":3: 4 columns instead of 3"),
        ("Name,0,1\na.jpg,1,2\n", ":2: '2' is neither 0 nor 1"),
        ("Name,0,1\na.jpg,1,\n", ":2: '' is neither 0 nor 1"),
        ("Name,0,1\nz.jpg,1,0\n", ":2: 'z.jpg' is no photograph in SET/train"),
        ('Name,0,1\n"a.jpg,1,0\n', ":2: not CSV (unexpected end of data)"),
        (b"Name,0,1\nf\xfcr.jpg,1,0\n", ": not UTF-8 text (invalid start byte at byte 10)"),
    ],
    ids=range(15),
)
def test_a_malformed_table_is_refused_with_its_line(tmp_path, text, problem):
    assert refusal(table(tmp_path, text)) == f"SET/train/_classes.csv{problem}"


def test_names_that_do_not_fit_the_columns_are_refused(tmp_path):
    root = table(tmp_path, PAPER)
    (root / "train/_classes.txt").write_text("comedones\nnodules\n")
    assert refusal(root) == "SET/train/_classes.txt: names 2 classes, but _classes.csv has 4 columns"


def test_what_cannot_be_read_is_passed_over_on_demand(tmp_path):
    errors = []
    data = read_splits(table(tmp_path, 'Name,0\nz.jpg,1\na.jpg,yes\n"b, c.jpg",1\n'), errors.append)
    assert [sample.path.name for sample in data["train"].samples] == ["b, c.jpg"]
    assert [str(error).split(": ")[0].rsplit(":")[-1] for error in errors] == ["2", "3"]
