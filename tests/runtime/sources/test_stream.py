import os
import signal
import sys
import threading
from time import monotonic, sleep

import cv2
import numpy as np
import pytest

from acne_runtime.errors import SourceError
from acne_runtime.sources.stream import LiveStream


def picture(number):
    return np.full((4, 6, 3), number, np.uint8)


class Camera:
    """Gives numbered frames at a pace, then none; each opening takes the next part."""

    def __init__(self, *parts, pace=0.0, count=-1, rate=30.0):
        self.count, self.rate = count, rate
        self.parts, self.pace, self.opened, self.released = list(parts), pace, [], 0

    def __call__(self, where):
        self.opened.append(where)
        part = self.parts.pop(0) if self.parts else None
        return Opened(self, part)


class Opened:
    def __init__(self, camera, frames):
        self.camera, self.frames = camera, frames

    def isOpened(self):  # noqa: N802  (OpenCV's name)
        return self.frames is not None

    def read(self):
        sleep(self.camera.pace)
        return (True, picture(self.frames.pop(0))) if self.frames else (False, None)

    def get(self, prop):
        return {cv2.CAP_PROP_FRAME_COUNT: self.camera.count, cv2.CAP_PROP_FPS: self.camera.rate}.get(prop, 0.0)

    def release(self):
        self.camera.released += 1


def test_nothing_is_opened_before_a_frame_is_asked_for():
    camera = Camera([1])
    live = LiveStream(0, "camera:0", opener=camera)
    assert camera.opened == []
    assert next(iter(live)).image[0, 0, 0] == 1
    assert camera.opened == [0]


def test_a_camera_that_does_not_open_is_refused_in_one_line():
    camera = Camera(None)
    with pytest.raises(SourceError, match=r"^camera:3: cannot be opened; check that it is connected, allowed"):
        next(iter(LiveStream(3, "camera:3", opener=camera)))
    assert camera.released == 1


def test_the_real_opener_refuses_a_camera_that_is_not_there():
    with pytest.raises(SourceError, match=r"^camera:97: cannot be opened"):
        next(iter(LiveStream(97, "camera:97")))


def test_a_slow_model_sees_the_newest_frame_and_the_others_are_counted():
    camera = Camera(list(range(200)), pace=0.002)
    live = LiveStream(0, "camera:0", opener=camera)
    seen = []
    for frame in live:
        seen.append(frame)
        sleep(0.02)
        if len(seen) == 5:
            break
    indices = [frame.index for frame in seen]
    assert indices == sorted(set(indices))
    assert indices[-1] > 5
    assert live.dropped >= indices[-1] - 4 - 1
    assert [int(frame.image[0, 0, 0]) for frame in seen] == indices
    assert [frame.time_s for frame in seen] == sorted(frame.time_s for frame in seen)
    assert {frame.source for frame in seen} == {"camera:0"}


def test_the_rate_is_bounded():
    live = LiveStream(0, "camera:0", max_fps=50, opener=Camera(list(range(250)), pace=0.001))
    frames = iter(live)
    next(frames)
    started = monotonic()
    for _ in range(5):
        next(frames)
    assert monotonic() - started >= 5 / 50 * 0.9


def test_a_lost_camera_is_reconnected_and_the_gap_logged(caplog):
    camera = Camera([1, 2], None, None, [3, 4], pace=0.001)
    live = LiveStream(0, "camera:0", opener=camera, pause=0.01)
    numbers = []
    for frame in live:
        numbers.append(int(frame.image[0, 0, 0]))
        if numbers[-1] == 4:
            break
    assert numbers == sorted(set(numbers))
    assert len(live.gaps) == 1
    assert live.gaps[0] >= 0.01 + 0.02 + 0.04
    assert caplog.messages[0] == "camera:0: lost; reconnecting"
    assert caplog.messages[1].startswith("camera:0: reconnected after ")


