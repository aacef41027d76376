import numpy as np
import pytest
from support.datasets import photograph

from acne_runtime.errors import SourceError
from acne_trainer.data.load import read_split, read_splits

YAML = "train: ../train/images\nval: ../valid/images\ntest: ../test/images\nnc: 2\nnames: ['nodules', 'comedones']\n"


def yolo(root, labels, yaml=YAML, split="train", photographs=("a.jpg", "b.jpg")):
    """A set as Roboflow lays it out; photographs are 64 x 48."""
    for seed, name in enumerate(photographs):
        photograph(root / split / "images" / name, seed)
    (root / split / "labels").mkdir(parents=True)
    for name, text in labels.items():
        (root / split / "labels" / name).write_text(text)
    (root / "data.yaml").write_text(yaml)
    return root


def refusal(root, **options):
    with pytest.raises(SourceError) as refused:
        read_splits(root, **options)
    assert "\n" not in str(refused.value)
    return str(refused.value).replace(str(root), "SET")


def test_fractions_become_pixels_in_the_order_of_the_lines(tmp_path):
    data = read_split(yolo(tmp_path, {"a.txt": "1 0.5 0.5 0.25 0.5\n\n0 0.125 0.25 0.125 0.125\n"}), "train")
    assert data.classes == ("nodules", "comedones")
    assert [sample.path.name for sample in data.samples] == ["a.jpg", "b.jpg"]
    np.testing.assert_allclose(data.samples[0].boxes, [[24, 12, 40, 36], [4, 9, 12, 15]])
    np.testing.assert_array_equal(data.samples[0].classes, [1, 0])
    assert data.samples[0].boxes.dtype == np.float32


def test_a_photograph_without_label_is_bare_skin(tmp_path):
    sample = read_split(yolo(tmp_path, {"a.txt": "1 0.5 0.5 0.25 0.5\n"}), "train").samples[1]
    assert (sample.boxes.shape, sample.classes.shape) == ((0, 4), (0,))


def test_a_polygon_is_the_box_around_it(tmp_path):
    data = read_split(yolo(tmp_path, {"a.txt": "1 0.25 0.5 0.5 0.25 0.75 0.5 0.5 0.75\n"}), "train")
    np.testing.assert_allclose(data.samples[0].boxes, [[16, 12, 48, 36]])


def test_a_photograph_lying_on_its_side_is_read_upright(tmp_path):
    from PIL import Image

    root = yolo(tmp_path, {"a.txt": "1 0.5 0.5 0.5 0.5\n"}, photographs=["b.jpg"])
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.new("RGB", (64, 48)).save(root / "train/images/a.jpg", exif=exif)
    sample = read_split(root, "train").samples[0]
    assert sample.image().shape == (64, 48, 3)
    np.testing.assert_allclose(sample.boxes, [[12, 16, 36, 48]])


@pytest.mark.parametrize(
    "names",
    [
        "names: {0: nodules, 1: comedones}",
        "names:\n  - nodules\n  - comedones",
        "names: {'1': comedones, '0': nodules}",
    ],
)
def test_class_names_come_by_list_or_by_index(tmp_path, names):
    root = yolo(tmp_path, {"a.txt": "1 0.5 0.5 0.25 0.5\n"}, f"train: train/images\n{names}\n")
    assert read_split(root, "train").classes == ("nodules", "comedones")


@pytest.mark.parametrize(
    "entry", ["photos/train", "../photos/train", "ROOT/photos/train", "[photos/train]", "photos/list.txt"]
)
def test_data_yaml_says_where_a_split_lies(tmp_path, entry):
    photograph(tmp_path / "photos/train/a.jpg", 0)
    (tmp_path / "photos/train/a.txt").write_text("0 0.5 0.5 0.5 0.5\n")
    (tmp_path / "photos/list.txt").write_text("train/a.jpg\n\n")
    (tmp_path / "data.yaml").write_text(f"train: {entry}\nnames: [nodules]\n".replace("ROOT", str(tmp_path)))
    assert len(read_split(tmp_path, "train").samples[0].boxes) == 1


@pytest.mark.parametrize("images", ["images/val", "val/images", "valid/images", "images/validation"])
@pytest.mark.parametrize("yaml", ["names: [nodules]\n", "train: x\nval: x\nnames: [nodules]\n"])
def test_the_usual_folders_are_found_without_an_entry(tmp_path, images, yaml):
    photograph(tmp_path / images / "a.jpg", 0)
    labels = tmp_path / images.replace("images", "labels")
    labels.mkdir(parents=True)
    (labels / "a.txt").write_text("0 0.5 0.5 0.5 0.5\n")
    (tmp_path / "data.yaml").write_text(yaml)
    data = read_splits(tmp_path)
    assert list(data) == ["valid"]
    assert len(data["valid"].samples[0].boxes) == 1


