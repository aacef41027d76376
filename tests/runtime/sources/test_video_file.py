import shutil
import struct
import sys

import cv2
import numpy as np
import pytest
from support.images import picture

from acne_runtime.errors import SourceError
from acne_runtime.sources.open_source import open_source
from acne_runtime.sources.video_file import Video


def encoded(suffix, image):
    done, data = cv2.imencode(suffix, image)
    assert done
    return data.tobytes()


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
    with pytest.raises(SourceError, match=r"half\.avi: truncated after [01]\.\d s: [\d,]+ bytes are missing"):
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

    uneven_video(tmp_path / "b.mkv", times, 3 * times[-1])  # as where the sound is longer
    assert len(list(Video(tmp_path / "b.mkv"))) == len(times)


@pytest.mark.skipif(sys.platform == "win32", reason="no file has a colon in its name there")
@pytest.mark.parametrize("name", ["12:30:00.mp4", "http:127.0.0.1:9?.mp4"])
def test_a_video_whose_name_looks_like_a_protocol_is_a_file(clip, tmp_path, monkeypatch, name):
    shutil.copy(clip, tmp_path / name)
    monkeypatch.chdir(tmp_path)
    assert len(list(open_source(name).frames)) == 12
