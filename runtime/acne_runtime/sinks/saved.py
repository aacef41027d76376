"""Annotated pictures and videos on disk."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from acne_runtime import files
from acne_runtime.errors import AcneEdgeError
from acne_runtime.result import Result
from acne_runtime.sinks.annotate import annotate
from acne_runtime.sources.frame import Frame


class SavedPictures:
    """Writes each photograph, annotated, under its own name into a folder."""

    def __init__(self, folder: Path):
        self._folder = folder

    def write(self, frame: Frame, result: Result) -> None:
        """Writes one picture whole or not at all.

        Raises:
            AcneEdgeError: It would replace the photograph itself.
        """
        source = Path(frame.source)
        target = self._folder / source.name
        if target.resolve() == source.resolve():
            raise AcneEdgeError(f"--save {self._folder}: would overwrite {source}; name another folder")
        try:
            _, data = cv2.imencode(source.suffix, annotate(frame.image, result))
        except cv2.error as error:
            raise AcneEdgeError(f"{target}: OpenCV cannot write {source.suffix or 'nameless'} pictures") from error
        files.write_atomically(target, data.tobytes())

    def close(self) -> None:
        """Nothing is left open."""


class SavedVideo:
    """Writes the annotated frames of one video or camera as an MP4 file."""

    def __init__(self, file: Path, rate: float):
        """Remembers where to write; the file appears under its name when it is whole.

        Args:
            file: Ends in `.mp4`.
            rate: Frames a second.
        """
        self._file, self._rate = file, rate
        self._part = file.with_name(f".part-{file.name}")
        self._writer: cv2.VideoWriter | None = None
        self._size = (0, 0)

    def write(self, frame: Frame, result: Result) -> None:
        """Appends one frame; the first one sets the size.

        Raises:
            AcneEdgeError: The file would replace the video itself, or cannot be written.
        """
        if self._writer is None:
            self._open(frame)
        picture: NDArray[np.uint8] = annotate(frame.image, result)
        if (picture.shape[1], picture.shape[0]) != self._size:
            picture = cv2.resize(picture, self._size)  # type: ignore[assignment]
        assert self._writer is not None
        self._writer.write(picture)

    def _open(self, frame: Frame) -> None:
        if self._file.resolve() == Path(frame.source).resolve():
            raise AcneEdgeError(f"--save {self._file.parent}: would overwrite {frame.source}; name another folder")
        self._file.parent.mkdir(parents=True, exist_ok=True)
        self._size = (frame.image.shape[1], frame.image.shape[0])
        self._writer = cv2.VideoWriter(str(self._part), cv2.VideoWriter.fourcc(*"mp4v"), self._rate, self._size)
        if not self._writer.isOpened():
            raise AcneEdgeError(f"{self._file}: the video cannot be written there")

    def close(self) -> None:
        """Finishes the file, also after an interruption: it is playable up to the last frame."""
        if self._writer is not None and self._writer.isOpened():
            self._writer.release()
            self._part.replace(self._file)
