"""Writes annotated images and videos."""

from __future__ import annotations

import logging
import shutil
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from acne_runtime.atomic_write import make_temporary, write_atomically
from acne_runtime.errors import AcneEdgeError
from acne_runtime.frame import Frame
from acne_runtime.result import Result, annotate
from acne_runtime.sinks.frame_times import set_frame_times
from acne_runtime.sinks.overwrite_guard import OverwriteGuard
from acne_runtime.sources.image_files import SUFFIXES, read_full_image

_JPEG_NAMES = frozenset({".jfif", ".jpe"})
"""Other names of JPEG files, which OpenCV does not know when it writes."""
_WRITTEN_AS = {".heic": ".jpg", ".heif": ".jpg", ".avif": ".jpg", ".gif": ".png"}
"""What cannot be written, or not without loss of colours, and what is written instead."""
logger = logging.getLogger(__name__)

MIN_FREE = 16 << 20
"""Free bytes on the disk needed to finish a video."""


class ImageWriter:
    """Writes each image, annotated, under its own name into a folder, if need be in another format."""

    def __init__(self, folder: Path, guard: OverwriteGuard):
        self._folder, self._guard = folder, guard
        self._written: set[Path] = set()

    def write(self, frame: Frame, results: Sequence[Result]) -> None:
        """Writes one image atomically.

        Raises:
            AcneEdgeError: It would overwrite an input, or cannot be encoded.
        """
        source = Path(frame.source)
        stem = source.stem if source.suffix else f"{source.name}-{frame.index}"  # standard input has no file name
        suffix = source.suffix if source.suffix.lower() in SUFFIXES else ".png"
        suffix = _WRITTEN_AS.get(suffix.lower(), suffix)
        target, number = self._folder / f"{stem}{suffix}", 1
        while target in self._written:  # the same name in another folder
            number += 1
            target = self._folder / f"{stem}-{number}{suffix}"
        self._written.add(target)
        self._guard.check(target)
        try:
            encoded_as = ".jpg" if suffix.lower() in _JPEG_NAMES else suffix
            _, data = cv2.imencode(encoded_as, annotate(read_full_image(frame), *results))
        except cv2.error as error:
            raise AcneEdgeError(f"{target}: OpenCV cannot write {suffix} images") from error
        write_atomically(target, data.tobytes())

    def close(self) -> None:
        """Does nothing; no file is left open."""


class VideoWriter:
    """Writes the annotated frames of one video or camera as an MP4 file."""

    def __init__(self, file: Path, rate: float, guard: OverwriteGuard):
        """Prepares the video; the file gets its name when it is complete.

        Args:
            file: Ends in `.mp4`.
            rate: Frames per second, of a video of one frame.
            guard: The inputs, which it must not overwrite.
        """
        self._file, self._rate, self._guard = file, rate, guard
        self._part = file
        self._writer: cv2.VideoWriter | None = None
        self._size = (0, 0)
        self._times: list[float] = []

    def write(self, frame: Frame, results: Sequence[Result]) -> None:
        """Appends a frame, which is shown until the time of the next one. The first frame sets the size.

        Raises:
            AcneEdgeError: The file would overwrite an input, cannot be written, or the disk is full.
        """
        if self._writer is None:
            self._writer = self._open(frame)
        if shutil.disk_usage(self._file.parent).free < MIN_FREE:  # OpenCV would drop frames silently
            raise AcneEdgeError(f"{self._file}: the disk is nearly full; the video ends here")
        canvas: NDArray[np.uint8] = annotate(read_full_image(frame), *results)
        if (canvas.shape[1], canvas.shape[0]) != self._size:
            canvas = cv2.resize(canvas, self._size)  # type: ignore[assignment]
        self._writer.write(canvas)
        self._times.append(frame.time_s)

    def _open(self, frame: Frame) -> cv2.VideoWriter:
        self._guard.check(self._file)
        if self._file.is_dir():
            raise AcneEdgeError(f"{self._file}: is a folder; choose another path")
        self._part = make_temporary(self._file)
        self._size = (frame.image.shape[1], frame.image.shape[0])
        writer = cv2.VideoWriter(str(self._part), cv2.VideoWriter.fourcc(*"mp4v"), self._rate, self._size)
        if not writer.isOpened():
            self._part.unlink()
            raise AcneEdgeError(
                f"{self._file}: OpenCV cannot write a video of {self._size[0]} x {self._size[1]} pixels"
            )
        return writer

    def close(self) -> None:
        """Finishes the file, which is playable also after an interruption."""
        if self._writer is not None and self._writer.isOpened():
            self._writer.release()
            durations = np.diff(self._times).tolist()
            try:
                set_frame_times(self._part, [*durations, durations[-1] if durations else 1 / self._rate])
            except ValueError as error:  # another version of OpenCV, perhaps
                logger.warning("%s: all frames are there, but at one rate (%s)", self._file, error)
            self._part.replace(self._file)
