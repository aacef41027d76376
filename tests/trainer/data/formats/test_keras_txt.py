import re

import cv2
import numpy as np
import pytest

from acne_runtime.errors import SourceError
from acne_trainer.data.formats.keras_txt import read_keras_txt

CLASSES = "comedones\nnodules\npapules\npustules\n"


def split(folder, annotations, classes=CLASSES, photographs=()):
    """Writes a Keras-TXT split; names of photographs are those given and `a.jpg`, `b.jpg`."""
    folder.mkdir(exist_ok=True)
    if classes is not None:
        (folder / "_classes.txt").write_bytes(classes.encode())
    if annotations is not None:
        (folder / "_annotations.txt").write_bytes(annotations.encode())
    _, jpeg = cv2.imencode(".jpg", np.full((12, 16, 3), 90, np.uint8))
    for name in ("a.jpg", "b.jpg", *photographs):
        (folder / name).write_bytes(jpeg.tobytes())
    return folder


def test_a_good_folder_is_read_in_the_order_of_its_lines(tmp_path):
    folder = split(tmp_path, "b.jpg 1,2,3,4,0 5,6,15,11,3\na.jpg 0,0,16,12,2\n")
    data = read_keras_txt(folder)
    assert data.path == folder
    assert data.classes == ("comedones", "nodules", "papules", "pustules")
    assert [sample.path for sample in data.samples] == [folder / "b.jpg", folder / "a.jpg"]
    first, second = data.samples
    np.testing.assert_array_equal(first.boxes, [[1, 2, 3, 4], [5, 6, 15, 11]])
    np.testing.assert_array_equal(first.classes, [0, 3])
    np.testing.assert_array_equal(second.boxes, [[0, 0, 16, 12]])
    np.testing.assert_array_equal(second.classes, [2])
    assert (first.boxes.dtype, first.classes.dtype) == (np.float32, np.int32)
    np.testing.assert_array_equal(first.presence(4), [1, 0, 0, 1])


def test_a_photograph_can_be_opened(tmp_path):
    sample = read_keras_txt(split(tmp_path, "a.jpg 1,2,3,4,0\n")).samples[0]
    image = sample.image()
    assert (image.shape, image.dtype) == ((12, 16, 3), np.uint8)
    assert np.abs(image.astype(int) - 90).max() <= 2


def test_a_photograph_that_cannot_be_decoded_is_named(tmp_path):
    folder = split(tmp_path, "a.jpg 1,2,3,4,0\n")
    (folder / "a.jpg").write_bytes(b"no picture")
    with pytest.raises(SourceError, match=re.escape(str(folder / "a.jpg"))):
        read_keras_txt(folder).samples[0].image()


@pytest.mark.parametrize("line", ["a.jpg", "a.jpg ", "a.jpg\t"])
def test_a_photograph_without_boxes_is_bare_skin(tmp_path, line):
    sample = read_keras_txt(split(tmp_path, f"{line}\nb.jpg 1,2,3,4,0\n")).samples[0]
    assert (sample.boxes.shape, sample.classes.shape) == ((0, 4), (0,))
    assert (sample.boxes.dtype, sample.classes.dtype) == (np.float32, np.int32)
    np.testing.assert_array_equal(sample.presence(4), [0, 0, 0, 0])


@pytest.mark.parametrize("boxes", ["", " 1,2,3,4,0"])
@pytest.mark.parametrize(
    "name",
    [
        "my photo 1.jpg",
        "left cheek, 2,3 days.jpg",
        "12 13.jpg",
        "Gesicht für später.jpg",
        "two  spaces.jpg",
        "Screenshot 9.41\u202fAM.jpg",
        "no\u00a0break.jpg",
    ],
)
def test_a_name_may_contain_spaces(tmp_path, name, boxes):
    folder = split(tmp_path, f"{name}{boxes}\n", photographs=[name])
    (sample,) = read_keras_txt(folder).samples
    assert sample.path == folder / name
    assert len(sample.boxes) == bool(boxes)