def test_what_labelimg_leaves_among_the_labels_is_no_label(tmp_path):
    root = yolo(tmp_path, {"a.txt": "1 0.5 0.5 0.25 0.5\n", "classes.txt": "nodules\ncomedones\n"})
    assert len(read_split(root, "train").samples) == 2


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ("0 0.5 0.5 0.25", "Invalid YOLO annotation line '0 0.5 0.5 0.25'; expected at least 5 values"),
        ("nodules 0.5 0.5 0.25 0.5", "Invalid class id 'nodules'; expected a whole number"),
        ("0 0.5 0.5 wide 0.5", "could not convert string to float: 'wide'"),
        ("0 0.5 0.5 nan 0.5", "Invalid YOLO annotation line '0 0.5 0.5 nan 0.5'; expected finite numbers"),
        ("0 0.5 0.5 -0.1 0.5", "Invalid YOLO annotation line '0 0.5 0.5 -0.1 0.5'; expected a width"),
        ("0 0.5 0.5 0 0.5", "the box 32,12,32,36 (x1,y1,x2,y2) has no area"),
        ("2 0.5 0.5 0.25 0.5", "class 2 is not within 0 to 1"),
        ("-1 0.5 0.5 0.25 0.5", "class -1 is not within 0 to 1"),
    ],
)
def test_a_malformed_line_is_refused_with_file_and_line(tmp_path, line, problem):
    root = yolo(tmp_path, {"a.txt": f"1 0.5 0.5 0.25 0.5\n\n{line}\n"})
    assert refusal(root).startswith(f"SET/train/labels/a.txt:3: {problem}")


@pytest.mark.parametrize(
    ("yaml", "problem"),
    [
        ("names: [a, b\n", ":2: not YAML (expected ',' or ']', but got '<stream end>')"),
        ("- a\n", ": names no classes (expected: names: [comedones, ...])"),
        ("train: train/images\n", ": names no classes (expected: names: [comedones, ...])"),
        ("names: []\n", ": names no class"),
        ("names: [a, a]\n", ": names the class 'a' twice"),
        ("names: {1: a, 2: b}\n", ": names must have the indices 0 to 1, not [1, 2]"),
        ("names: [a, b]\nnc: 3\n", ": nc is 3, but 2 classes are named"),
        ("names: [a, b]\nkpt_shape: [3, 2]\n", ": its labels hold keypoints (kpt_shape); export boxes instead"),
    ],
)
def test_a_bad_data_yaml_is_refused(tmp_path, yaml, problem):
    assert refusal(yolo(tmp_path, {"a.txt": ""}, yaml)) == f"SET/data.yaml{problem}"


def test_a_data_yaml_that_is_no_utf8_is_refused(tmp_path):
    root = yolo(tmp_path, {"a.txt": ""})
    (root / "data.yaml").write_bytes("names: [für]".encode("latin-1"))
    assert refusal(root) == "SET/data.yaml: not UTF-8 text (invalid start byte at byte 9)"


def test_a_data_yaml_alone_is_refused(tmp_path):
    (tmp_path / "data.yaml").write_text(YAML)
    assert refusal(tmp_path) == (
        "SET/data.yaml: neither its train, val and test nor an images folder next to it holds photographs"
    )


def test_a_label_without_photograph_is_refused(tmp_path):
    root = yolo(tmp_path, {"a.txt": "", "c.txt": ""})
    assert refusal(root) == "SET/train/labels/c.txt: labels a photograph that is not there"


def test_photographs_without_any_label_are_refused(tmp_path):
    assert refusal(yolo(tmp_path, {})) == (
        "SET/train/images: none of its photographs has a label (looked in SET/train/labels)"
    )


def test_a_label_that_is_no_utf8_is_refused(tmp_path):
    root = yolo(tmp_path, {"a.txt": ""})
    (root / "train/labels/a.txt").write_bytes(b"0 0.5 0.5 0.5 0.5 \xff")
    assert refusal(root) == "SET/train/labels/a.txt: not UTF-8 text (invalid start byte at byte 18)"


@pytest.mark.parametrize(("content", "problem"), [(b"", "the file is empty"), (b"skin", "not an image, or corrupt")])
def test_a_photograph_without_size_is_refused(tmp_path, content, problem):
    root = yolo(tmp_path, {"a.txt": ""})
    (root / "train/images/b.jpg").write_bytes(content)
    assert refusal(root) == f"SET/train/images/b.jpg: {problem}"


@pytest.mark.parametrize(
    ("lines", "problem"),
    [("train/z.jpg\n", ":1: SET/photos/train/z.jpg is no photograph"), ("\n", ": no photograph is listed")],
)
def test_a_list_of_photographs_that_are_not_there_is_refused(tmp_path, lines, problem):
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos/list.txt").write_text(lines)
    (tmp_path / "data.yaml").write_text("train: photos/list.txt\nnames: [nodules]\n")
    assert refusal(tmp_path) == f"SET/photos/list.txt{problem}"


def test_what_cannot_be_read_is_passed_over_on_demand(tmp_path):
    root = yolo(
        tmp_path,
        {"a.txt": "0 0.5\n", "c.txt": "1 0.5 0.5 0.25 0.5\n", "d.txt": ""},
        photographs=["a.jpg", "b.jpg", "c.jpg"],
    )
    (root / "train/images/b.jpg").write_bytes(b"")
    errors = []
    data = read_splits(root, errors.append)
    assert [sample.path.name for sample in data["train"].samples] == ["c.jpg"]
    assert [str(error).replace(str(root), "SET").split(": ")[0] for error in errors] == [
        "SET/train/labels/a.txt:1",
        "SET/train/images/b.jpg",
        "SET/train/labels/d.txt",
    ]
