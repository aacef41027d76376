"""Cameras and network streams: the newest frame wins, and what breaks off is opened again.

A video file that lies on a server is read whole, and once.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from time import monotonic

import cv2
import numpy as np
from numpy.typing import NDArray

from acne_runtime.errors import SourceError, one_line
from acne_runtime.frame import Frame
from acne_runtime.sources.video_file import Capture, ends_early, frame_time

FIRST_PAUSE_S, MAX_PAUSE_S = 0.5, 30.0
"""Between two attempts to open again; each pause is twice the one before."""
GIVE_UP_AFTER_S = 300.0
"""Without a frame for so long, the source is gone."""
_MIN_RATE, _MAX_RATE = 0.001, 1000.0
_TIMEOUT_MS = 10_000
_READ_TIMEOUT = (cv2.CAP_PROP_READ_TIMEOUT_MSEC, _TIMEOUT_MS)


def open_capture(where: int | str) -> Capture:
    """Opens a camera by its number, or a stream by its URL."""
    if isinstance(where, str):
        return cv2.VideoCapture(where, cv2.CAP_FFMPEG, [cv2.CAP_PROP_OPEN_TIMEOUT_MSEC, _TIMEOUT_MS, *_READ_TIMEOUT])
    capture = cv2.VideoCapture(where)
    capture.set(cv2.CAP_PROP_BUFFERSIZE, 1)  # the newest frame rather than the oldest one waiting
    return capture


class LiveStream:
    """Frames of a camera or stream, read in a thread of their own so that none waits for the model.

    Attributes:
        dropped: Frames that came while the one before was still looked at.
        gaps: Seconds of each time that the source was away.
    """

    def __init__(
        self,
        where: int | str,
        name: str,
        *,
        max_fps: float = 0.0,
        say: Callable[[str], None] = lambda _: None,
        opener: Callable[[int | str], Capture] = open_capture,
        pause: float = FIRST_PAUSE_S,
    ):
        """Remembers what to open; nothing is opened before the first frame is asked for.

        Args:
            where: The camera's number or the stream's URL.
            name: What results call the source, such as `camera:0`.
            max_fps: Most frames a second handed out, 0.001 to 1000; 0 for as many as come.
            say: Is told when the source goes away and when it is back.
            opener: Opens it.
            pause: Seconds before the first attempt to open it again.

        Raises:
            SourceError: The rate is none.
        """
        if max_fps != 0 and not _MIN_RATE <= max_fps <= _MAX_RATE:  # nor NaN
            raise SourceError(f"--max-fps {max_fps}: not within {_MIN_RATE} to {_MAX_RATE:g}, nor 0")
        self._where, self._name, self._say, self._opener, self._pause = where, name, say, opener, pause
        self._least_gap = 1 / max_fps if max_fps else 0.0
        self.dropped = 0
        self.gaps: list[float] = []
        self._newest: tuple[NDArray[np.uint8], int, float] | None = None
        self._end: BaseException | None = None
        self._ready = threading.Condition()
        self._stop = threading.Event()
        self._begun = False

    def __iter__(self) -> Iterator[Frame]:
        """Yields the newest frame each time one is asked for; of what states its length, every frame until its end.

        Raises:
            SourceError: The source does not open, broke, or stayed away for `GIVE_UP_AFTER_S`; or is read twice.
        """
        if self._begun:
            raise SourceError(f"{self._name}: was read already; open it anew")
        self._begun = True
        # It also opens there: a server that does not answer must not keep Ctrl-C waiting.
        reader = threading.Thread(target=self._read, name=f"read {self._name}", daemon=True)
        reader.start()
        due = monotonic()
        try:
            while True:
                self._stop.wait(max(0.0, due - monotonic()))
                with self._ready:
                    # In pieces: on Windows, Ctrl-C does not end a wait.
                    while not self._ready.wait_for(lambda: self._newest or self._end, timeout=0.5):
                        pass
                    if self._newest is None:
                        if isinstance(self._end, EOFError):
                            return
                        assert self._end is not None
                        raise self._end
                    (image, index, time_s), self._newest = self._newest, None
                    self._ready.notify()
                due = monotonic() + self._least_gap
                yield Frame(image, self._name, index, time_s)
        finally:
            self._stop.set()
            reader.join(timeout=1.0)

    def _read(self) -> None:
        """Opens, and reads until told to stop; runs in its own thread, and says in `_end` why it ended."""
        try:
            self._read_on()
            end: BaseException = EOFError()
        except SourceError as error:
            end = error
        except Exception as error:  # or whoever waits for a frame would wait for ever
            end = SourceError(f"{self._name}: cannot be read ({one_line(error)})")
        with self._ready:
            self._end = end
            self._ready.notify()

    def _read_on(self) -> None:
        capture = self._opener(self._where)
        try:
            if not capture.isOpened():
                hint = (
                    "its address" if isinstance(self._where, str) else "that it is plugged in, allowed, and not in use"
                )
                raise SourceError(f"{self._name}: does not open; check {hint}")
            count, rate = capture.get(cv2.CAP_PROP_FRAME_COUNT), capture.get(cv2.CAP_PROP_FPS)
            finite = count > 0 and rate > 0
            time_s = 0.0
            started = last = monotonic()
            index, lost, pause = 0, False, self._pause
            while not self._stop.is_set():
                read, image = capture.read()
                if read:
                    if lost:
                        self.gaps.append(monotonic() - last)
                        self._say(f"{self._name}: back after {self.gaps[-1]:.1f} s")
                    last, lost, pause = monotonic(), False, self._pause
                    time_s = frame_time(capture, index, rate) if finite else last - started
                    with self._ready:
                        while finite and self._newest is not None and not self._stop.is_set():
                            self._ready.wait(timeout=0.5)
                        self.dropped += self._newest is not None
                        self._newest = (image, index, time_s)
                        self._ready.notify()
                    index += 1
                    continue
                if finite and index:
                    if ends_early(time_s, round(count), rate):
                        raise SourceError(f"{self._name}: broke off after {time_s:.1f} of {count / rate:.1f} s")
                    return
                if not lost:
                    self._say(f"{self._name}: no frame comes; trying to open it again")
                lost = True
                if monotonic() - last > GIVE_UP_AFTER_S:
                    raise SourceError(f"{self._name}: stayed away for {GIVE_UP_AFTER_S:.0f} s")
                capture.release()
                if self._stop.wait(pause):
                    return
                pause = min(2 * pause, MAX_PAUSE_S)
                capture = self._opener(self._where)  # one that does not open gives no frame either
        finally:
            capture.release()