def test_coordinates_may_have_fractions_and_leave_the_photograph(tmp_path):
    (sample,) = read_keras_txt(split(tmp_path, "a.jpg -1.5,0,3.25,4,0\n")).samples
    np.testing.assert_array_equal(sample.boxes, [[-1.5, 0, 3.25, 4]])


@pytest.mark.parametrize(
    ("annotations", "classes"),
    [
        ("a.jpg 1,2,3,4,0\r\nb.jpg\r\n", "comedones\r\nnodules\r\n"),
        ("\na.jpg 1,2,3,4,0\n\n  \nb.jpg\n\n", "comedones\n\nnodules\n\n"),
        ("  a.jpg   1,2,3,4,0  \nb.jpg", "  comedones \nnodules"),
    ],
    ids=["windows line ends", "empty lines", "spaces around"],
)
def test_line_ends_and_empty_lines_make_no_difference(tmp_path, annotations, classes):
    data = read_keras_txt(split(tmp_path, annotations, classes))
    assert data.classes == ("comedones", "nodules")
    assert [sample.path.name for sample in data.samples] == ["a.jpg", "b.jpg"]
    np.testing.assert_array_equal(data.samples[0].boxes, [[1, 2, 3, 4]])


def test_the_byte_order_mark_of_a_windows_editor_is_no_part_of_a_name(tmp_path):
    data = read_keras_txt(split(tmp_path, "\ufeffa.jpg 1,2,3,4,0\n", "\ufeffcomedones\nnodules\n"))
    assert data.classes == ("comedones", "nodules")
    assert data.samples[0].path.name == "a.jpg"


@pytest.mark.parametrize("number", [1, 2, 4])
@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ("b.jpg 1,2,3,4", "b.jpg 1,2,3,4"),
        ("b.jpg 1,2,3,4,0,5", "1,2,3,4,0,5"),
        ("b.jpg 1,2,3,4,papules", "1,2,3,4,papules"),
        ("b.jpg 1, 2, 3, 4, 0", "1, 2, 3, 4, 0"),
        ("b.jpg nan,2,3,4,0", "nan,2,3,4,0"),
        ("b.jpg 1,2,3,4,0;5,6,7,8,0", "1,2,3,4,0;5,6,7,8,0"),
        ("b.jpg 1,2,3,4,0 5,6,7", "'5,6,7' is not x1,y1,x2,y2,class"),
        ("b.jpg 1,2,3,4,0 and more", "'and' is not x1,y1,x2,y2,class"),
        ("b.jpg 1,2,3,4,0 1e1,2,30,4,0", "'1e1,2,30,4,0' is not x1,y1,x2,y2,class"),
        ("b.jpg 1,2,3,4,0 a.jpg", "'a.jpg' is not x1,y1,x2,y2,class"),
        ("1,2,3,4,0", "is no photograph"),
        ("missing.jpg 1,2,3,4,0", "'missing.jpg' is no photograph"),
        ("missing.jpg", "'missing.jpg' is no photograph"),
        (". 1,2,3,4,0", "is no photograph"),
        ("b.jpg 3,2,1,4,0", "'3,2,1,4,0' has no area"),
        ("b.jpg 1,4,3,2,0", "'1,4,3,2,0' has no area"),
        ("b.jpg 1,2,1,4,0", "'1,2,1,4,0' has no area"),
        ("b.jpg 1,2,3,2,0", "'1,2,3,2,0' has no area"),
        ("b.jpg 1,2,3,4,4", "class 4 of '1,2,3,4,4' is not within 0 to 3"),
        ("b.jpg 1,2,3,4,-1", "class -1 of '1,2,3,4,-1' is not within 0 to 3"),
        ("b.jpg 1,2,3,4,0.5", "class 0.5 of '1,2,3,4,0.5' is not within 0 to 3"),
        ("b.jpg " + " ".join(["10,20,30,40"] * 40), "10,20,30,40"),
    ],
    ids=lambda value: value[:32],
)
def test_a_malformed_line_is_refused_with_file_and_line(tmp_path, line, problem, number):
    lines = ["a.jpg 1,2,3,4,0", "", "c.jpg"][: number - 1]
    folder = split(tmp_path, "\n".join([*lines, line, "a.jpg"]), photographs=["c.jpg"])
    with pytest.raises(SourceError) as refused:
        read_keras_txt(folder)
    assert str(refused.value).startswith(f"{folder / '_annotations.txt'}:{number}: ")
    assert problem in str(refused.value)


