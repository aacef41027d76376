import dataclasses
import json
from pathlib import Path

import cv2
import numpy as np
import pytest
import yaml
from support.datasets import labelled
from support.images import picture, write_picture

from acne_runtime.errors import SourceError
from acne_trainer.audit.audit import audit
from acne_trainer.audit.figure import audit_picture
from acne_trainer.audit.image_level_labels import types_by_photograph
from acne_trainer.audit.text import audit_text
from acne_trainer.data.dataset import Sample
from acne_trainer.data.export import write_dataset
from acne_trainer.data.load import read_splits
from acne_trainer.data.source_names import by_source, series_name

CLASSES = ("comedones", "nodules", "papules", "pustules")
MIXED = [(1, 1, 9, 9, 0), (20, 20, 36, 36, 1), (40, 8, 44, 12, 2), (50, 30, 58, 38, 3)]


def write_set(root, marks, form="keras-txt"):
    """Writes a set; `marks` gives each split its photographs, each with rows `x1, y1, x2, y2, class`."""
    made = {
        split: labelled(root.parent / "made" / split, names, CLASSES, 1000 * number)
        for number, (split, names) in enumerate(marks.items())
    }
    write_dataset(made, form, root)
    return root


def found(root, **options):
    """The findings of a set by kind, with the set's folder left out."""
    return {finding.kind: finding for finding in audit(root, 640, **options).findings}


@pytest.fixture
def sound(tmp_path):
    return write_set(
        tmp_path / "set",
        {split: {f"{split}{name}.jpg": MIXED for name in "abcdefg"} for split in ("train", "valid", "test")},
    )


def test_a_sound_set_has_no_findings(sound):
    report = audit(sound, 640)
    assert report.findings == ()
    assert report.readable
    assert "Nothing is wrong with it" in audit_text(report)


def test_the_figures_are_those_of_the_set(tmp_path):
    root = write_set(
        tmp_path / "set",
        {
            "train": {"a.jpg": MIXED, "b.jpg": [(0, 0, 8, 2, 0), (3, 3, 7, 7, 0)], "c.jpg": []},
            "test": {"d.jpg": [(0, 0, 32, 32, 3)]},
        },
    )
    report = audit(root, 128)  # twice the longer side of 64
    assert (report.form, report.classes) == ("keras-txt", CLASSES)
    train = report.splits["train"]
    assert (train.photographs, train.unlabelled) == (3, 1)
    assert train.showing == (2, 1, 1, 1)
    assert train.boxes == (3, 1, 1, 1)
    assert train.boxes_a_photograph == (2, 4, 4)
    assert report.together.tolist() == [[2, 1, 1, 1], [1, 1, 1, 1], [1, 1, 1, 1], [1, 1, 1, 2]]
    np.testing.assert_allclose(report.sides[0], [8, 8, 16])
    np.testing.assert_allclose(report.sides[3], [16, 64])
    assert report.side_percentiles(3) == pytest.approx((16 + 4.8, 40, 64 - 4.8))
    text = audit_text(report)
    assert text.startswith(
        f"{root}: keras-txt, 4 photographs, 7 boxes, classes: comedones, nodules, papules, pustules\n"
    )
    rows = [" ".join(line.split()) for line in text.splitlines()]
    assert "comedones 2 (66.7%) 0 (0.0%)" in rows  # photographs of train and test
    assert "without a label 1 0" in rows
    assert "comedones 3 0 8 8 14" in rows  # boxes of train and test, sides
    assert "all 6 1 8 16 45" in rows
    assert "pustules 1 1 1 2" in rows  # together with each class


