"""Label sets over the same photographs are joined: crops, turns and mirrors too; what does not fit is refused."""

import json
import re

import cv2
import numpy as np
import pytest
from click.testing import CliRunner

pytest.importorskip("tomli_w")

from acne_runtime.errors import SourceError
from acne_trainer.cli.data import data as data_cli
from acne_trainer.data.dataset import Dataset, Sample
from acne_trainer.data.formats.keras_txt import read_keras_txt
from acne_trainer.data.merge import merge
from acne_trainer.data.registration import KeyPoints, register

SIZE = 320


def skin(seed):
    """A face-like photograph: soft light, and enough detail at every scale to be told from any other."""
    rng = np.random.default_rng(seed)
    image = np.zeros((SIZE, SIZE), np.float32)
    for side in (5, 10, 20, 40, 80):
        image += cv2.resize(rng.normal(0, 1, (side, side)).astype(np.float32), (SIZE, SIZE)) * 12
    grey = np.clip(image + 130 + rng.normal(0, 2, image.shape), 0, 255)
    return np.stack([grey * 0.7, grey * 0.8, grey], axis=-1).astype(np.uint8)


def warped(image, matrix):
    return cv2.warpAffine(image, np.float64(matrix), (SIZE, SIZE), borderMode=cv2.BORDER_REFLECT)


# From the face to its version, in pixels.
VERSIONS = {
    "as it lies": [[1, 0, 0], [0, 1, 0]],
    "twice as near": [[2, 0, -160], [0, 2, -200]],
    "stretched": [[1.4, 0, -40], [0, 1.0, 0]],
    "turned": [[np.cos(0.3), -np.sin(0.3), 40], [np.sin(0.3), np.cos(0.3), -30]],
    "upside down": [[-1, 0, SIZE - 1], [0, -1, SIZE - 1]],
    "mirrored": [[-1, 0, SIZE - 1], [0, 1, 0]],
    "mirrored and nearer": [[-1.5, 0, 400], [0, 1.5, -80]],
}


@pytest.mark.parametrize("version", VERSIONS)
def test_a_version_of_a_photograph_is_laid_over_it_to_the_pixel(version):
    face, matrix = skin(1), np.float64(VERSIONS[version])
    found = register(KeyPoints(warped(face, matrix)), KeyPoints(face))
    assert found is not None
    assert found.is_sure
    assert found.mirrored == (np.linalg.det(matrix[:, :2]) < 0)
    places = np.array([[100, 120, 1], [200, 180, 1], [150, 160, 1]])
    np.testing.assert_allclose(places @ found.transform.T, places @ matrix.T, atol=1.5)


def test_a_box_goes_where_its_lesion_goes():
    face, matrix = skin(1), np.float64(VERSIONS["mirrored and nearer"])
    found = register(KeyPoints(warped(face, matrix)), KeyPoints(face))
    (box,) = found.boxes(np.float32([[100, 120, 120, 130]]))
    np.testing.assert_allclose(box, [400 - 180, 180 - 80, 400 - 150, 195 - 80], atol=2)


def test_another_photograph_is_refused():
    found = register(KeyPoints(skin(1)), KeyPoints(skin(2)))
    assert found is None or not found.is_sure


def test_a_photograph_without_any_detail_is_refused():
    assert register(KeyPoints(np.full((SIZE, SIZE, 3), 90, np.uint8)), KeyPoints(skin(1))) is None


