"""Opens a source by its path, URL or camera number."""

from __future__ import annotations

import dataclasses
import glob
import logging
import sys
import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from io import BufferedReader
from pathlib import Path
from typing import cast
from urllib.parse import urlsplit, urlunsplit

from acne_runtime.errors import SourceError
from acne_runtime.frame import Frame
from acne_runtime.sources import image_files, image_header, standard_input
from acne_runtime.sources.stream import LiveStream
from acne_runtime.sources.video_file import Video

logger = logging.getLogger(__name__)

_STREAMS = frozenset({"rtsp", "rtsps", "rtmp", "http", "https", "udp", "tcp", "srt"})


@dataclass(frozen=True, slots=True)
class Source:
    """An opened source.

    Attributes:
        frames: Its frames, in order.
        name: A short name for output files.
        count: Number of frames, 0 if unknown.
        rate: Frames per second of a video; 0 for images.
        live: The camera or stream, if it is one.
        files: The files that are read.
    """

    frames: Iterable[Frame]
    name: str
    count: int = 0
    rate: float = 0.0
    live: LiveStream | None = None
    files: Sequence[Path] = ()

    @property
    def is_video(self) -> bool:
        """Whether the frames form a sequence in time."""
        return self.rate > 0


CAMERA_RATE = 15.0
"""Frames per second written to a saved camera video; the actual rate depends on the model."""


def open_camera(number: int, max_fps: float = 0.0) -> Source:
    """Opens a camera of this device; 0 is the first."""
    live = LiveStream(number, f"camera:{number}", max_fps=max_fps)
    return Source(live, f"camera-{number}", rate=min(max_fps or CAMERA_RATE, CAMERA_RATE), live=live)


def open_images(
    files: list[Path],
    name: str,
    on_error: Callable[[SourceError], None] | None = None,
    max_pixels: int = image_files.MAX_PIXELS,
    scale: image_files.ReadingScale = image_files.full_size,
) -> Source:
    """Opens image files, in their order; `name` is that of the source, the others as for `open_source`."""
    return Source(image_files.read_images(files, on_error, max_pixels, scale), name, len(files), files=files)


def open_source(
    source: str,
    *,
    max_fps: float = 0.0,
    max_pixels: int = image_files.MAX_PIXELS,
    scale: image_files.ReadingScale = image_files.full_size,
    on_error: Callable[[SourceError], None] | None = None,
    recursive: bool = False,
) -> Source:
    """Opens an image, a folder, a pattern such as `photos/*.jpg`, a list (`.txt`), a video, a stream's URL, or `-`.

    Args:
        source: What to open.
        max_fps: Maximum frames per second of a stream; 0 for no limit.
        max_pixels: As for `image_files.read_image`.
        scale: As for `image_files.read_frame`, for image files.
        on_error: Called for each of several images that cannot be read; `None` raises.
        recursive: Whether a folder's folders are looked into.

    Raises:
        SourceError: There is no such source.
    """
    if not source:
        raise SourceError("`source` is empty", parameter="source")
    if source == "-":
        if sys.stdin is None:  # closed by the parent process
            raise SourceError("`source` -: there is no standard input", parameter="source")
        return Source(
            standard_input.read_stream(cast(BufferedReader, sys.stdin.buffer), max_pixels, on_error),
            standard_input.NAME,
        )
    scheme = source.partition("://")[0].lower()
    if "://" in source and scheme in _STREAMS:
        return _open_url(source, scheme, max_fps, max_pixels)
    path = Path(source)
    if path.is_dir():
        files = image_files.list_images(path, recursive)
        left_out = image_files.describe_left_out(path, recursive)
        if left_out:  # or people would believe that all photographs were processed
            logger.warning("%s: %s", path, left_out)
        return open_images(files, path.name, on_error, max_pixels, scale)
    if path.suffix.lower() == ".txt" and path.is_file():
        listed = [Path(name) for name in image_files.read_list(path)]
        return open_images(listed, path.stem, on_error, max_pixels, scale)
    if path.is_file():
        return _open_file(path, max_pixels, scale)
    if glob.has_magic(source):
        found = sorted(Path(path) for path in glob.glob(source, recursive=True))  # noqa: PTH207  (absolute patterns too)
        files = [file for file in found if file.suffix.lower() in image_files.SUFFIXES and file.is_file()]
        files = list({file.resolve(): file for file in reversed(files)}.values())[::-1]  # links may lead in a circle
        if not files:
            raise SourceError(f"{source}: no image matches this pattern")
        return open_images(files, "photographs", on_error, max_pixels, scale)
    raise SourceError(f"{source}: no such image, folder, video or stream")


def _open_file(file: Path, max_pixels: int, scale: image_files.ReadingScale) -> Source:
    """Opens an image or a video, told apart by what is in it; the name decides for what is neither."""
    with file.open("rb") as stream:
        start = stream.read(image_header.START_BYTES)
    is_video = file.suffix.lower() not in image_files.SUFFIXES and not image_header.is_image(start)
    if is_video:
        frames = Video(file)
        return Source(frames, file.stem, frames.count, frames.rate, files=(file,))
    return Source(image_files.read_images([file], max_pixels=max_pixels, scale=scale), file.stem, 1, files=(file,))


def _open_url(url: str, scheme: str, max_fps: float, max_pixels: int) -> Source:
    """Opens a stream, or a photograph or video on a web server."""
    fetched = _fetch(url, max_pixels) if scheme in ("http", "https") else None
    if fetched is not None:
        return fetched
    live = LiveStream(url, _without_password(url), max_fps=max_fps)
    return Source(live, scheme, rate=min(max_fps or CAMERA_RATE, CAMERA_RATE), live=live)


def _fetch(url: str, max_pixels: int) -> Source | None:
    """Opens a photograph or video on a web server; `None` for a stream."""
    from acne_runtime.sources.download import download  # only here: it loads Python's network code

    name = _without_password(url)
    folder = tempfile.TemporaryDirectory(prefix="acne-run-", ignore_cleanup_errors=True)
    try:
        file = download(url, name, Path(folder.name))
        if file is None:
            folder.cleanup()
            return None
        stem = file.stem or "download"
        with file.open("rb") as stream:
            start = stream.read(image_header.START_BYTES)
        if image_header.is_image(start):
            image = image_files.read_frame(file, max_pixels).image
            folder.cleanup()
            return Source([Frame(image, name)], stem, 1)
        try:
            video = Video(file)
        except SourceError as error:
            raise SourceError(f"{name}: neither an image nor a video that OpenCV can decode") from error
    except BaseException:
        folder.cleanup()
        raise

    def frames() -> Iterator[Frame]:
        with folder:
            try:
                for frame in video:
                    yield dataclasses.replace(frame, source=name)
            except SourceError as error:
                raise SourceError(str(error).replace(str(file), name)) from error

    return Source(frames(), stem, video.count, video.rate)


def _without_password(url: str) -> str:
    """Returns the URL without user name and password, for results and errors."""
    try:
        parts = urlsplit(url)
    except ValueError as error:
        raise SourceError(f"{url}: not a valid URL ({error})") from error
    return urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2]))