def test_planted_faults_are_found(tmp_path):
    """The set of the issue: each fault is planted once, and nothing else is reported."""
    root = write_set(
        tmp_path / "set",
        {
            "train": dict.fromkeys(("a.jpg", "b.jpg", "c_jpg.rf.1a2b.jpg", "empty.jpg", "broken.jpg", "e.jpg"), MIXED),
            "valid": dict.fromkeys(("flipped.jpg", "v1.jpg", "v2.jpg"), MIXED),
            "test": dict.fromkeys(("copy.jpg", "c_jpg.rf.3c4d.jpg", "t1.jpg"), MIXED),
        },
    )
    (root / "test/copy.jpg").write_bytes((root / "train/a.jpg").read_bytes())
    write_picture(root / "train/b.jpg", 120, 160, 77)
    flipped = cv2.imencode(".jpg", picture(120, 160, 77)[:, ::-1], [cv2.IMWRITE_JPEG_QUALITY, 75])[1]
    (root / "valid/flipped.jpg").write_bytes(flipped.tobytes())
    (root / "train/empty.jpg").write_bytes(b"")
    (root / "train/broken.jpg").write_bytes(b"skin")
    write_picture(root / "test/unlisted.jpg", 48, 64, 78)
    lines = (root / "train/_annotations.txt").read_text().splitlines()
    lines[-1] += " 50,40,66,49.5,1 2,2,5,5,2 2,2,5,5,2"
    (root / "train/_annotations.txt").write_text("\n".join([*lines, "z.jpg 1,2,3,4,0"]))
    crowd = " ".join(f"{x},{y},{x + 2},{y + 2},{(x + y) % 4}" for x in range(0, 60, 2) for y in range(0, 22, 2))
    annotations = root / "valid/_annotations.txt"
    annotations.write_text(annotations.read_text().replace("v1.jpg", f"v1.jpg {crowd}"))

    report = audit(root, 640)
    cases = {finding.kind: list(finding.cases) for finding in report.findings}
    (near,) = cases.pop("near-duplicate-in-two-splits")
    assert near.startswith("train/b.jpg = valid/flipped.jpg (mirrored left to right, similarity 0.")
    assert cases == {
        "unreadable": [
            f"{root}/train/_annotations.txt:7: 'z.jpg' is no photograph in {root}/train "
            "(expected: name x1,y1,x2,y2,class ...)",
            f"{root}/train/empty.jpg: the file is empty",
            f"{root}/train/broken.jpg: not an image, or corrupt: no JPEG, PNG, BMP, WebP, TIFF, GIF, HEIC or AVIF",
        ],
        "identical-in-two-splits": ["train/a.jpg = test/copy.jpg"],
        "same-source-in-two-splits": ["train/c_jpg.rf.1a2b.jpg = test/c_jpg.rf.3c4d.jpg"],
        "box-outside": ["train/e.jpg: 50,40,66,49.5 on 64 x 48"],
        "duplicate-box": ["train/e.jpg: 2,2,5,5, 2 times"],
        "over-detection-limit": ["valid/v1.jpg: 334 boxes"],
        "not-listed": ["test/unlisted.jpg"],
    }
    assert not report.readable
    sentences = [finding.sentence for finding in report.findings]
    assert sentences[0] == "3 photographs or labels cannot be read"
    assert sentences[1] == "1 photograph stands in two splits, byte for byte the same"
    text = audit_text(report)
    assert text.index("CANNOT BE READ") < text.index("PROBLEMS") < text.index("NOTES") < text.index("photographs   ")
    assert json.loads(json.dumps(report.to_dict()))["findings"][1]["cases"] == ["train/a.jpg = test/copy.jpg"]


def test_a_box_at_the_edge_and_one_rounded_off_are_inside(tmp_path):
    rows = [*MIXED, (0, 0, 64, 48, 0), (-1, -1, 65, 49, 0)]
    assert found(write_set(tmp_path / "set", {"train": {"a.jpg": rows}})) == {}


@pytest.mark.parametrize("row", [(-2, 0, 9, 9, 0), (0, -2, 9, 9, 0), (50, 0, 66, 9, 0), (0, 40, 9, 50, 0)])
def test_a_box_that_leaves_any_side_is_outside(tmp_path, row):
    assert list(found(write_set(tmp_path / "set", {"train": {"a.jpg": [*MIXED, row]}}))) == ["box-outside"]


def test_one_place_under_two_classes_is_no_duplicate(tmp_path):
    rows = [*MIXED, (1, 1, 9, 9, 2)]
    assert found(write_set(tmp_path / "set", {"train": {"a.jpg": rows}})) == {}


def test_copies_within_a_split_are_only_noted(tmp_path):
    root = write_set(tmp_path / "set", {"train": dict.fromkeys(("a.jpg", "b.jpg", "c.jpg"), MIXED)})
    (root / "train/c.jpg").write_bytes((root / "train/a.jpg").read_bytes())
    (finding,) = found(root).values()
    assert (finding.level, finding.kind) == ("note", "duplicate-in-a-split")
    assert finding.cases == ("train/a.jpg = train/c.jpg",)


def test_a_photograph_is_told_once_by_its_surest_sign(tmp_path):
    names = ("a_jpg.rf.1.jpg", "b.jpg")
    root = write_set(tmp_path / "set", {"train": dict.fromkeys(names, MIXED), "test": {"a_jpg.rf.2.jpg": MIXED}})
    (root / "test/a_jpg.rf.2.jpg").write_bytes((root / "train/a_jpg.rf.1.jpg").read_bytes())
    assert list(found(root)) == ["identical-in-two-splits"]


def test_versions_within_a_split_are_only_noted(tmp_path):
    root = write_set(tmp_path / "set", {"train": dict.fromkeys(("a_jpg.rf.1.jpg", "a_jpg.rf.2.jpg", "b.jpg"), MIXED)})
    (finding,) = found(root).values()
    assert (finding.level, finding.kind) == ("note", "same-source-in-a-split")


