"""From what a person calls a source to its frames."""

from __future__ import annotations

import glob
import sys
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from io import BufferedReader
from pathlib import Path
from typing import cast
from urllib.parse import urlsplit, urlunsplit

from acne_runtime.errors import SourceError
from acne_runtime.frame import Frame
from acne_runtime.sources import image_files, standard_input
from acne_runtime.sources.stream import LiveStream
from acne_runtime.sources.video_file import SUFFIXES as VIDEO_SUFFIXES
from acne_runtime.sources.video_file import Video

_STREAMS = frozenset({"rtsp", "rtsps", "rtmp", "http", "https", "udp", "tcp", "srt"})


@dataclass(frozen=True, slots=True)
class Source:
    """An opened source.

    Attributes:
        frames: Its frames, in order.
        name: A short name for files made of it.
        count: How many frames there are, 0 where that is unknown.
        rate: Frames a second of a video; 0 for photographs.
        live: The camera or stream, where it is one.
        files: What is read, where it is files.
    """

    frames: Iterable[Frame]
    name: str
    count: int = 0
    rate: float = 0.0
    live: LiveStream | None = None
    files: Sequence[Path] = ()

    @property
    def is_video(self) -> bool:
        """Whether frames follow each other in time."""
        return self.rate > 0


CAMERA_RATE = 15.0
"""Frames a second stated in a saved camera video; the camera's own pace depends on the model."""


def open_camera(number: int, max_fps: float, say: Callable[[str], None]) -> Source:
    """Opens a camera of this device; 0 is the first."""
    live = LiveStream(number, f"camera:{number}", max_fps=max_fps, say=say)
    return Source(live, f"camera-{number}", rate=min(max_fps or CAMERA_RATE, CAMERA_RATE), live=live)


def open_source(
    source: str,
    *,
    max_fps: float = 0.0,
    max_pixels: int = image_files.MAX_PIXELS,
    scale: image_files.ReadingScale = image_files.full_size,
    on_error: Callable[[SourceError], None] | None = None,
    say: Callable[[str], None] = lambda _: None,
) -> Source:
    """Opens a photograph, a folder, a pattern such as `photos/*.jpg`, a video, a stream's URL, or `-` (standard input).

    Args:
        source: What to open.
        max_fps: Most frames a second of a stream; 0 for as many as come.
        max_pixels: As for `image_files.read_image`.
        scale: As for `image_files.read_frame`, for photographs in files.
        on_error: Is told of each photograph of several that cannot be read; `None` raises.
        say: Is told when a stream goes away and when it is back.

    Raises:
        SourceError: There is no such thing.
    """
    if not source:
        raise SourceError("--source: is empty")
    if source == "-":
        if sys.stdin is None:  # closed by whoever started this
            raise SourceError("--source -: there is no standard input")
        return Source(
            standard_input.read_stream(cast(BufferedReader, sys.stdin.buffer), max_pixels, on_error),
            standard_input.NAME,
        )
    scheme = source.partition("://")[0].lower()
    if "://" in source and scheme in _STREAMS:
        live = LiveStream(source, _without_password(source), max_fps=max_fps, say=say)
        return Source(live, scheme, rate=min(max_fps or CAMERA_RATE, CAMERA_RATE), live=live)
    path = Path(source)
    if path.is_dir():
        return _several(image_files.list_images(path), path.name, on_error, max_pixels, scale)
    if path.is_file():
        if path.suffix.lower() in VIDEO_SUFFIXES:
            frames = Video(path)
            return Source(frames, path.stem, frames.count, frames.rate, files=(path,))
        return Source(image_files.photos([path], max_pixels=max_pixels, scale=scale), path.stem, 1, files=(path,))
    if glob.has_magic(source):
        found = sorted(Path(one) for one in glob.glob(source, recursive=True))  # noqa: PTH207  (absolute patterns too)
        files = [one for one in found if one.suffix.lower() in image_files.SUFFIXES and one.is_file()]
        if not files:
            raise SourceError(f"{source}: no photograph matches this pattern")
        return _several(files, "photographs", on_error, max_pixels, scale)
    raise SourceError(f"{source}: no such photograph, folder, video or stream")


def _without_password(url: str) -> str:
    """Returns the URL as results and errors may name it."""
    try:
        parts = urlsplit(url)
    except ValueError as error:
        raise SourceError(f"{url}: no address ({error})") from error
    return urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2]))


def _several(
    files: list[Path],
    name: str,
    on_error: Callable[[SourceError], None] | None,
    max_pixels: int,
    scale: image_files.ReadingScale,
) -> Source:
    return Source(image_files.photos(files, on_error, max_pixels, scale), name, len(files), files=files)
