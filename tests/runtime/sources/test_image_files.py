import struct
import zlib
from pathlib import Path

import cv2
import numpy as np
import pytest
from support.images import picture, write_picture

from acne_runtime.errors import SourceError
from acne_runtime.sources.image_files import (
    SUFFIXES,
    decode_image,
    list_images,
    read_frame,
    read_full_image,
    read_image,
    read_images,
)
from acne_runtime.sources.open_source import open_source


def encoded(suffix, image):
    done, data = cv2.imencode(suffix, image)
    assert done
    return data.tobytes()


def with_orientation(jpeg, orientation):
    """Puts an EXIF block with nothing but the orientation behind the start of a JPEG."""
    tiff = b"MM\0*" + struct.pack(">IHHHIHHI", 8, 1, 0x0112, 3, 1, orientation, 0, 0)
    return jpeg[:2] + b"\xff\xe1" + struct.pack(">H", len(tiff) + 8) + b"Exif\0\0" + tiff + jpeg[2:]


def with_thumbnail(jpeg, thumbnail):
    """Puts a whole small JPEG into an application block, as cameras do."""
    return jpeg[:2] + b"\xff\xe1" + struct.pack(">H", len(thumbnail) + 2) + thumbnail + jpeg[2:]


PICTURE = picture(48, 64, seed=3)
JPEG = encoded(".jpg", PICTURE)
PROGRESSIVE = cv2.imencode(".jpg", PICTURE, [cv2.IMWRITE_JPEG_PROGRESSIVE, 1])[1].tobytes()
THUMBNAIL = encoded(".jpg", picture(12, 16, seed=4))


@pytest.mark.parametrize("suffix", sorted(SUFFIXES - {".heic", ".heif", ".avif"}))  # those: test_heif.py
def test_a_photograph_of_every_kind_is_read(tmp_path, suffix):
    file = tmp_path / f"a{suffix}"
    file.write_bytes(encoded(".jpg" if suffix in (".jfif", ".jpe") else suffix, PICTURE))
    image = read_image(file)
    assert (image.shape, image.dtype) == ((48, 64, 3), np.uint8)
    assert np.abs(image.astype(int) - PICTURE).mean() < (20 if suffix == ".gif" else 6)  # 256 colours


@pytest.mark.parametrize("name", ["Gesicht für später.jpg", "痤瘡.jpg", "UPPER.JPG", "no suffix"])
def test_a_photograph_may_have_any_name(tmp_path, name):
    (tmp_path / name).write_bytes(JPEG)
    assert read_image(tmp_path / name).shape == (48, 64, 3)


@pytest.mark.parametrize(
    ("image", "expected"),
    [
        (PICTURE[..., 0], np.repeat(PICTURE[..., :1], 3, axis=2)),
        (np.dstack([PICTURE, PICTURE[..., :1]]), PICTURE),
        (PICTURE[..., 0].astype(np.uint16) * 257, np.repeat(PICTURE[..., :1], 3, axis=2)),
        (PICTURE.astype(np.uint16) * 257, PICTURE),
    ],
    ids=["grey", "alpha", "16-bit grey", "16-bit colour"],
)
def test_a_png_of_any_kind_comes_out_in_three_8_bit_channels(tmp_path, image, expected):
    (tmp_path / "a.png").write_bytes(encoded(".png", image))
    got = read_image(tmp_path / "a.png")
    assert got.dtype == np.uint8
    np.testing.assert_array_equal(got, expected)


def test_a_grey_jpeg_comes_out_in_three_channels(tmp_path):
    (tmp_path / "a.jpg").write_bytes(encoded(".jpg", PICTURE[..., 0]))
    assert read_image(tmp_path / "a.jpg").shape == (48, 64, 3)


