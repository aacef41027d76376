import io
import re
import shutil
import struct
import sys
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
from acne_runtime.sources.image_header import read_size
from acne_runtime.sources.open_source import open_source
from acne_runtime.sources.standard_input import read_stream
from acne_runtime.sources.video_file import Video


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
    image = read_image(file)
    assert (image.shape, image.dtype) == ((48, 64, 3), np.uint8)
    assert np.abs(image.astype(int) - PICTURE).mean() < 6


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
        (JPEG[:-2], "truncated"),
        (JPEG[:-300], "truncated"),
        (JPEG[:20], ""),
        (with_thumbnail(JPEG, THUMBNAIL)[:-300], "truncated"),
        (with_thumbnail(JPEG, THUMBNAIL)[: len(THUMBNAIL)], "the header is truncated"),
        (with_thumbnail(JPEG, THUMBNAIL)[: len(THUMBNAIL) + 100], ""),
        (encoded(".png", PICTURE)[:-500], "a corrupt image"),
        (encoded(".webp", PICTURE)[:-100], "a corrupt image"),
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
        read_image(file)
    assert str(refused.value).startswith(f"{file}: ")
    assert problem in str(refused.value)


def test_what_phones_write_and_opencv_does_not_read_is_told_apart(tmp_path):
    (tmp_path / "a.heic").write_bytes(b"\0\0\0\x20ftypheic" + bytes(100))
    with pytest.raises(SourceError, match=r"a\.heic: .* HEIC, AVIF or a video; save it as JPEG"):
        read_image(tmp_path / "a.heic")


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
    _, data = cv2.imencode(".jpg", PICTURE, [cv2.IMWRITE_JPEG_PROGRESSIVE, 1])
    (tmp_path / "a.jpg").write_bytes(data.tobytes())
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
        f"{folder / 'b.jpg'}: not an image, or corrupt: no JPEG, PNG, BMP, WebP or TIFF"
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
    frames = list(Video(clip))
    assert [frame.index for frame in frames] == list(range(12))
    assert [frame.time_s for frame in frames] == pytest.approx([n / 10 for n in range(12)])
    assert [frame.image.mean() for frame in frames] == pytest.approx([20 * n for n in range(12)], abs=5)
    assert {(frame.source, frame.image.shape, frame.image.dtype.name) for frame in frames} == {
        (str(clip), (48, 64, 3), "uint8")
    }


def test_a_video_states_its_rate_and_length_and_can_be_read_again(clip):
    video = Video(clip)
    assert (video.rate, video.count) == (pytest.approx(10), 12)
    assert [[frame.index for frame in video] for _ in range(2)] == [list(range(12))] * 2


@pytest.mark.parametrize("content", [b"", b"no video", bytes(10_000)], ids=["empty", "text", "zeros"])
def test_what_is_no_video_is_refused_by_name(tmp_path, content):
    file = tmp_path / "a.mp4"
    file.write_bytes(content)
    with pytest.raises(SourceError) as refused:
        Video(file)
    assert str(refused.value).startswith(f"{file}: not a video")