@pytest.fixture
def sets(tmp_path):
    """Close-ups with typed lesions, and the faces they were cut from with all lesions marked."""

    def sample(folder, name, image, boxes, classes):
        folder.mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(folder / name), image, [cv2.IMWRITE_JPEG_QUALITY, 95])
        return Sample(folder / name, np.float32(boxes).reshape(-1, 4), np.int32(classes))

    near = VERSIONS["twice as near"]
    typed = (
        sample(tmp_path / "typed/train", "levle1_1_jpg.rf.aa.jpg", warped(skin(1), near), [[40, 40, 60, 60]], [1]),
        sample(tmp_path / "typed/train", "levle1_2_jpg.rf.bb.jpg", skin(5), [[9, 9, 19, 19]], [0]),
        sample(tmp_path / "typed/train", "other.jpg", skin(6), [[9, 9, 19, 19]], [0]),
    )
    # (50, 50) of the close-up is (105, 125) of the face; (200, 160) is its (240, 120); (20, 20) lies outside of it.
    marks = [[98, 118, 112, 132], [195, 155, 205, 165], [15, 15, 25, 25]]
    faces = (
        sample(tmp_path / "faces/train", "levle1_1_jpg.rf.cc.jpg", skin(1), marks, [0, 0, 0]),
        sample(tmp_path / "faces/train", "levle1_2_jpg.rf.dd.jpg", skin(2), marks, [0, 0, 0]),
    )
    held_out = Dataset(tmp_path / "typed/valid", ("papules", "nodules"), (typed[2],))
    splits = {"train": Dataset(tmp_path / "typed/train", ("papules", "nodules"), typed), "valid": held_out}
    return splits, Dataset(tmp_path / "faces/train", ("lesion",), faces)


def test_marks_that_a_photograph_lacks_are_added_as_lesions_of_unknown_type(sets):
    splits, faces = sets
    merged, rows = merge(splits, [faces])
    assert merged["train"].classes == merged["valid"].classes == ("papules", "nodules", "lesion")
    first, second, third = merged["train"].samples
    np.testing.assert_array_equal(first.classes, [1, 2])
    np.testing.assert_allclose(first.boxes, [[40, 40, 60, 60], [230, 110, 250, 130]], atol=2)
    assert len(second.boxes) == len(third.boxes) == 1
    assert merged["valid"].samples is splits["valid"].samples
    assert [(row.is_sure, row.added, row.already_marked, row.outside) for row in rows] == [
        (True, 1, 1, 1),
        (False, 0, 0, 0),
    ]
    assert "refused" in rows[1].to_dict()
    assert json.dumps([row.to_dict() for row in rows])


def test_sets_without_a_photograph_in_common_are_refused(sets):
    splits, faces = sets
    stranger = Dataset(faces.path, faces.classes, (Sample(faces.path / "no.jpg", *([np.zeros((0, 4))] * 2)),))
    with pytest.raises(SourceError, match="has no photograph in common with"):
        merge(splits, [stranger])


def test_the_command_lists_what_was_joined_and_what_was_refused(sets, tmp_path):
    splits, faces = sets
    for folder, split in (("typed/train", splits["train"]), ("typed/valid", splits["valid"]), ("faces/train", faces)):
        target = tmp_path / folder
        target.mkdir(parents=True, exist_ok=True)
        (target / "_classes.txt").write_text("\n".join(split.classes))
        lines = []
        for sample in split.samples:
            cv2.imwrite(str(target / sample.path.name), cv2.imread(str(sample.path)))
            boxes = zip(sample.boxes.tolist(), sample.classes.tolist(), strict=True)
            marks = (f"{x1:g},{y1:g},{x2:g},{y2:g},{kind}" for (x1, y1, x2, y2), kind in boxes)
            lines.append(" ".join([sample.path.name, *marks]))
        (target / "_annotations.txt").write_text("\n".join(lines))
    call = ["merge", str(tmp_path / "typed"), str(tmp_path / "faces"), "--out", str(tmp_path / "out"), "--link"]
    done = CliRunner().invoke(data_cli, [*call, "--json", str(tmp_path / "merge.json")])
    assert done.exit_code == 0, done.output
    assert "1 lesions of unknown type added to 1 of 3 photographs of train" in done.output
    assert re.search(r"not joined: levle1_2_jpg\.rf\.bb\.jpg with levle1_2_jpg\.rf\.dd\.jpg", done.output)
    written = read_keras_txt(tmp_path / "out" / "train")
    assert [sample.classes.tolist() for sample in written.samples] == [[1, 2], [0], [0]]
    assert len(json.loads((tmp_path / "merge.json").read_text())) == 2
    again = CliRunner().invoke(data_cli, call)
    assert "not empty; name another folder" in again.output
