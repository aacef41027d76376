import struct

import cv2
import numpy as np
import pytest

from acne_runtime.sinks.frame_times import set_frame_times
from acne_runtime.sources.container import missing_bytes
from acne_runtime.sources.video_file import Video


@pytest.fixture
def clip(tmp_path):
    file = tmp_path / "clip.mp4"
    writer = cv2.VideoWriter(str(file), cv2.VideoWriter.fourcc(*"mp4v"), 30, (64, 48))
    for index in range(12):
        writer.write(np.full((48, 64, 3), 20 * index, np.uint8))
    writer.release()
    return file


def test_each_frame_is_shown_as_long_as_it_is_told(clip):
    durations = [0.1, 0.1, 0.01, 2.0, *[1 / 24] * 7, 0.3]
    set_frame_times(clip, durations)
    frames = list(Video(clip))
    assert [round(frame.image[20:30].mean() / 20) for frame in frames] == list(range(12))
    assert [frame.time_s for frame in frames] == pytest.approx(np.cumsum([0, *durations[:-1]]).tolist(), abs=1e-3)
    assert missing_bytes(clip) == 0
    capture = cv2.VideoCapture(str(clip))
    assert capture.get(cv2.CAP_PROP_FPS) == pytest.approx(12 / sum(durations), rel=0.02)


def test_times_that_stand_still_or_go_back_leave_the_order(clip):
    set_frame_times(clip, [0.0, -5.0] * 6)
    assert [round(frame.image[20:30].mean() / 20) for frame in Video(clip)] == list(range(12))


@pytest.mark.parametrize(
    "change",
    [
        lambda data: data[:-30],
        lambda data: data + b"\0\0\0\x08free",
        lambda data: b"",
        lambda data: b"no video at all" * 9,
        lambda data: data.replace(b"mdhd\0", b"mdhd\1"),
        lambda data: data.replace(b"stss", b"ctts"),
        lambda data: data.replace(b"trak", b"\0\0\0\0"),
        lambda data: data[:-200] + struct.pack(">I", 3) + data[-196:],
    ],
)
def test_a_file_that_is_built_otherwise_stays_as_it_is(clip, change):
    data = change(clip.read_bytes())
    clip.write_bytes(data)
    try:
        set_frame_times(clip, [0.1] * 12)
    except ValueError:
        assert clip.read_bytes() == data
