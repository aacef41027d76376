"""Labelled sets as people have them: what public reports told of, each with the right answer."""

import json
from pathlib import Path

import cv2
import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image
from PIL.PngImagePlugin import PngInfo
from support.images import picture, write_picture

from acne_runtime.errors import AcneEdgeError, SourceError
from acne_trainer.audit.audit import audit
from acne_trainer.cli.main import main
from acne_trainer.data.formats.common import upright_size
from acne_trainer.data.load import read_form_and_splits, read_split, read_splits

FIELD = Path(__file__).resolve().parents[4] / "shared" / "field-inputs"
needs_field = pytest.mark.skipif(not FIELD.is_dir(), reason=f"{FIELD} is not there")


def coco(folder, *, size=(64, 48), image_id=0, crowd=0):
    (folder / "train").mkdir(parents=True)
    cv2.imwrite(str(folder / "train" / "a.png"), picture(48, 64, 1))
    annotations = [
        {"id": 1, "image_id": image_id, "category_id": 1, "bbox": [4, 4, 10, 10], "iscrowd": 0},
        {"id": 2, "image_id": image_id, "category_id": 1, "bbox": [0, 0, 64, 48], "iscrowd": crowd},
    ]
    content = {
        "images": [{"id": image_id, "file_name": "a.png", "width": size[0], "height": size[1]}],
        "annotations": annotations,
        "categories": [{"id": 1, "name": "papules"}],
    }
    (folder / "train" / "_annotations.coco.json").write_text(json.dumps(content))
    return folder


def voc(folder, size="<size><width>64</width><height>48</height></size>", name="papules"):
    (folder / "train").mkdir(parents=True)
    cv2.imwrite(str(folder / "train" / "a.png"), picture(48, 64, 1))
    box = "<bndbox><xmin>5</xmin><ymin>5</ymin><xmax>14</xmax><ymax>14</ymax></bndbox>"
    text = f"<annotation>{size}<object><name>{name}</name>{box}</object></annotation>"
    (folder / "train" / "a.xml").write_text(text)
    return folder


@pytest.mark.parametrize("size", [(64, 48), (0, 0), (None, None), ("64", "48")])
def test_labels_of_the_photographs_size_or_of_none_are_read(tmp_path, size):
    assert len(read_split(coco(tmp_path / "set", size=size), "train").samples[0].boxes) == 2


@pytest.mark.parametrize("size", [(640, 480), (48, 64)])
def test_labels_of_another_size_are_refused(tmp_path, size):
    problem = f"of {size[0]} x {size[1]} pixels, which has 64 x 48; export labels and photographs together"
    with pytest.raises(SourceError, match=problem):
        read_split(coco(tmp_path / "coco", size=size), "train")
    stated = f"<size><width>{size[0]}</width><height>{size[1]}</height></size>"
    with pytest.raises(SourceError, match=problem):
        read_split(voc(tmp_path / "voc", size=stated), "train")


@pytest.mark.parametrize("size", ["", "<size><width>64</width><height>48</height></size>", "<size><width/></size>"])
def test_a_voc_size_may_be_missing_and_blanks_around_a_name_are_none_of_it(tmp_path, size):
    assert read_split(voc(tmp_path / "set", size, "\n papules "), "train").classes == ("papules",)


def test_a_crowd_region_is_no_lesion_and_said_to_be_left_out(tmp_path, caplog):
    sample = read_split(coco(tmp_path / "set", crowd=1), "train").samples[0]
    assert sample.boxes.tolist() == [[4, 4, 14, 14]]
    assert "1 crowd region(s) left out (iscrowd)" in caplog.text


@pytest.mark.parametrize(
    ("image_id", "problem"), [(3.0, None), ("3", "id is '3', not a whole number,"), (None, "id is missing")]
)
def test_ids_of_another_type_are_taken_or_named(tmp_path, image_id, problem):
    folder = coco(tmp_path / "set", image_id=image_id)
    if problem is None:
        assert len(read_split(folder, "train").samples[0].boxes) == 2
        return
    with pytest.raises(SourceError, match=problem):
        read_split(folder, "train")


def test_an_audit_in_which_nothing_can_be_read_says_why(tmp_path):
    with pytest.raises(
        SourceError, match=r"no split of this coco set can be read; first: .*id is 'x', not a whole number"
    ):
        read_form_and_splits(coco(tmp_path / "set", image_id="x"), on_error=lambda _: None)


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".webp", ".tif"])
def test_a_turned_photograph_has_the_size_that_the_decoder_gives(tmp_path, suffix):
    from PIL import Image

    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(np.zeros((40, 60, 3), np.uint8)).save(tmp_path / f"a{suffix}", exif=exif)
    shape = cv2.imdecode(np.fromfile(tmp_path / f"a{suffix}", np.uint8), cv2.IMREAD_COLOR).shape
    assert upright_size(tmp_path / f"a{suffix}") == (shape[1], shape[0]) == (40, 60)