@pytest.mark.parametrize(
    ("orientation", "upright"),
    [
        (1, lambda image: image),
        (2, lambda image: image[:, ::-1]),
        (3, lambda image: image[::-1, ::-1]),
        (4, lambda image: image[::-1]),
        (5, lambda image: image.transpose(1, 0, 2)),
        (6, lambda image: np.rot90(image, -1)),
        (7, lambda image: image[::-1, ::-1].transpose(1, 0, 2)),
        (8, np.rot90),
    ],
)
def test_the_orientation_a_camera_noted_is_applied(tmp_path, orientation, upright):
    plain = cv2.imdecode(np.frombuffer(JPEG, np.uint8), cv2.IMREAD_COLOR)
    (tmp_path / "a.jpg").write_bytes(with_orientation(JPEG, orientation))
    np.testing.assert_array_equal(read_image(tmp_path / "a.jpg"), upright(plain))


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (b"", "the file is empty"),
        (b"no picture at all", "not an image"),
        (bytes(100), "not an image"),
        (JPEG[: len(JPEG) // 2], "truncated"),
        (JPEG[:-8], "truncated"),
        (PROGRESSIVE[:-2], "truncated"),
        (JPEG[:-300], "truncated"),
        (JPEG[:20], ""),
        (with_thumbnail(JPEG, THUMBNAIL)[:-300], "truncated"),
        (with_thumbnail(JPEG, THUMBNAIL)[: len(THUMBNAIL)], "the header is truncated"),
        (with_thumbnail(JPEG, THUMBNAIL)[: len(THUMBNAIL) + 100], ""),
        (encoded(".png", PICTURE)[:-500], "the PNG is truncated"),
        (encoded(".webp", PICTURE)[:-100], "a corrupt image"),
    ],
    ids=[
        "empty",
        "text",
        "zeros",
        "half a JPEG",
        "JPEG without its last pixels",
        "progressive JPEG without its end",
        "most of a JPEG",
        "head of a JPEG",
        "most of a JPEG with a thumbnail",
        "a JPEG cut inside its thumbnail",
        "a JPEG cut behind its thumbnail",
        "most of a PNG",
        "most of a WebP",
    ],
)
def test_what_is_no_whole_photograph_is_refused_by_name(tmp_path, content, problem):
    file = tmp_path / "a.jpg"
    file.write_bytes(content)
    with pytest.raises(SourceError) as refused:
        read_image(file)
    assert str(refused.value).startswith(f"{file}: ")
    assert problem in str(refused.value)


def test_a_missing_photograph_and_a_folder_are_refused_by_name(tmp_path):
    for path in (tmp_path / "missing.jpg", tmp_path):
        with pytest.raises(SourceError) as refused:
            read_image(path)
        assert str(refused.value).startswith(f"{path}: ")


@pytest.mark.parametrize(
    "content",
    [
        with_thumbnail(JPEG, THUMBNAIL),
        JPEG + b"\0" * 64,
        JPEG + JPEG,
        JPEG + b"\0\0\0\x18ftypmp42" + b"\x12\xff\xda\x34" * 3,
    ],
    ids=["thumbnail", "padding", "a second picture", "the video of a motion photo"],
)
def test_a_whole_jpeg_with_what_phones_put_around_it_is_read(tmp_path, content):
    (tmp_path / "a.jpg").write_bytes(content)
    assert read_image(tmp_path / "a.jpg").shape == (48, 64, 3)


def test_a_progressive_jpeg_is_read(tmp_path):
    (tmp_path / "a.jpg").write_bytes(PROGRESSIVE)
    assert read_image(tmp_path / "a.jpg").shape == (48, 64, 3)


def folder_with_a_bad_one(folder):
    write_picture(folder / "c.PNG", 20, 30)
    (folder / "b.jpg").write_bytes(b"no picture")
    write_picture(folder / "a.jpeg", 40, 50)
    (folder / "notes.txt").write_text("no photograph")
    (folder / "z.jpg").mkdir()
    return folder


def test_the_photographs_of_a_folder_come_sorted_and_nothing_else(tmp_path):
    folder = folder_with_a_bad_one(tmp_path)
    assert list_images(folder) == [folder / "a.jpeg", folder / "b.jpg", folder / "c.PNG"]


def test_a_folder_with_a_bad_one_reports_it_and_goes_on(tmp_path):
    folder = folder_with_a_bad_one(tmp_path)
    reported = []
    frames = list(read_images(list_images(folder), reported.append))
    assert [frame.source for frame in frames] == [str(folder / "a.jpeg"), str(folder / "c.PNG")]
    assert [frame.image.shape for frame in frames] == [(40, 50, 3), (20, 30, 3)]
    assert [(frame.index, frame.time_s) for frame in frames] == [(0, 0.0), (0, 0.0)]
    assert [str(error) for error in reported] == [
        f"{folder / 'b.jpg'}: not an image, or corrupt: no JPEG, PNG, BMP, WebP, TIFF, GIF, HEIC or AVIF"
    ]


def test_a_bad_one_ends_it_when_nobody_asked_to_be_told(tmp_path):
    folder = folder_with_a_bad_one(tmp_path)
    frames = read_images(list_images(folder))
    assert next(frames).source == str(folder / "a.jpeg")
    with pytest.raises(SourceError, match=r"b\.jpg"):
        next(frames)


@pytest.mark.parametrize("others", [[], ["notes.txt", "clip.mp4"]], ids=["empty", "no photographs"])
def test_a_folder_without_photographs_is_refused(tmp_path, others):
    for name in others:
        (tmp_path / name).write_bytes(b"something")
    with pytest.raises(SourceError, match=r"no image in this folder.*\.jpg"):
        list_images(tmp_path)