def test_a_class_that_a_split_lacks_is_told(tmp_path):
    root = write_set(tmp_path / "set", {"train": {"a.jpg": MIXED}, "test": {"b.jpg": MIXED[1:3]}})
    assert found(root)["class-missing"].cases == ("test: comedones, pustules",)


def test_bare_photographs_are_noted(tmp_path):
    root = write_set(tmp_path / "set", {"train": {"a.jpg": MIXED, "b.jpg": []}})
    assert found(root)["no-label"].cases == ("train/b.jpg",)


@pytest.mark.parametrize("form", ["yolo", "coco", "voc", "table"])
def test_every_form_is_audited(tmp_path, form):
    root = write_set(tmp_path / "set", {"train": {"a.jpg": MIXED, "b.jpg": MIXED[1:]}, "test": {"c.jpg": MIXED}}, form)
    report = audit(root, 640)
    assert report.findings == ()
    assert report.splits["train"].showing == (1, 2, 2, 2)
    assert report.has_boxes is (form != "table")
    assert ("Boxes of each class" in audit_text(report)) is (form != "table")
    assert audit_picture(report).startswith(b"\x89PNG")


def test_a_split_that_cannot_be_read_is_reported_with_the_others(sound):
    (sound / "valid/_classes.txt").unlink()
    report = audit(sound, 640)
    assert list(report.splits) == ["train", "test"]
    assert not report.readable
    assert report.findings[0].cases[0].startswith(f"{sound}/valid/_classes.txt: not found")


def test_a_folder_without_a_set_is_refused(tmp_path):
    with pytest.raises(SourceError, match="no labelled photographs found"):
        audit(tmp_path, 640)


def test_outputs_hold_no_pixels(sound):
    report = audit(sound, 640)
    assert len(json.dumps(report.to_dict())) < 20_000
    image = cv2.imdecode(np.frombuffer(audit_picture(report), np.uint8), cv2.IMREAD_COLOR)
    assert image.shape == (800, 1200, 3)


def series(photographs, rows):
    """Samples without files: photographs of a name with rows that tell only the classes."""
    return [
        labelled_without_file(f"{name}_{index}_jpg.rf.{index:04x}.jpg", classes(index))
        for name, classes in rows.items()
        for index in range(photographs)
    ]


def labelled_without_file(name, classes):
    boxes = np.array([[10 * k, 0, 10 * k + 5, 5] for k in range(len(classes))], np.float32).reshape(-1, 4)
    return Sample(Path(name), boxes, np.array(classes, np.int32))


def test_grades_behind_types_are_found():
    samples = series(20, {f"levle{grade}": lambda _, grade=grade: [grade] * 3 for grade in range(4)})
    types = types_by_photograph(samples, CLASSES)
    assert types.image_level
    assert (types.several, types.one_type, types.types) == (80, 1, 4)
    assert (types.accuracy_by_filename, types.accuracy_of_majority) == (1, 0.25)
    assert [(family.name, family.photographs, family.type) for family in types.families] == [
        ("levle0", 20, "comedones"),
        ("levle1", 20, "nodules"),
        ("levle2", 20, "papules"),
        ("levle3", 20, "pustules"),
    ]


@pytest.mark.parametrize(
    "rows",
    [
        {"a": lambda _: [0, 0], "b": lambda index: [index % 2, 1]},  # a quarter shows two types
        {"a": lambda index: [index % 2] * 2, "b": lambda index: [index % 2] * 2},  # one type, but not by the name
        {"a": lambda _: [0, 0], "b": lambda _: [0, 0]},  # the set has one type
        {"a": lambda _: [0, 1], "b": lambda _: [2, 3]},  # the name tells, but lesions differ
    ],
)
def test_other_sets_are_not_called_graded(rows):
    assert not types_by_photograph(series(20, rows), CLASSES).image_level


def test_a_dominant_type_alone_is_no_sign_of_grades():
    rows = {"a": lambda _: [0, 0], "b": lambda _: [0, 0], "c": lambda index: [0 if index else 1] * 2}
    types = types_by_photograph(series(20, rows), CLASSES)
    assert (types.one_type, types.accuracy_by_filename) == (1, 59 / 60)
    assert not types.image_level


def test_image_level_types_are_reported(tmp_path):
    marks = {f"levle{k % 2}_{k}.jpg": [(1, 1, 9, 9, k % 2), (20, 20, 30, 30, k % 2)] for k in range(12)}
    root = write_set(tmp_path / "set", {"train": marks})
    (problem,) = [finding for finding in audit(root, 640).findings if finding.kind == "image-level-types"]
    assert problem.sentence == (
        "the types are labels of whole photographs, not of lesions: 100.0% of the 12 photographs with two or more "
        "boxes show one type only, and the file name tells which (accuracy 100.0% by name, 50.0% by the "
        "commonest). A model would learn the series; train with one class, or label the lesions again"
    )
    assert problem.cases == (
        "levle0: 6 photographs, 100% comedones alone",
        "levle1: 6 photographs, 100% nodules alone",
    )


