"""Photographs on disk."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from acne_runtime.errors import SourceError
from acne_runtime.sources.frame import Frame

SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".bmp", ".webp", ".tif", ".tiff"})

_JPEG_START, _JPEG_SCAN, _JPEG_END = b"\xff\xd8", 0xDA, b"\xff\xd9"


def read_photo(file: Path) -> NDArray[np.uint8]:
    """Reads one photograph upright (its EXIF orientation applied): `[height, width, 3]` uint8 BGR.

    Raises:
        SourceError: It is missing, empty, cut off, or no picture.
    """
    try:
        data = file.read_bytes()
    except OSError as error:
        raise SourceError(f"{file}: {error.strerror}") from error
    if not data:
        raise SourceError(f"{file}: the file is empty")
    # OpenCV fills what is missing of a cut-off JPEG with grey; that is no photograph to judge skin by.
    if data.startswith(_JPEG_START) and _is_cut_off(data):
        raise SourceError(f"{file}: the JPEG is cut off; copy it again")
    try:
        image = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
    except cv2.error as error:
        raise SourceError(f"{file}: cannot be decoded ({error.err})") from error
    if image is None:
        raise SourceError(f"{file}: not a photograph, or a damaged one")
    return image  # type: ignore[return-value]


def _is_cut_off(jpeg: bytes) -> bool:
    """Returns whether a JPEG's own pixels lack their end; thumbnails before and videos behind them have their own."""
    place = len(_JPEG_START)
    while jpeg[place : place + 1] == b"\xff" and place + 4 <= len(jpeg):
        if jpeg[place + 1] == _JPEG_SCAN:
            return jpeg.find(_JPEG_END, place) < 0
        if jpeg[place + 1] == 0xFF:  # a fill byte
            place += 1
            continue
        place += 2 + int.from_bytes(jpeg[place + 2 : place + 4], "big")  # on to the next segment
    return place >= len(jpeg)


def list_photos(folder: Path) -> list[Path]:
    """Returns the photographs directly in a folder, sorted by name.

    Raises:
        SourceError: There is none.
    """
    files = sorted(file for file in folder.iterdir() if file.suffix.lower() in SUFFIXES and file.is_file())
    if not files:
        raise SourceError(f"{folder}: no photograph in this folder (looked for {', '.join(sorted(SUFFIXES))})")
    return files


def photos(files: Iterable[Path], on_error: Callable[[SourceError], None] | None = None) -> Iterator[Frame]:
    """Reads photographs one after the other.

    Args:
        files: The photographs.
        on_error: Is told of each photograph that cannot be read, which is then passed over; None raises instead.
    """
    for file in files:
        try:
            image = read_photo(file)
        except SourceError as error:
            if on_error is None:
                raise
            on_error(error)
            continue
        yield Frame(image, str(file))
