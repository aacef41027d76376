import numpy as np
import pytest
from support.datasets import photograph

from acne_runtime.errors import SourceError
from acne_trainer.data.load import read_split, read_splits


def marked(name, xmin, ymin, xmax, ymax, more=""):
    return (
        f"<object><name>{name}</name><bndbox><xmin>{xmin}</xmin><ymin>{ymin}</ymin><xmax>{xmax}</xmax>"
        f"<ymax>{ymax}</ymax></bndbox>{more}</object>"
    )


def xml(*objects):
    return f"<annotation>\n<filename>x.jpg</filename>\n{''.join(objects)}\n</annotation>"


def voc(root, labels, photographs=("a.jpg", "b.jpg"), photos="train", apart=None):
    for seed, name in enumerate(photographs):
        photograph(root / photos / name, seed)
    folder = root / (apart or photos)
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in labels.items():
        (folder / name).write_text(text)
    return root


def refusal(root):
    with pytest.raises(SourceError) as refused:
        read_splits(root)
    assert "\n" not in str(refused.value)
    return str(refused.value).replace(str(root), "SET")


def test_boxes_count_their_last_pixel_in(tmp_path):
    # VOC's first pixel is 1 and its last one belongs to the box; ours begin at 0 and end where the pixel ends.
    data = read_split(
        voc(tmp_path, {"a.xml": xml(marked("papules", 1, 1, 64, 48), marked("nodules", 5, 6, 5, 8))}), "train"
    )
    assert data.classes == ("nodules", "papules")
    np.testing.assert_array_equal(data.samples[0].boxes, [[0, 0, 64, 48], [4, 5, 5, 8]])
    np.testing.assert_array_equal(data.samples[0].classes, [1, 0])
    assert data.samples[1].boxes.shape == (0, 4)  # b.jpg has no label


@pytest.mark.parametrize(
    ("photos", "labels"),
    [
        ("train", "train"),
        ("train/images", "train/annotations"),
        ("train/JPEGImages", "train/Annotations"),
        ("images/train", "annotations/train"),
    ],
)
def test_labels_lie_beside_the_photographs_or_in_a_folder_of_their_own(tmp_path, photos, labels):
    root = voc(tmp_path, {"a.xml": xml(marked("papules", 1, 2, 3, 4))}, photos=photos, apart=labels)
    data = read_splits(root)
    assert list(data) == ["train"]
    assert [len(sample.boxes) for sample in data["train"].samples] == [1, 0]


def test_the_devkits_own_folders_are_a_set_without_splits(tmp_path):
    root = voc(tmp_path, {"a.xml": xml(marked("papules", 1, 2, 3, 4))}, photos="JPEGImages", apart="Annotations")
    assert list(read_splits(root)) == ["all"]


def test_all_splits_share_their_class_names(tmp_path):
    voc(tmp_path, {"a.xml": xml(marked("papules", 1, 2, 3, 4))}, photos="train")
    voc(tmp_path, {"a.xml": xml(marked("comedones", 1, 2, 3, 4))}, photos="test")
    data = read_splits(tmp_path)
    assert {part.classes for part in data.values()} == {("comedones", "papules")}
    assert data["train"].samples[0].classes.tolist() == [1]
    assert read_split(tmp_path, "train").classes == ("comedones", "papules")


def test_a_list_of_classes_gives_their_order(tmp_path):
    root = voc(tmp_path, {"a.xml": xml(marked("papules", 1, 2, 3, 4)), "_classes.txt": "papules\ncomedones\n"})
    data = read_split(root, "train")
    assert data.classes == ("papules", "comedones")
    assert data.samples[0].classes.tolist() == [0]


def test_a_polygon_makes_no_difference(tmp_path):
    polygon = "<polygon><x1>1</x1><y1>1</y1><x2>9</x2><y2>1</y2><x3/></polygon>"
    root = voc(tmp_path, {"a.xml": xml(marked("papules", 1, 2, 30, 40, polygon))})
    np.testing.assert_array_equal(read_split(root, "train").samples[0].boxes, [[0, 1, 30, 40]])