def test_photographs_in_subfolders_are_read(tmp_path):
    root = tmp_path / "set"
    for place in ("", "anna/", "ben/left/"):
        for kind in ("images", "labels"):
            (root / kind / "train" / place).mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(root / "images/train" / place / "a.png"), picture(48, 64, 1))
        (root / "labels/train" / place / "a.txt").write_text("0 0.5 0.5 0.2 0.2\n")
    (root / "data.yaml").write_text("train: images/train\nnames: [papules]\n")
    samples = read_split(root, "train").samples
    assert [len(sample.boxes) for sample in samples] == [1, 1, 1]


@pytest.mark.parametrize("size", [32, 64, 75])
def test_an_input_too_small_for_the_cnn_is_an_error_of_one_line(size):
    pytest.importorskip("keras")
    from acne_trainer.models.cnn import build_cnn

    with pytest.raises(
        AcneEdgeError, match=f"`input_size` {size}: too small for the 4 blocks of the cnn; use 76 or more"
    ):
        build_cnn(4, size)
    assert build_cnn(4, 76).output_shape == (None, 4)


@needs_field
@pytest.mark.parametrize("name", ["y_subfolders", "y_subfolders_some", "y_odd_suffix", "y_exif", "c_crowd"])
def test_sets_of_the_reports_are_read_without_a_finding_of_misplaced_boxes(name):
    report = audit(FIELD / "labels" / name, 416)
    assert not [finding for finding in report.findings if finding.kind == "box-outside"]


@needs_field
@pytest.mark.parametrize(("name", "problem"), [("c_num_str_ids", "not a whole number"), ("v_gbk", "train0.xml")])
def test_inspect_names_the_first_reason(name, problem):
    done = CliRunner().invoke(main, ["data", "inspect", str(FIELD / "labels" / name)])
    assert done.exit_code == 1 and problem in done.output.splitlines()[-1]


def test_a_set_of_heic_photographs_is_read_with_their_upright_size(tmp_path):
    pytest.importorskip("pi_heif", reason="the extra `heif` is not installed")
    files = Path(__file__).resolve().parents[2] / "runtime" / "sources" / "heif_files"
    (tmp_path / "data.yaml").write_text("names: [papules]\nnc: '1'\ntrain: images\n")
    (tmp_path / "images").mkdir()
    (tmp_path / "labels").mkdir()
    for name in ("1.heic", "6.heic", "6.avif"):
        file = tmp_path / "images" / f"{name[0]}-{name[2:]}{name[1:]}"
        file.write_bytes((files / name).read_bytes())
        (tmp_path / "labels" / f"{file.stem}.txt").write_text("0 0.5 0.5 1 1\n")
    data = read_splits(tmp_path)["train"]
    boxes = {sample.path.name: sample.boxes.tolist() for sample in data.samples}
    assert boxes == {"1-heic.heic": [[0, 0, 80, 48]], "6-avif.avif": [[0, 0, 48, 80]], "6-heic.heic": [[0, 0, 48, 80]]}
    assert {sample.image().shape for sample in data.samples} == {(48, 80, 3), (80, 48, 3)}


def test_a_training_says_how_many_boxes_reach_beyond_their_photograph(tmp_path, caplog):
    from acne_trainer.data.mixture import read_sets
    from acne_trainer.data.source import DataSource
    from acne_trainer.train import _warn_of_boxes_outside

    for split in ("train", "valid", "test"):
        for folder in ("images", "labels"):
            (tmp_path / split / folder).mkdir(parents=True)
        write_picture(tmp_path / split / "images" / "a.png", 60, 80)
        (tmp_path / split / "labels" / "a.txt").write_text("0 0.5 0.5 0.2 0.2\n0 0.9 0.5 0.5 0.2\n0 40 30 9 9\n")
    (tmp_path / "data.yaml").write_text("names: [papules]\ntrain: train/images\nval: valid/images\ntest: test/images\n")
    _warn_of_boxes_outside(read_sets([DataSource(str(tmp_path))]))
    (line,) = [record.message for record in caplog.records]
    assert line.endswith("2 boxes reach beyond their photograph; acne-train data inspect lists them")