def test_a_jpeg_that_decodes_larger_than_it_states_is_refused_before_that():
    """A marker without a segment, of which a careless reader takes the following bytes for its length."""
    jpeg = encoded(".jpg", np.zeros((300, 400, 3), np.uint8))
    place = jpeg.index(b"\xff\xc0")
    size = jpeg[place : place + 19]
    small = size[:5] + struct.pack(">HH", 16, 16) + size[9:]
    comment = b"\xff\xfe" + struct.pack(">H", 2 + len(small)) + small
    hidden = b"\xff\x01" + size + comment
    lying = jpeg[:2] + hidden + jpeg[2:place] + jpeg[place + 19 :]
    with pytest.raises(SourceError, match="400 x 300 pixels exceed the limit"):
        decode_image(lying, "a.jpg", max_pixels=100_000)


def claiming(width, height):
    """A PNG of a few hundred bytes that says it is so large; its checksum fits."""
    data = bytearray(encoded(".png", PICTURE))
    data[16:24] = struct.pack(">II", width, height)
    data[29:33] = struct.pack(">I", zlib.crc32(data[12:29]))
    return bytes(data)


def test_a_picture_that_claims_more_pixels_than_allowed_is_refused_before_it_is_decoded(tmp_path, monkeypatch):
    (tmp_path / "a.png").write_bytes(claiming(60_000, 50_000))
    monkeypatch.setattr(cv2, "imdecodeWithMetadata", lambda *_: pytest.fail("decoded"))
    with pytest.raises(
        SourceError, match=r"a\.png: 60000 x 50000 pixels exceed the limit of 256 megapixels; raise `max_pixels`"
    ):
        read_image(tmp_path / "a.png")


def test_the_limit_is_the_callers(tmp_path):
    (tmp_path / "a.jpg").write_bytes(JPEG)
    assert read_image(tmp_path / "a.jpg", max_pixels=48 * 64).shape == (48, 64, 3)
    with pytest.raises(SourceError, match="64 x 48 pixels exceed the limit"):
        read_image(tmp_path / "a.jpg", max_pixels=48 * 64 - 1)


def test_a_photograph_that_goes_while_the_folder_is_read_is_reported(tmp_path):
    for name in "abcdefg":
        write_picture(tmp_path / f"{name}.jpg", 20, 30)
    reported, seen = [], []
    for frame in open_source(str(tmp_path), on_error=reported.append).frames:
        seen.append(Path(frame.source).name)
        (tmp_path / "f.jpg").unlink(missing_ok=True)  # the next few are read ahead
    assert seen == ["a.jpg", "b.jpg", "c.jpg", "d.jpg", "e.jpg", "g.jpg"]
    assert [str(error) for error in reported] == [f"{tmp_path / 'f.jpg'}: No such file or directory"]


def test_a_file_larger_than_any_photograph_is_not_read(tmp_path, monkeypatch):
    with (tmp_path / "a.jpg").open("wb") as file:
        file.truncate(9_000_000_000)  # a hole, which takes no room
    monkeypatch.setattr(Path, "read_bytes", lambda _: pytest.fail("read"))
    with pytest.raises(
        SourceError, match=r"a\.jpg: 9,000,000,000 bytes are more than an image within the limit has; raise `max_pix"
    ):
        read_image(tmp_path / "a.jpg")


@pytest.mark.parametrize("part", [1, 2, 4, 8])
@pytest.mark.parametrize("orientation", [1, 3, 6, 8])
@pytest.mark.parametrize("size", [(64, 48), (61, 47)])
def test_a_jpeg_read_at_a_part_of_its_size_says_the_photographs_own(tmp_path, part, orientation, size):
    width, height = size
    _, data = cv2.imencode(".jpg", picture(height, width))
    (tmp_path / "a.jpg").write_bytes(with_orientation(data.tobytes(), orientation))
    whole = read_image(tmp_path / "a.jpg")
    frame = read_frame(tmp_path / "a.jpg", scale=lambda *_: part)
    expected = (whole.shape[1], whole.shape[0])
    assert frame.size == (None if part == 1 else expected)
    assert frame.image.shape[:2] == tuple(-(-side // part) for side in whole.shape[:2])
    np.testing.assert_array_equal(read_full_image(frame), whole)
    small = cv2.resize(whole, frame.image.shape[1::-1], interpolation=cv2.INTER_AREA)
    assert np.abs(small.astype(int) - frame.image).mean() < 4  # the same picture, the same way up


@pytest.mark.parametrize("suffix", [".png", ".bmp", ".webp", ".tiff"])
def test_other_kinds_are_read_at_their_own_size(tmp_path, suffix):
    write_picture(tmp_path / f"a{suffix}", 48, 64)
    frame = read_frame(tmp_path / f"a{suffix}", scale=lambda *_: 8)
    assert frame.image.shape == (48, 64, 3)
    assert frame.size is None


def test_a_damaged_jpeg_is_refused_at_a_part_of_its_size_too(tmp_path):
    (tmp_path / "a.jpg").write_bytes(JPEG[: len(JPEG) // 2])
    with pytest.raises(SourceError, match="truncated"):
        read_frame(tmp_path / "a.jpg", scale=lambda *_: 4)