def test_a_camera_that_stays_away_ends_it():
    live = LiveStream(0, "camera:0", opener=Camera([1]), pause=0.01, give_up_after=0.05)
    frames = iter(live)
    next(frames)
    with pytest.raises(SourceError, match="camera:0: no frame for"):
        next(frames)


def test_a_camera_that_opens_and_gives_no_frame_ends_it_too():
    camera = Camera(*([] for _ in range(100)), pace=0.001)
    with pytest.raises(SourceError, match="camera:0: no frame for"):
        next(iter(LiveStream(0, "camera:0", opener=camera, pause=0.005, give_up_after=0.05)))
    assert 1 < len(camera.opened) < 100
    assert camera.released == len(camera.opened)


def test_a_camera_that_stalls_without_an_error_ends_it():
    stalled = threading.Event()

    class Stalling(Opened):
        def read(self):
            if not self.frames:
                stalled.wait(20)  # a driver that never comes back
            return super().read()

    live = LiveStream(0, "camera:0", opener=lambda _: Stalling(Camera(), [1, 2]), give_up_after=0.6)
    frames = iter(live)
    next(frames)
    try:
        with pytest.raises(SourceError, match="camera:0: no frame for"):
            for _ in range(3):
                next(frames)
    finally:
        stalled.set()


def test_the_pause_grows_until_a_frame_comes(monkeypatch):
    paused = []
    live = LiveStream(0, "camera:0", opener=Camera([], [], [], [1], []), pause=0.5)
    monkeypatch.setattr(live, "_stop", Stop(paused, most=5))
    assert [frame.image[0, 0, 0] for frame in live] == [1]
    assert [pause for pause in paused if pause] == [0.5, 1, 2, 0.5, 1]


class Stop:
    """A clock that does not wait, and stops the reading after so many pauses."""

    def __init__(self, paused, most):
        self.paused, self.most = paused, most

    def wait(self, pause):
        self.paused.append(pause)
        return self.is_set()

    def is_set(self):
        return len([pause for pause in self.paused if pause]) >= self.most

    def set(self):
        self.most = 0


@pytest.mark.parametrize("rate", [-1, float("nan"), float("inf"), 1e-10, 1e9])
def test_a_rate_that_is_none_is_refused(rate):
    with pytest.raises(SourceError, match=r"`max_fps` .*: neither 0 nor within 0\.001 to 1000"):
        LiveStream(0, "camera:0", max_fps=rate)


def test_a_reader_that_breaks_is_told_in_one_line():
    class Broken(Opened):
        def read(self):
            raise cv2.error("OpenCV: out of\nmemory")

    live = LiveStream(0, "camera:0", opener=lambda _: Broken(Camera(), [1]))
    with pytest.raises(SourceError, match=r"^camera:0: cannot be read \(OpenCV: out of memory\)$"):
        next(iter(live))


def test_it_is_read_once():
    live = LiveStream(0, "camera:0", opener=Camera([1]))
    assert next(iter(live)).index == 0
    with pytest.raises(SourceError, match="camera:0: already read; open it again"):
        next(iter(live))


@pytest.mark.skipif(sys.platform == "win32", reason="Unix's signals")
def test_a_server_that_does_not_answer_does_not_keep_ctrl_c_waiting(ctrl_c):
    def opener(_):
        sleep(20)

    threading.Timer(0.3, lambda: os.kill(os.getpid(), signal.SIGINT)).start()
    started = monotonic()
    with pytest.raises(KeyboardInterrupt):
        next(iter(LiveStream("rtsp://host/1", "rtsp://host/1", opener=opener)))
    assert monotonic() - started < 5


def test_who_stops_looking_gives_the_camera_back():
    camera = Camera(list(range(250)), pace=0.001)
    frames = iter(LiveStream(0, "camera:0", opener=camera))
    next(frames)
    frames.close()
    assert camera.released == 1
    assert not [thread for thread in threading.enumerate() if thread.name == "read camera:0"]
