"""Photographs as a store keeps them: upright JPEG without EXIF, and when they were taken."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from acne_runtime.errors import SourceError
from acne_runtime.sources import heif

JPEG_QUALITY = 95
_EXIF_IFD, _TAKEN, _OFFSET = 0x8769, 0x9003, 0x9011
"""Tags: the EXIF directory, DateTimeOriginal and OffsetTimeOriginal (EXIF 2.32, 4.6)."""
_ASCII = 2


@dataclass(frozen=True, slots=True)
class Taken:
    """When a photograph was taken.

    Attributes:
        local: `YYYY-MM-DDTHH:MM:SS` where it was taken.
        offset: From UTC, such as `+01:00`; `None` if unknown.
        source: `given`, `exif`, `file` (its date of change) or `now`.
    """

    local: str
    offset: str | None
    source: str


def encode_jpeg(image: NDArray[np.uint8]) -> bytes:
    """Returns an image as JPEG, without any metadata.

    Args:
        image: `[height, width, 3]` uint8 BGR.
    """
    _, data = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY])
    return data.tobytes()


def decode_jpeg(jpeg: bytes) -> NDArray[np.uint8]:
    """Returns `[height, width, 3]` uint8 BGR."""
    image = cv2.imdecode(np.frombuffer(jpeg, np.uint8), cv2.IMREAD_COLOR)
    if image is None:
        raise SourceError("a photograph in the store is damaged; run: acne-monitor verify")
    return np.asarray(image, np.uint8)


def taken_at(file: Path) -> Taken:
    """Returns when a photograph was taken, from its EXIF, or else from the file's date."""
    written = datetime.fromtimestamp(file.stat().st_mtime).astimezone()
    try:
        tags = _exif_tags(file)
        local = datetime.strptime(tags[_TAKEN], "%Y:%m:%d %H:%M:%S")
    except (ValueError, KeyError, struct.error, cv2.error):
        return from_datetime(written, "file")
    return Taken(local.isoformat(), _valid_offset(tags.get(_OFFSET)), "exif")


def parse_time(text: str) -> Taken:
    """Returns a time that a person gave.

    Raises:
        SourceError: It is no ISO 8601 date or time.
    """
    try:
        return from_datetime(datetime.fromisoformat(text.replace("Z", "+00:00")), "given")
    except ValueError as error:
        raise SourceError(
            f"`at` {text}: no date or time such as 2026-11-25 or 2026-11-25T10:00+01:00", parameter="at"
        ) from error


def from_datetime(time: datetime, source: str) -> Taken:
    """Returns a time with or without time zone."""
    offset = time.strftime("%z")
    return Taken(
        time.replace(tzinfo=None, microsecond=0).isoformat(), f"{offset[:3]}:{offset[3:5]}" if offset else None, source
    )


def _valid_offset(text: str | None) -> str | None:
    return text if text is not None and len(text) == 6 and text[0] in "+-" and text[3] == ":" else None


def _exif_tags(file: Path) -> dict[int, str]:
    """Returns the texts in the EXIF directory of an image."""
    data = file.read_bytes()
    if heif.is_heif(data):
        return _read_exif(heif.read_exif(data))
    buffer = np.frombuffer(data, np.uint8)
    _, kinds, blocks = cv2.imdecodeWithMetadata(buffer, flags=cv2.IMREAD_REDUCED_GRAYSCALE_8)
    for kind, block in zip(kinds, blocks, strict=True):
        if kind == cv2.IMAGE_METADATA_EXIF:
            return _read_exif(np.asarray(block).tobytes())
    raise KeyError("EXIF")


def _read_exif(data: bytes) -> dict[int, str]:
    data = data.removeprefix(b"Exif\0\0")
    order = {b"II": "<", b"MM": ">"}[data[:2]]
    (first,) = struct.unpack_from(f"{order}I", data, 4)
    (exif,) = [value for tag, _, _, value in _directory(data, order, first) if tag == _EXIF_IFD] or [0]
    texts = {}
    for tag, kind, count, value in _directory(data, order, exif) if exif else ():
        if kind == _ASCII and tag in (_TAKEN, _OFFSET) and value + count <= len(data):
            texts[tag] = data[value : value + count].rstrip(b"\0 ").decode("ascii", "replace")
    return texts


def _directory(data: bytes, order: str, offset: int) -> list[tuple[int, int, int, int]]:
    """Returns tag, type, count and value (or its offset) of each entry (TIFF 6.0, section 2)."""
    (count,) = struct.unpack_from(f"{order}H", data, offset)
    entries = []
    for index in range(count):
        entries.append(struct.unpack_from(f"{order}HHII", data, offset + 2 + 12 * index))
    return entries