def test_photographs_and_series_of_one_type_are_reported(tmp_path):
    one_sided = {f"bh{k}.jpg": [(1, 1, 9, 9, 0), (20, 20, 30, 30, 0)] for k in range(6)}
    one_each = {f"levle1_{k}.jpg": [(1, 1, 9, 9, k % 3), (20, 20, 30, 30, k % 3)] for k in range(6)}
    both = {f"other{k}.jpg": MIXED for k in range(5)}
    findings = found(write_set(tmp_path / "set", {"train": one_sided | one_each | both}))
    assert list(findings) == ["one-type-a-photograph", "series-of-one-type"]
    assert findings["one-type-a-photograph"].sentence.startswith("70.6% of the 17 photographs with two or more boxes")
    assert findings["one-type-a-photograph"].cases[1] == "levle1: 100% of 6 photographs"
    assert findings["series-of-one-type"].cases == ("bh: 6 photographs, 100% comedones alone",)


@pytest.mark.parametrize(
    ("name", "family"),
    [
        ("levle2_171_jpg.rf.0a1b.jpg", "levle2"),
        ("bh67_jpg.rf.5cca.jpg", "bh"),
        ("acne-face-1-23_jpg.rf.a7b0.jpg", "acne-face-1"),
        ("cystic1-52-_jpg.rf.4f22.jpg", "cystic1"),
        ("IMG_0042.JPG", "IMG"),
        ("13_jpeg.rf.60f4.jpg", ""),
        ("face.jpg", "face"),
    ],
)
def test_a_series_is_what_names_have_in_common(name, family):
    assert series_name(name) == family


def test_only_roboflows_names_tell_a_source(tmp_path):
    names = ["a_jpg.rf.1.jpg", "a_jpg.rf.2.jpg", "b.jpg", "c/b.jpg"]
    assert by_source([tmp_path / name for name in names]) == {"a": [tmp_path / names[0], tmp_path / names[1]]}


def test_what_is_known_of_acne04_is_reported(shared_data):
    splits = read_splits(shared_data / "acne04")
    samples = [sample for data in splits.values() for sample in data.samples]
    types = types_by_photograph(samples, splits["train"].classes)
    assert not types.image_level  # one class only
    assert [family.name for family in types.families] == ["levle1", "levle0", "levle2", "levle3"]
    # As it was published: the type is the grade in the file name.
    graded = [
        dataclasses.replace(sample, classes=np.full_like(sample.classes, int(sample.path.name[len("levle")])))
        for sample in samples
    ]
    published = types_by_photograph(graded, CLASSES)
    assert published.image_level
    assert (published.one_type, published.accuracy_by_filename) == (1, 1)


def test_what_is_known_of_acne4_is_reported(shared_data, tmp_path):
    # The test split and what of train shares a source with it: the whole set takes a quarter of a minute.
    splits = read_splits(shared_data / "acne4")
    train = [s for s in splits["train"].samples if s.path.name.startswith("01F3M")]
    write_dataset(
        {"train": dataclasses.replace(splits["train"], samples=tuple(train)), "test": splits["test"]},
        "keras-txt",
        tmp_path / "set",
    )
    report = audit(tmp_path / "set", 640)
    assert report.readable
    summary = report.splits["test"]
    assert (summary.photographs, sum(summary.boxes), summary.unlabelled) == (246, 2843, 0)
    findings = {finding.kind: finding for finding in report.findings}
    assert len(findings["same-source-in-two-splits"].cases) == 5
    assert not {"box-outside", "duplicate-box", "over-detection-limit", "identical-in-two-splits"} & set(findings)
    # Most photographs were labelled for one type only, as its README says.
    everything = [sample for data in splits.values() for sample in data.samples]
    types = types_by_photograph(everything, splits["train"].classes)
    assert types.mostly_one_type
    assert not types.image_level
    assert types.one_type == pytest.approx(0.674, abs=0.001)
    assert {"wh", "n", "acne-face"} <= {family.name for family in types.one_sided}


def test_a_file_that_is_listed_in_two_splits_is_reported(tmp_path):
    root = write_set(tmp_path / "set", {"train": {"a.jpg": MIXED, "b.jpg": MIXED}, "valid": {"v.jpg": MIXED}}, "yolo")
    data = yaml.safe_load((root / "data.yaml").read_text())
    (root / "data.yaml").write_text(yaml.safe_dump(data | {"val": data["train"]}))
    twice = found(root)["listed-twice"]
    assert (twice.level, len(twice.cases)) == ("problem", 2)
    assert twice.cases[0].endswith("a.jpg: train, valid")
    assert twice.sentence == "2 photographs are listed more than once, the same file"
