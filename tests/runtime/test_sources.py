import struct

import cv2
import numpy as np
import pytest
from pictures import picture, write_picture

from acne_runtime.errors import SourceError
from acne_runtime.sources import video
from acne_runtime.sources.camera import camera
from acne_runtime.sources.photos import SUFFIXES, list_photos, photos, read_photo


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
THUMBNAIL = encoded(".jpg", picture(12, 16, seed=4))


@pytest.mark.parametrize("suffix", sorted(SUFFIXES))
def test_a_photograph_of_every_kind_is_read(tmp_path, suffix):
    file = tmp_path / f"a{suffix}"
    file.write_bytes(encoded(suffix, PICTURE))
    image = read_photo(file)
    assert (image.shape, image.dtype) == ((48, 64, 3), np.uint8)
    assert np.abs(image.astype(int) - PICTURE).mean() < 6


@pytest.mark.parametrize("name", ["Gesicht für später.jpg", "痤瘡.jpg", "UPPER.JPG", "no suffix"])
def test_a_photograph_may_have_any_name(tmp_path, name):
    (tmp_path / name).write_bytes(JPEG)
    assert read_photo(tmp_path / name).shape == (48, 64, 3)


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
    got = read_photo(tmp_path / "a.png")
    assert got.dtype == np.uint8
    np.testing.assert_array_equal(got, expected)