@pytest.mark.parametrize("missing", ["_classes.txt", "_annotations.txt"])
def test_a_missing_file_is_named(tmp_path, missing):
    folder = split(tmp_path, "a.jpg 1,2,3,4,0\n")
    (folder / missing).unlink()
    with pytest.raises(SourceError, match=re.escape(f"{folder / missing}: not found")):
        read_keras_txt(folder)


def test_a_missing_folder_is_named(tmp_path):
    with pytest.raises(SourceError, match=re.escape(str(tmp_path / "nowhere"))):
        read_keras_txt(tmp_path / "nowhere")


@pytest.mark.parametrize("annotations", ["", "\n \n"])
def test_a_split_without_photographs_is_refused(tmp_path, annotations):
    with pytest.raises(SourceError, match=r"_annotations\.txt: no photograph is listed"):
        read_keras_txt(split(tmp_path, annotations))


@pytest.mark.parametrize("file", ["_classes.txt", "_annotations.txt"])
def test_text_that_is_not_utf8_is_refused(tmp_path, file):
    folder = split(tmp_path, "a.jpg 1,2,3,4,0\n")
    (folder / file).write_bytes("a.jpg für".encode("latin-1"))
    with pytest.raises(SourceError, match=re.escape(f"{folder / file}: not UTF-8")):
        read_keras_txt(folder)


BASE = "a.jpg 1,2,3,4,0 5,6,7,8,1\nb.jpg\n"


@pytest.mark.parametrize(
    ("annotations", "classes"),
    [
        ("a.jpg 1,2,3,5,0 5,6,7,8,1\nb.jpg\n", CLASSES),
        ("a.jpg 1,2,3,4.5,0 5,6,7,8,1\nb.jpg\n", CLASSES),
        ("a.jpg 1,2,3,4,2 5,6,7,8,1\nb.jpg\n", CLASSES),
        ("a.jpg 1,2,3,4,0\nb.jpg\n", CLASSES),
        ("a.jpg\nb.jpg 1,2,3,4,0 5,6,7,8,1\n", CLASSES),
        ("b.jpg 1,2,3,4,0 5,6,7,8,1\na.jpg\n", CLASSES),
        ("a.jpg 1,2,3,4,0 5,6,7,8,1\n", CLASSES),
        (BASE, "comedones\nnodules\npustules\npapules\n"),
        (BASE, "comedones\nnodules\n"),
    ],
    ids=[
        "a side",
        "a fraction",
        "a class",
        "a box less",
        "another photograph's boxes",
        "another name",
        "a photograph less",
        "classes reordered",
        "classes left out",
    ],
)
def test_the_fingerprint_changes_with_what_is_marked(tmp_path, annotations, classes):
    before = read_keras_txt(split(tmp_path / "before", BASE)).fingerprint()
    assert read_keras_txt(split(tmp_path / "after", annotations, classes)).fingerprint() != before


def test_the_fingerprint_does_not_depend_on_the_folder_or_the_spacing(tmp_path):
    here = read_keras_txt(split(tmp_path / "here", BASE)).fingerprint()
    there = read_keras_txt(split(tmp_path / "there", BASE.replace(" ", "   ").replace("\n", "\r\n\r\n"))).fingerprint()
    assert here == there
    assert re.fullmatch("[0-9a-f]{64}", here)


def test_a_photograph_that_is_listed_twice_is_refused(tmp_path):
    folder = split(tmp_path, "a.jpg 1,2,3,4,0\nb.jpg\na.jpg 5,6,7,8,1\n")
    with pytest.raises(SourceError, match=r"_annotations\.txt:3: 'a\.jpg' is listed twice"):
        read_keras_txt(folder)
