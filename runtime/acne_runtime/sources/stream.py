"""Cameras and network streams: only the latest frame is processed, and a lost stream is reconnected."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator
from time import monotonic

import cv2
import numpy as np
from numpy.typing import NDArray

from acne_runtime.errors import SourceError, one_line
from acne_runtime.frame import Frame
from acne_runtime.sources.video_file import Capture

logger = logging.getLogger(__name__)

FIRST_PAUSE_S, MAX_PAUSE_S = 0.5, 30.0
"""Seconds between two attempts to reconnect; the pause doubles each time."""
GIVE_UP_AFTER_S = 300.0
"""Seconds without a frame after which the source is given up."""
_MIN_RATE, _MAX_RATE = 0.001, 1000.0
_TIMEOUT_MS = 10_000
_READ_TIMEOUT = (cv2.CAP_PROP_READ_TIMEOUT_MSEC, _TIMEOUT_MS)


def open_capture(where: int | str) -> Capture:
    """Opens a camera by its number or a stream by its URL."""
    if isinstance(where, str):
        return cv2.VideoCapture(where, cv2.CAP_FFMPEG, [cv2.CAP_PROP_OPEN_TIMEOUT_MSEC, _TIMEOUT_MS, *_READ_TIMEOUT])
    capture = cv2.VideoCapture(where)
    capture.set(cv2.CAP_PROP_BUFFERSIZE, 1)  # the latest frame rather than the oldest one waiting
    return capture


class LiveStream:
    """Frames of a camera or stream, read in a separate thread so that none waits for the model.

    Attributes:
        dropped: Number of frames replaced by a newer one before they were processed.
        gaps: Length of each connection loss in seconds.
    """

    def __init__(
        self,
        address: int | str,
        name: str,
        *,
        max_fps: float = 0.0,
        opener: Callable[[int | str], Capture] = open_capture,
        pause: float = FIRST_PAUSE_S,
        give_up_after: float = GIVE_UP_AFTER_S,
    ):
        """Prepares the stream; it is opened when the first frame is requested.

        Args:
            address: The number of the camera or the URL of the stream.
            name: The source's name in results, such as `camera:0`.
            max_fps: Maximum frames per second, 0.001 to 1000; 0 for no limit.
            opener: Opens the address.
            pause: Seconds before the first attempt to reconnect.
            give_up_after: Seconds without a frame after which it is given up.

        Raises:
            SourceError: `max_fps` is out of range.
        """
        if max_fps != 0 and not _MIN_RATE <= max_fps <= _MAX_RATE:  # NaN fails too
            raise SourceError(
                f"`max_fps` {max_fps}: neither 0 nor within {_MIN_RATE} to {_MAX_RATE:g}", parameter="max_fps"
            )
        self._address, self._name, self._opener, self._pause = address, name, opener, pause
        self._give_up_after = give_up_after
        self._min_interval = 1 / max_fps if max_fps else 0.0
        self.dropped = 0
        self.gaps: list[float] = []
        self._newest: tuple[NDArray[np.uint8], int, float] | None = None
        self._end: BaseException | None = None
        self._ready = threading.Condition()
        self._stop = threading.Event()
        self._begun = False

    def __iter__(self) -> Iterator[Frame]:
        """Yields the latest frame each time one is requested.

        Raises:
            SourceError: The source does not open, fails, gives no frame for `give_up_after` seconds, or is read twice.
        """
        if self._begun:
            raise SourceError(f"{self._name}: already read; open it again")
        self._begun = True
        # The thread also opens it: a server that does not answer must not block Ctrl-C.
        reader = threading.Thread(target=self._read, name=f"read {self._name}", daemon=True)
        reader.start()
        due = monotonic()
        try:
            while True:
                self._stop.wait(max(0.0, due - monotonic()))
                with self._ready:
                    asked = monotonic()
                    # With a timeout: on Windows, Ctrl-C does not interrupt a wait.
                    while not self._ready.wait_for(lambda: self._newest or self._end, timeout=0.5):
                        if monotonic() - asked > self._give_up_after:  # a driver that neither reads nor fails
                            raise SourceError(f"{self._name}: no frame for {self._give_up_after:.0f} s")
                    if self._newest is None:
                        if isinstance(self._end, EOFError):
                            return
                        assert self._end is not None
                        raise self._end
                    (image, index, time_s), self._newest = self._newest, None
                    self._ready.notify()
                due = monotonic() + self._min_interval
                yield Frame(image, self._name, index, time_s)
        finally:
            self._stop.set()
            reader.join(timeout=1.0)

    def _read(self) -> None:
        """Opens the source and reads until told to stop; runs in its own thread and stores in `_end` why it ended."""
        try:
            self._read_frames()
            end: BaseException = EOFError()
        except SourceError as error:
            end = error
        except Exception as error:  # or the consumer would wait for ever
            end = SourceError(f"{self._name}: cannot be read ({one_line(error)})")
        with self._ready:
            self._end = end
            self._ready.notify()

    def _read_frames(self) -> None:
        capture = self._opener(self._address)
        try:
            if not capture.isOpened():
                hint = (
                    "the address" if isinstance(self._address, str) else "that it is connected, allowed and not in use"
                )
                raise SourceError(f"{self._name}: cannot be opened; check {hint}")
            started = last = monotonic()
            index, lost, pause = 0, False, self._pause
            while not self._stop.is_set():
                read, image = capture.read()
                if read:
                    if lost:
                        self.gaps.append(monotonic() - last)
                        logger.warning("%s: reconnected after %.1f s", self._name, self.gaps[-1])
                    last, lost, pause = monotonic(), False, self._pause
                    self._publish(image, index, last - started)
                    index += 1
                    continue
                if not lost:
                    logger.warning("%s: lost; reconnecting", self._name)
                lost = True
                if monotonic() - last > self._give_up_after:
                    raise SourceError(f"{self._name}: no frame for {self._give_up_after:.0f} s")
                capture.release()
                if self._stop.wait(pause):
                    return
                pause = min(2 * pause, MAX_PAUSE_S)
                capture = self._opener(self._address)  # if it does not open, it gives no frame either
        finally:
            capture.release()

    def _publish(self, image: NDArray[np.uint8], index: int, time_s: float) -> None:
        """Hands a frame to the consumer; one that it has not taken is dropped."""
        with self._ready:
            self.dropped += self._newest is not None
            self._newest = (image, index, time_s)
            self._ready.notify()