def test_corners_come_in_any_order(tmp_path):
    root = voc(tmp_path, {"a.xml": xml(marked("papules", 30, 40, 3, 4))})
    np.testing.assert_array_equal(read_split(root, "train").samples[0].boxes, [[2, 3, 30, 40]])


BOMB = '<?xml version="1.0"?><!DOCTYPE a [<!ENTITY b "b">]><annotation>&b;</annotation>'


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("<annotation>\n<object>\n</annotation>", ":3: not XML (mismatched tag)"),
        ("", ":1: not XML (no element found)"),
        ("<html></html>", ": not Pascal VOC: it holds no <annotation>"),
        (BOMB, ": not XML that is safe to read (EntitiesForbidden(name='b', system_id=None, public_id=None))"),
        (
            xml(marked("papules", 1, 2, 3, 4), "<object></object>"),
            ": object 2: no name",
        ),
        (xml("<object><name>papules</name></object>"), ": object 1: no bndbox"),
        (xml(marked("papules", 1, 2, "", 4)), ": object 1: no xmax"),
        (xml(marked("papules", 1, 2, "far", 4)), ": object 1: xmax 'far' is no number"),
    ],
    ids=range(8),
)
def test_a_malformed_file_is_refused(tmp_path, text, problem):
    root = voc(tmp_path, {"a.xml": text, "b.xml": xml(marked("papules", 1, 2, 3, 4))})
    assert refusal(root) == f"SET/train/a.xml{problem}"


def test_a_class_that_is_not_listed_is_refused(tmp_path):
    root = voc(tmp_path, {"a.xml": xml(marked("moles", 1, 2, 3, 4)), "_classes.txt": "papules\n"})
    assert refusal(root) == "SET/train/a.xml: object 1: the class 'moles' is not one of ['papules']"


def test_text_that_is_no_utf8_is_refused(tmp_path):
    root = voc(tmp_path, {"b.xml": xml(marked("papules", 1, 2, 3, 4))})
    (root / "train/a.xml").write_bytes(b"<annotation>\n\xff</annotation>")
    assert refusal(root) == "SET/train/a.xml:2: not XML (not well-formed (invalid token))"


def test_a_label_without_photograph_is_refused(tmp_path):
    root = voc(tmp_path, {"a.xml": xml(marked("papules", 1, 2, 3, 4)), "c.xml": xml()})
    assert refusal(root) == "SET/train/c.xml: labels a photograph that is not in SET/train"


@pytest.mark.parametrize("stated", ["b.jpg", "C:\\photos\\b.png", "photos/b.jpg"])
def test_a_file_that_names_another_photograph_of_the_set_is_refused(tmp_path, stated):
    text = xml(marked("papules", 1, 1, 9, 9)).replace("x.jpg", stated)
    message = "its <filename> names 'b', another photograph; rename it or mend it"
    assert refusal(voc(tmp_path, {"a.xml": text})) == f"SET/train/a.xml: {message}"


def test_a_class_in_two_spellings_is_refused(tmp_path):
    root = voc(tmp_path, {"a.xml": xml(marked("Papules", 1, 1, 9, 9)), "b.xml": xml(marked("papules", 1, 1, 9, 9))})
    assert refusal(root).endswith("names the class 'Papules' as 'papules' too; write it in one way")


def test_a_set_without_any_object_is_refused(tmp_path):
    assert refusal(voc(tmp_path, {"a.xml": xml()})) == "SET/train: names no class"


def test_what_cannot_be_read_is_passed_over_on_demand(tmp_path):
    root = voc(tmp_path, {"a.xml": "<", "b.xml": xml(marked("papules", 1, 2, 3, 4)), "c.xml": xml()})
    errors = []
    data = read_splits(root, errors.append)
    assert [sample.path.name for sample in data["train"].samples] == ["b.jpg"]
    assert [str(error).replace(str(root), "SET").split(": ")[0] for error in errors] == [
        "SET/train/a.xml:1",
        "SET/train/c.xml",
    ]