def test_a_grey_jpeg_comes_out_in_three_channels(tmp_path):
    (tmp_path / "a.jpg").write_bytes(encoded(".jpg", PICTURE[..., 0]))
    assert read_photo(tmp_path / "a.jpg").shape == (48, 64, 3)


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
    np.testing.assert_array_equal(read_photo(tmp_path / "a.jpg"), upright(plain))


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (b"", "the file is empty"),
        (b"no picture at all", "not a photograph"),
        (bytes(100), "not a photograph"),
        (JPEG[: len(JPEG) // 2], "cut off"),
        (JPEG[:-2], "cut off"),
        (JPEG[:-300], "cut off"),
        (JPEG[:20], ""),
        (with_thumbnail(JPEG, THUMBNAIL)[:-300], "cut off"),
        (with_thumbnail(JPEG, THUMBNAIL)[: len(THUMBNAIL)], "cut off"),
        (with_thumbnail(JPEG, THUMBNAIL)[: len(THUMBNAIL) + 100], ""),
        (encoded(".png", PICTURE)[:-500], "not a photograph"),
        (encoded(".webp", PICTURE)[:-100], "not a photograph"),
    ],
    ids=[
        "empty",
        "text",
        "zeros",
        "half a JPEG",
        "JPEG without its end",
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
        read_photo(file)
    assert str(refused.value).startswith(f"{file}: ")
    assert problem in str(refused.value)


def test_a_missing_photograph_and_a_folder_are_refused_by_name(tmp_path):
    for path in (tmp_path / "missing.jpg", tmp_path):
        with pytest.raises(SourceError) as refused:
            read_photo(path)
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
    assert read_photo(tmp_path / "a.jpg").shape == (48, 64, 3)


def test_a_progressive_jpeg_is_read(tmp_path):
    _, data = cv2.imencode(".jpg", PICTURE, [cv2.IMWRITE_JPEG_PROGRESSIVE, 1])
    (tmp_path / "a.jpg").write_bytes(data.tobytes())
    assert read_photo(tmp_path / "a.jpg").shape == (48, 64, 3)


def folder_with_a_bad_one(folder):
    write_picture(folder / "c.PNG", 20, 30)
    (folder / "b.jpg").write_bytes(b"no picture")
    write_picture(folder / "a.jpeg", 40, 50)
    (folder / "notes.txt").write_text("no photograph")
    (folder / "z.jpg").mkdir()
    return folder


def test_the_photographs_of_a_folder_come_sorted_and_nothing_else(tmp_path):
    folder = folder_with_a_bad_one(tmp_path)
    assert list_photos(folder) == [folder / "a.jpeg", folder / "b.jpg", folder / "c.PNG"]


def test_a_folder_with_a_bad_one_reports_it_and_goes_on(tmp_path):
    folder = folder_with_a_bad_one(tmp_path)
    reported = []
    frames = list(photos(list_photos(folder), reported.append))
    assert [frame.source for frame in frames] == [str(folder / "a.jpeg"), str(folder / "c.PNG")]
    assert [frame.image.shape for frame in frames] == [(40, 50, 3), (20, 30, 3)]
    assert [(frame.index, frame.time_s) for frame in frames] == [(0, 0.0), (0, 0.0)]
    assert [str(error) for error in reported] == [f"{folder / 'b.jpg'}: not a photograph, or a damaged one"]


def test_a_bad_one_ends_it_when_nobody_asked_to_be_told(tmp_path):
    folder = folder_with_a_bad_one(tmp_path)
    frames = photos(list_photos(folder))
    assert next(frames).source == str(folder / "a.jpeg")
    with pytest.raises(SourceError, match=r"b\.jpg"):
        next(frames)


@pytest.mark.parametrize("others", [[], ["notes.txt", "clip.mp4"]], ids=["empty", "no photographs"])
def test_a_folder_without_photographs_is_refused(tmp_path, others):
    for name in others:
        (tmp_path / name).write_bytes(b"something")
    with pytest.raises(SourceError, match=r"no photograph in this folder.*\.jpg"):
        list_photos(tmp_path)


@pytest.fixture(scope="module")
def clip(tmp_path_factory):
    """Twelve frames at 10 a second; frame n has the grey level 20 * n."""
    file = tmp_path_factory.mktemp("clip") / "clip.mp4"
    writer = cv2.VideoWriter(str(file), cv2.VideoWriter.fourcc(*"mp4v"), 10.0, (64, 48))
    for level in range(12):
        writer.write(np.full((48, 64, 3), 20 * level, np.uint8))
    writer.release()
    return file


def test_the_frames_of_a_video_come_in_number_and_order(clip):
    frames = list(video.video(clip))
    assert [frame.index for frame in frames] == list(range(12))
    assert [frame.time_s for frame in frames] == pytest.approx([n / 10 for n in range(12)])
    assert [frame.image.mean() for frame in frames] == pytest.approx([20 * n for n in range(12)], abs=5)
    assert {(frame.source, frame.image.shape, frame.image.dtype.name) for frame in frames} == {
        (str(clip), (48, 64, 3), "uint8")
    }


def test_the_rate_of_a_video_is_what_its_file_states_and_else_25(clip, tmp_path):
    assert video.frames_per_second(clip) == pytest.approx(10)
    (tmp_path / "a.mp4").write_bytes(b"no video")
    assert video.frames_per_second(tmp_path / "a.mp4") == 25


@pytest.mark.parametrize("content", [b"", b"no video", bytes(10_000)], ids=["empty", "text", "zeros"])
def test_what_is_no_video_is_refused_by_name(tmp_path, content):
    file = tmp_path / "a.mp4"
    file.write_bytes(content)
    with pytest.raises(SourceError) as refused:
        list(video.video(file))
    assert str(refused.value).startswith(f"{file}: not a video")


def test_a_missing_video_is_refused_by_name(tmp_path):
    with pytest.raises(SourceError, match="no such video file"):
        next(video.video(tmp_path / "missing.mp4"))


def test_a_camera_that_does_not_open_gives_a_clear_error():
    with pytest.raises(SourceError, match=r"^--camera 97: no camera opens there; check"):
        next(camera(97))


class FakeCapture:
    def __init__(self, frames, opens=True):
        self.frames, self.opens, self.released = list(frames), opens, False

    def isOpened(self):  # noqa: N802
        return self.opens

    def set(self, *_):
        return True

    def read(self):
        return (True, self.frames.pop(0)) if self.frames else (False, None)

    def release(self):
        self.released = True


@pytest.mark.parametrize("count", [0, 3])
def test_a_camera_that_stops_says_after_how_many_frames(monkeypatch, count):
    capture = FakeCapture([PICTURE] * count)
    monkeypatch.setattr(cv2, "VideoCapture", lambda _: capture)
    frames = camera(1)
    seen = [next(frames) for _ in range(count)]
    with pytest.raises(SourceError, match=f"^--camera 1: stopped giving frames after {count}$"):
        next(frames)
    assert [(frame.source, frame.index) for frame in seen] == [("camera:1", n) for n in range(count)]
    assert sorted(frame.time_s for frame in seen) == [frame.time_s for frame in seen]
    assert capture.released


def test_a_camera_is_given_back_when_nobody_looks_any_more(monkeypatch):
    capture = FakeCapture([PICTURE] * 9)
    monkeypatch.setattr(cv2, "VideoCapture", lambda _: capture)
    frames = camera(0)
    next(frames)
    frames.close()
    assert capture.released
