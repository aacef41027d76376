import struct
from pathlib import Path

import cv2
import pytest
from support.images import picture

from acne_runtime.errors import SourceError
from acne_runtime.sources.container import missing_bytes
from acne_runtime.sources.video_file import Video


def box(kind, content, length=None):
    return struct.pack(">I4s", 8 + len(content) if length is None else length, kind) + content


@pytest.fixture(params=[("a.mp4", "mp4v"), ("a.mov", "mp4v"), ("a.avi", "MJPG"), ("a.mkv", "MJPG"), ("a.webm", "VP80")])
def video(request, tmp_path):
    name, codec = request.param
    file = tmp_path / name
    writer = cv2.VideoWriter(str(file), cv2.VideoWriter.fourcc(*codec), 10.0, (64, 48))
    for seed in range(12):
        writer.write(picture(48, 64, seed))
    writer.release()
    return file


def test_a_whole_file_misses_nothing_and_one_cut_off_its_end(video):
    data = video.read_bytes()
    assert missing_bytes(video) == 0 and len(list(Video(video))) == 12
    for cut in (1, 100, len(data) // 2):
        video.write_bytes(data[:-cut])
        assert missing_bytes(video) >= min(cut, 1)


def test_bytes_behind_the_end_are_no_matter(video):
    video.write_bytes(video.read_bytes() + bytes(40))
    assert missing_bytes(video) == 0


@pytest.mark.parametrize(
    ("data", "missing"),
    [
        (box(b"ftyp", b"isom") + box(b"mdat", b"x" * 10, length=1000), 1000 - 18),
        (box(b"ftyp", b"isom") + box(b"mdat", b"x" * 10, length=0), 0),  # up to the end
        (box(b"ftyp", b"isom") + struct.pack(">I4sQ", 1, b"mdat", 1 << 33) + b"x", (1 << 33) - 17),
        (box(b"ftyp", b"isom") + b"\0\0", 0),
        (b"RIFF" + struct.pack("<I", 0) + b"AVI ", 0),  # a recording that was ended
        (b"\x1a\x45\xdf\xa3\x80\x18\x53\x80\x67\x01\xff\xff\xff\xff\xff\xff\xff" + b"x" * 9, 0),  # unknown, of browsers
        (b"\x1a\x45\xdf\xa3\x80\x18\x53\x80\x67\x90" + b"x" * 9, 7),
        (b"\x1a\x45\xdf\xa3", 0),
        (b"", 0),
        (b"\x47" + b"x" * 400, 0),
    ],
)
def test_what_headers_state(tmp_path, data, missing):
    (tmp_path / "a").write_bytes(data)
    assert missing_bytes(tmp_path / "a") == missing


FIELD = Path(__file__).resolve().parents[4] / "shared" / "field-inputs" / "videos"


@pytest.mark.parametrize(
    ("name", "frames"),
    [
        ("trimmed.mp4", 62),
        ("vfr.mp4", 62),
        ("long_sound.webm", 20),
        ("mediarecorder.webm", 20),
        ("phone.3gp", 20),
        ("stream.ts", 20),
    ],
)
def test_videos_that_people_have_are_whole(name, frames):
    if not FIELD.is_dir():
        pytest.skip(f"{FIELD} is not there")
    assert len(list(Video(FIELD / name))) == frames


def test_a_cut_one_of_theirs_is_said_to_be(tmp_path):
    if not FIELD.is_dir():
        pytest.skip(f"{FIELD} is not there")
    data = (FIELD / "vfr.mp4").read_bytes()
    (tmp_path / "cut.webm").write_bytes((FIELD / "long_sound.webm").read_bytes()[:-3000])
    with pytest.raises(SourceError, match="bytes are missing; copy it again"):
        list(Video(tmp_path / "cut.webm"))
    assert len(data) > 3000