@pytest.mark.parametrize(
    ("line", "keypoints"),
    [
        ("0 0.5 0.5 0.2 0.2 0.4 0.4 2 0.6 0.6 2", True),
        ("0 0.5 0.5 0.2 0.2 0.4 0.4 2.000 0.6 0.6 0 0.5 0.5 1", True),
        ("0 0.1 0.1 0.3 0.1 0.3 0.3 0.1 0.3 0.2 0.2", False),
        ("0 0 0 1 0 1 1 0 1 0 0", False),
    ],
)
def test_keypoints_are_told_from_a_polygon(tmp_path, line, keypoints):
    (tmp_path / "data.yaml").write_text("names: [papules]\ntrain: images\n")
    for folder in ("images", "labels"):
        (tmp_path / folder).mkdir()
    write_picture(tmp_path / "images" / "a.png", 60, 80)
    (tmp_path / "labels" / "a.txt").write_text(line + "\n")
    if keypoints:
        with pytest.raises(SourceError, match=r"a\.txt:1: keypoints, not a polygon: .*; export boxes instead"):
            read_splits(tmp_path)
    else:
        assert len(read_splits(tmp_path)["train"].samples[0].boxes) == 1


def yolo(folder, labels, photographs=("a.png",), data="names: [papules]\ntrain: images\n"):
    for name in ("images", "labels"):
        (folder / name).mkdir(parents=True)
    for name in photographs:
        write_picture(folder / "images" / name, 48, 64)
    for name, text in labels.items():
        (folder / "labels" / name).write_text(text)
    (folder / "data.yaml").write_text(data)
    return folder


@pytest.mark.parametrize(
    ("labels", "photographs", "problem"),
    [
        ({"a.txt": "0 0.5 0.5 0.2 0.2\n"}, ("a.png", "a.jpg"), r"a\.txt: labels both a\.jpg and a\.png; rename one"),
        (
            {"a.TXT": "0 0.5 0.5 0.2 0.2\n"},
            ("a.png",),
            r"a\.TXT: labels a photograph .*; rename it to a\.txt",
        ),
        ({"a.png.txt": "0 0.5 0.5 0.2 0.2\n"}, ("a.png",), r"a\.png\.txt: labels a photograph .*; rename it to a\.txt"),
        ({"b.txt": "0 0.5 0.5 0.2 0.2\n"}, ("a.png",), r"b\.txt: labels a photograph that is not there$"),
    ],
)
def test_labels_that_fit_no_photograph_or_two_are_said(tmp_path, labels, photographs, problem):
    with pytest.raises(SourceError, match=problem):
        read_splits(yolo(tmp_path, labels, photographs))


def test_the_number_of_a_track_is_no_corner_of_a_polygon(tmp_path):
    (sample,) = read_splits(yolo(tmp_path, {"a.txt": "0 0.5 0.5 0.25 0.5 0.9 17\n"}))["train"].samples
    assert sample.boxes.tolist() == [[24, 12, 40, 36]]


@pytest.mark.parametrize(("names", "named"), [("[yes, no]", "True"), ("[papules, ~]", "None"), ("{0: off}", "False")])
def test_names_that_yaml_takes_for_something_else_are_said(tmp_path, names, named):
    with pytest.raises(SourceError, match=rf"data\.yaml: a class is named {named}; put names such as yes"):
        read_splits(yolo(tmp_path, {"a.txt": ""}, data=f"names: {names}\ntrain: images\n"))


def test_boxes_in_fractions_are_no_pixels(tmp_path):
    file = coco(tmp_path) / "train" / "_annotations.coco.json"
    content = json.loads(file.read_text())
    for annotation in content["annotations"]:
        annotation["bbox"] = [0.25, 0.25, 0.1, 0.2]
    file.write_text(json.dumps(content))
    with pytest.raises(SourceError, match="its boxes are fractions of the photographs; export them in pixels"):
        read_splits(tmp_path)


def test_an_orientation_in_xmp_only_counts_for_nobody(tmp_path):
    """Pillow#4529: the size came from a library that reads it, the pixels from one that does not."""
    from acne_runtime.sources.image_files import read_image

    xmp = b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:Description tiff:Orientation="6"/></x:xmpmeta>'
    for kind in ("jpeg", "png", "webp"):
        file = tmp_path / f"a.{kind}"
        pixels = Image.fromarray(picture(48, 64, 1))
        if kind == "png":
            notes = PngInfo()
            notes.add_itxt("XML:com.adobe.xmp", xmp.decode())
            pixels.save(file, pnginfo=notes)
        else:
            pixels.save(file, xmp=xmp)
        height, width = read_image(file).shape[:2]
        assert upright_size(file) == (width, height) == (64, 48)


def test_a_png_with_much_text_has_a_size(tmp_path):
    """Pillow#8363: a text of more than a megabyte ended in a traceback."""
    notes = PngInfo()
    notes.add_text("notes", "x" * 3_000_000, zip=True)
    Image.fromarray(picture(48, 64, 1)).save(tmp_path / "a.png", pnginfo=notes)
    try:
        assert upright_size(tmp_path / "a.png") == (64, 48)
    except SourceError as error:
        assert "\n" not in str(error)