def test_a_video_that_ends_mid_frame_gives_what_there_is_and_then_says_so(tmp_path):
    whole, half = tmp_path / "whole.avi", tmp_path / "half.avi"
    writer = cv2.VideoWriter(str(whole), cv2.VideoWriter.fourcc(*"MJPG"), 10.0, (64, 48))
    for seed in range(20):
        writer.write(picture(48, 64, seed))
    writer.release()
    assert len(list(Video(whole))) == 20
    half.write_bytes(whole.read_bytes()[: whole.stat().st_size // 2])
    seen = []
    with pytest.raises(SourceError, match=r"half\.avi: ends after [01]\.\d of 2\.0 s; corrupt or truncated"):
        for frame in Video(half):
            seen.append(frame.index)
    assert seen == list(range(len(seen)))
    assert 5 <= len(seen) <= 12


def test_a_missing_video_is_refused_by_name(tmp_path):
    with pytest.raises(SourceError, match="no such video file"):
        Video(tmp_path / "missing.mp4")


def element(kind, data):
    """A part of a Matroska file (RFC 8794): its kind, its length in eight bytes, its content."""
    return bytes.fromhex(kind) + struct.pack(">Q", len(data) | 1 << 56) + data


def uneven_video(file, times, length):
    """Writes a Matroska file of JPEGs that stand at these milliseconds, as phones and browsers do."""
    number = lambda kind, value: element(kind, value.to_bytes(4, "big"))  # noqa: E731
    header = element("1A45DFA3", number("4286", 1) + number("42F7", 1) + element("4282", b"matroska"))
    stated = element("1549A966", number("2AD7B1", 1_000_000) + element("4489", struct.pack(">d", length)))
    size = element("E0", number("B0", 64) + number("BA", 48))
    track = element("AE", number("D7", 1) + number("73C5", 1) + number("83", 1) + element("86", b"V_MJPEG") + size)
    clusters = b""
    for level, time in enumerate(times):
        jpeg = encoded(".jpg", np.full((48, 64, 3), level, np.uint8))
        clusters += element("1F43B675", number("E7", time) + element("A3", b"\x81\0\0\x80" + jpeg))
    file.write_bytes(header + element("18538067", stated + element("1654AE6B", track) + clusters))


def test_the_frames_of_a_phones_video_stand_where_they_were_taken(tmp_path):
    """Thirty a second, then, in dim light, ten; by their number and a single rate, the video would seem cut off."""
    times = [33 * n for n in range(40)] + [1320 + 100 * n for n in range(60)]
    uneven_video(tmp_path / "a.mkv", times, times[-1] + 100)
    video = Video(tmp_path / "a.mkv")
    assert video.count > 2 * len(times)
    assert [round(1000 * frame.time_s) for frame in video] == times

    uneven_video(tmp_path / "b.mkv", times, 3 * times[-1])
    with pytest.raises(SourceError, match=r"b\.mkv: ends after 7\.2 of 21\.\d s; corrupt or truncated"):
        list(Video(tmp_path / "b.mkv"))


@pytest.mark.skipif(sys.platform == "win32", reason="no file has a colon in its name there")
@pytest.mark.parametrize("name", ["12:30:00.mp4", "http:127.0.0.1:9?.mp4"])
def test_a_video_whose_name_looks_like_a_protocol_is_a_file(clip, tmp_path, monkeypatch, name):
    shutil.copy(clip, tmp_path / name)
    monkeypatch.chdir(tmp_path)
    assert len(list(open_source(name).frames)) == 12


@pytest.mark.parametrize("url", ["http://[abc", "rtsp://[::1"])
def test_a_url_that_is_none_is_refused(url):
    with pytest.raises(SourceError, match=r"not a valid URL \(Invalid IPv6 URL\)"):
        open_source(url)


def test_standard_input_that_is_closed_is_refused(monkeypatch):
    monkeypatch.setattr(sys, "stdin", None)
    with pytest.raises(SourceError, match="`source` -: there is no standard input"):
        open_source("-")


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


def test_of_a_tiff_that_states_its_size_twice_the_first_counts_as_for_its_decoder():
    tiff = bytearray(encoded(".tif", np.zeros((30, 40, 3), np.uint8)))
    (place,) = struct.unpack_from("<I", tiff, 4)
    (count,) = struct.unpack_from("<H", tiff, place)
    entries = bytes(tiff[place + 2 : place + 2 + 12 * count])
    assert entries[:2] == struct.pack("<H", 256)
    tiff[4:8] = struct.pack("<I", len(tiff))
    tiff += struct.pack("<H", count + 1) + entries[:12] + struct.pack("<HHII", 256, 4, 1, 2) + entries[12:] + bytes(4)
    assert read_size(bytes(tiff)) == (40, 30)


def claiming(width, height):
    """A PNG of a few hundred bytes that says it is so large; its checksum fits."""
    data = bytearray(encoded(".png", PICTURE))
    data[16:24] = struct.pack(">II", width, height)
    data[29:33] = struct.pack(">I", zlib.crc32(data[12:29]))
    return bytes(data)


def test_a_picture_that_claims_more_pixels_than_allowed_is_refused_before_it_is_decoded(tmp_path, monkeypatch):
    (tmp_path / "a.png").write_bytes(claiming(60_000, 50_000))
    monkeypatch.setattr(cv2, "imdecode", lambda *_: pytest.fail("decoded"))
    with pytest.raises(
        SourceError, match=r"a\.png: 60000 x 50000 pixels exceed the limit of 256 megapixels; raise `max_pixels`"
    ):
        read_image(tmp_path / "a.png")


def test_the_limit_is_the_callers(tmp_path):
    (tmp_path / "a.jpg").write_bytes(JPEG)
    assert read_image(tmp_path / "a.jpg", max_pixels=48 * 64).shape == (48, 64, 3)
    with pytest.raises(SourceError, match="64 x 48 pixels exceed the limit"):
        read_image(tmp_path / "a.jpg", max_pixels=48 * 64 - 1)


def test_a_pattern_finds_its_photographs_in_order(tmp_path):
    for name in ("b/2.jpg", "a/1.jpg", "a/notes.txt", "3.png"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        if name.endswith("txt"):
            (tmp_path / name).write_text("no photograph")
        else:
            write_picture(tmp_path / name, 20, 30)
    opened = open_source(str(tmp_path / "**" / "*"))
    assert [Path(frame.source).name for frame in opened.frames] == ["3.png", "1.jpg", "2.jpg"]
    assert (opened.count, opened.is_video, opened.live) == (3, False, None)
    with pytest.raises(SourceError, match=r"\*\.bmp: no image matches this pattern"):
        open_source(str(tmp_path / "*.bmp"))


def test_a_file_whose_name_looks_like_a_pattern_is_itself(tmp_path):
    write_picture(tmp_path / "a[1].jpg", 20, 30)
    assert [frame.source for frame in open_source(str(tmp_path / "a[1].jpg")).frames] == [str(tmp_path / "a[1].jpg")]


def test_what_there_is_not_is_refused(tmp_path):
    with pytest.raises(SourceError, match="nowhere: no such image, folder, video or stream"):
        open_source(str(tmp_path / "nowhere"))


@pytest.mark.parametrize(
    ("url", "name"),
    [
        ("rtsp://nurse:s3cret@10.0.0.7:554/1?x=2", "rtsp://10.0.0.7:554/1?x=2"),
        ("http://nurse@host/cam", "http://host/cam"),
        ("https://host/cam", "https://host/cam"),
    ],
)
def test_a_streams_password_is_not_in_its_name(url, name):
    opened = open_source(url)
    assert (opened.live._name, opened.live._address) == (name, url)


def test_a_video_is_opened_with_its_length_and_rate(clip):
    opened = open_source(str(clip))
    assert (opened.name, opened.count, opened.rate, opened.is_video) == ("clip", 12, 10.0, True)
    assert len(list(opened.frames)) == 12


def test_a_photograph_that_goes_while_the_folder_is_read_is_reported(tmp_path):
    for name in "abc":
        write_picture(tmp_path / f"{name}.jpg", 20, 30)
    reported, seen = [], []
    for frame in open_source(str(tmp_path), on_error=reported.append).frames:
        seen.append(Path(frame.source).name)
        (tmp_path / "b.jpg").unlink(missing_ok=True)
    assert seen == ["a.jpg", "c.jpg"]
    assert [str(error) for error in reported] == [f"{tmp_path / 'b.jpg'}: No such file or directory"]


class Pieces:
    """A pipe that hands on a few bytes at a time."""

    def __init__(self, data, size):
        self.pieces = [data[at : at + size] for at in range(0, len(data), size)]

    def read1(self, _):
        return self.pieces.pop(0) if self.pieces else b""


def with_others(jpeg, *others):
    """Hangs further JPEGs behind one, which names their places in a block of its own (CIPA DC-007), as phones do."""
    size = 4 + 4 + 26 + 16 * (1 + len(others))
    entries, place = struct.pack(">IIII", 0x030000, len(jpeg) + size, 0, 0), len(jpeg) + size - 10
    for one in others:
        entries += struct.pack(">IIII", 0, len(one), place + one.index(b"\xff\xd8"), 0)
        place += len(one)
    mpf = b"MPF\0MM\0*" + struct.pack(">IHHHIII", 8, 1, 0xB002, 7, len(entries), 26, 0) + entries
    return jpeg[:2] + b"\xff\xe2" + struct.pack(">H", len(mpf) + 2) + mpf + jpeg[2:] + b"".join(others)


PROGRESSIVE = cv2.imencode(".jpg", PICTURE, [cv2.IMWRITE_JPEG_PROGRESSIVE, 1])[1].tobytes()


@pytest.mark.parametrize("size", [1, 7, 1000, 10**9])
@pytest.mark.parametrize(
    "picture",
    [
        JPEG,
        PROGRESSIVE,
        with_thumbnail(JPEG, THUMBNAIL),
        with_others(JPEG, THUMBNAIL),
        with_others(with_thumbnail(JPEG, THUMBNAIL), THUMBNAIL, b"\0" * 9 + JPEG),
        with_others(JPEG, THUMBNAIL)[: -len(THUMBNAIL)],
        JPEG + b"\n",
        JPEG + bytes(100),
        JPEG + b"SEFHe\0\0\0SEFT",
        JPEG + struct.pack(">I", 24) + b"ftypmp42" + np.random.default_rng(0).bytes(5_000),
    ],
    ids=[
        "plain",
        "progressive",
        "thumbnail",
        "gain map",
        "all of these",
        "named and gone",
        "new line",
        "padding",
        "notes",
        "a video",
    ],
)
def test_jpegs_one_after_the_other_come_from_standard_input(picture, size):
    frames = list(read_stream(Pieces(picture * 3, size)))
    assert [(frame.source, frame.index, frame.image.shape) for frame in frames] == [
        ("stdin", index, (48, 64, 3)) for index in range(3)
    ]


def test_a_jpeg_from_standard_input_is_there_before_the_next_one_comes():
    pieces = Pieces(JPEG, 10**9)
    frames = read_stream(pieces)
    assert next(frames).index == 0
    pieces.pieces.append(JPEG)
    assert next(frames).index == 1


@pytest.mark.parametrize("size", [1, 1000, 10**9])
def test_of_several_on_standard_input_a_bad_one_is_told_and_passed_over(size):
    told = []
    stream = b"a text" + JPEG + JPEG[:-300] + JPEG + encoded(".png", PICTURE) + JPEG + encoded(".png", PICTURE)[:99]
    frames = list(read_stream(Pieces(stream, size), on_error=told.append))
    assert [frame.index for frame in frames] == [1, 3, 4, 5]
    assert {frame.image.shape for frame in frames} == {(48, 64, 3)}
    assert [str(error) for error in told] == [
        "stdin:0: not an image, or corrupt: no JPEG, PNG, BMP, WebP or TIFF",
        "stdin:2: the JPEG is truncated; copy it again",
        "stdin:6: a corrupt image",
    ]


def test_standard_input_without_an_end_is_refused():
    class Endless:
        start = JPEG[:-2]

        def read1(self, size):
            start, self.start = self.start, b""
            return start + b"x" * (size - len(start))

    with pytest.raises(
        SourceError, match=r"standard input: [\d,]+ bytes without the end of an image; raise `max_pixels`"
    ):
        list(read_stream(Endless(), max_pixels=1000))


def test_a_file_larger_than_any_photograph_is_not_read(tmp_path, monkeypatch):
    with (tmp_path / "a.jpg").open("wb") as file:
        file.truncate(9_000_000_000)  # a hole, which takes no room
    monkeypatch.setattr(Path, "read_bytes", lambda _: pytest.fail("read"))
    with pytest.raises(
        SourceError, match=r"a\.jpg: 9,000,000,000 bytes are more than an image within the limit has; raise `max_pix"
    ):
        read_image(tmp_path / "a.jpg")


@pytest.mark.parametrize("suffix", [".png", ".webp", ".bmp", ".tif"])
def test_one_picture_of_another_kind_comes_from_standard_input(suffix):
    (frame,) = read_stream(io.BytesIO(encoded(suffix, PICTURE)))
    assert frame.image.shape == (48, 64, 3)


@pytest.mark.parametrize(
    ("data", "problem"),
    [
        (b"", "`source` -: standard input is empty"),
        (b"no picture", "stdin:0: not an image"),
        (JPEG + JPEG[:-300], "stdin:1: the JPEG is truncated"),
    ],
    ids=["nothing", "text", "cut off"],
)
def test_what_else_comes_from_standard_input_is_refused(data, problem):
    with pytest.raises(SourceError, match=re.escape(problem)):
        list(read_stream(io.BytesIO(data)))


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
