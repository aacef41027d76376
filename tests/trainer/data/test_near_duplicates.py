import cv2
import numpy as np
import pytest
from support.images import picture

from acne_runtime.errors import SourceError
from acne_trainer.data import near_duplicates as near_duplicates_module
from acne_trainer.data.near_duplicates import fingerprint_images, groups_of, near_duplicates

SIDE = 160


def save(file, image, quality=90):
    file.write_bytes(cv2.imencode(file.suffix, image, [cv2.IMWRITE_JPEG_QUALITY, quality])[1].tobytes())
    return file


def turned(image, degrees, scale=1.0):
    height, width = image.shape[:2]
    return cv2.warpAffine(image, cv2.getRotationMatrix2D((width / 2, height / 2), degrees, scale), (width, height))


CHANGES = {
    "saved again": (lambda image: image, "upright"),
    "brighter": (lambda image: np.clip(image * 1.2 + 10, 0, 255).astype(np.uint8), "upright"),
    "smaller": (lambda image: cv2.resize(image, (100, 100), interpolation=cv2.INTER_AREA), "upright"),
    "cropped": (lambda image: image[6:-4, 5:-5], "upright"),
    "turned a little": (lambda image: turned(image, 3, 1.06), "upright"),
    "mirrored": (lambda image: image[:, ::-1], "mirrored left to right"),
    "mirrored and cropped": (lambda image: image[6:-4, -5:5:-1], "mirrored left to right"),
    "upside down": (lambda image: image[::-1], "mirrored top to bottom"),
    "half turn": (lambda image: image[::-1, ::-1], "turned by 180 degrees"),
    "quarter turn": (lambda image: np.rot90(image, -1), "turned by 90 degrees"),
    "quarter turn back": (lambda image: np.rot90(image, 1), "turned by 270 degrees"),
    "diagonal": (lambda image: image.transpose(1, 0, 2), "mirrored along a diagonal"),
    "other diagonal": (lambda image: image[::-1, ::-1].transpose(1, 0, 2), "mirrored along a diagonal"),
}


@pytest.mark.parametrize("change", CHANGES)
def test_a_changed_copy_is_found_among_others(tmp_path, monkeypatch, change):
    monkeypatch.setattr(near_duplicates_module, "_ROWS_AT_ONCE", 4)
    alter, orientation = CHANGES[change]
    others = [save(tmp_path / f"{seed}.jpg", picture(SIDE, SIDE, seed)) for seed in range(1, 12)]
    original = save(tmp_path / "original.jpg", picture(SIDE, SIDE))
    copy = save(tmp_path / "copy.jpg", alter(picture(SIDE, SIDE)), quality=80)
    (pair,) = near_duplicates(fingerprint_images([*others[:5], original, *others[5:], copy]))
    assert (pair.first, pair.second, pair.orientation) == (original, copy, orientation)
    assert pair.similarity > 0.65


def test_faces_in_one_clamp_are_no_copies(tmp_path):
    # The same coarse picture with the same hard edges, as of one camera; the skin's own detail differs.
    coarse = cv2.GaussianBlur(picture(SIDE, SIDE), (0, 0), 6).astype(np.int64)
    files = []
    for seed in (1, 2):
        detail = cv2.GaussianBlur(np.random.default_rng(seed).normal(0, 40, (SIDE, SIDE)), (0, 0), 1.2)
        image = np.clip(coarse + detail[..., None], 0, 255).astype(np.uint8)
        image[50:62, 30:70] = image[50:62, 90:130] = image[110:122, 60:100] = 0
        image[:, :12] = image[:, -12:] = 0
        files.append(save(tmp_path / f"{seed}.png", image))
    looks = fingerprint_images(files)
    first, second = (look.hashes[0] for look in looks.values())
    assert (first != second).sum() <= 10  # the hashes alone would have them one
    assert near_duplicates(looks) == []


def test_plain_surfaces_are_no_copies_of_each_other(tmp_path):
    files = [save(tmp_path / f"{grey}.png", np.full((SIDE, SIDE, 3), grey, np.uint8)) for grey in (40, 90, 90 + 50)]
    assert near_duplicates(fingerprint_images(files)) == []


def test_nothing_has_no_copies():
    assert near_duplicates({}) == []


def test_a_look_knows_size_and_bytes(tmp_path):
    file = save(tmp_path / "a.png", picture(48, 64))
    (look,) = fingerprint_images([file]).values()
    assert (look.width, look.height, look.grey.shape, look.hashes.shape) == (64, 48, (128, 128), (8, 64))
    assert len(look.sha256) == 64


def test_unreadable_photographs_are_told_in_order_and_the_others_are_read(tmp_path):
    files = [tmp_path / f"{name}.jpg" for name in "abcd"]
    for seed, file in enumerate(files):
        save(file, picture(48, 64, seed))
    files[1].write_bytes(b"")
    files[3].write_bytes(b"skin")
    errors, seen = [], []
    assert list(fingerprint_images(files, errors.append, lambda: seen.append(1))) == [files[0], files[2]]
    assert [str(error).split(":")[0] for error in errors] == [str(files[1]), str(files[3])]
    assert len(seen) == 4
    with pytest.raises(SourceError, match=r"b\.jpg: the file is empty"):
        fingerprint_images(files)


def test_groups_join_whatever_is_linked():
    assert groups_of(list("abcdef"), ["ac", "ce", "bd", "f"]).tolist() == [0, 1, 0, 1, 0, 2]
