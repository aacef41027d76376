"""Photographs from standard input: one of any kind, or JPEGs one after the other (`ffmpeg ... -f mjpeg -`)."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from io import BufferedIOBase
from time import monotonic

from acne_runtime.errors import SourceError
from acne_runtime.frame import Frame
from acne_runtime.sources.image_files import MAX_PIXELS, decode_image, max_bytes
from acne_runtime.sources.image_header import JPEG_START, embedded_images, is_image, jpeg_end

NAME = "stdin"
_PIECE = 1 << 16
_JPEG_BEGINS = re.compile(rb"\xff\xd8\xff(?:[\xe0-\xef]..[ -~]{3}|[\xc0\xc2\xc4\xdb\xfe]\0)", re.DOTALL)
"""A start and a first segment: named, or short. The start's two bytes alone stand everywhere by chance."""
_LONGEST_BEGIN = 9


def read_stream(
    stream: BufferedIOBase,
    max_pixels: int = MAX_PIXELS,
    on_error: Callable[[SourceError], None] | None = None,
) -> Iterator[Frame]:
    """Reads until the stream ends; each JPEG is handed on as soon as its own end has come.

    Args:
        stream: Such as `sys.stdin.buffer`.
        max_pixels: As for `photos.read_image`.
        on_error: Is told of each photograph that cannot be read, which is then passed over; None raises instead.

    Raises:
        SourceError: Nothing comes, or what comes is no picture.
    """
    started, index = monotonic(), 0
    for data in _apart(stream, max_bytes(max_pixels)):
        try:
            image = decode_image(data, f"{NAME}:{index}", max_pixels)
        except SourceError as error:
            if on_error is None:
                raise
            on_error(error)
        else:
            yield Frame(image, NAME, index, monotonic() - started)
        index += 1
    if index == 0:
        raise SourceError("--source -: nothing came on standard input")


def _apart(stream: BufferedIOBase, most: int) -> Iterator[bytes]:
    """Yields the bytes of each photograph, and those that begin the stream and are none.

    What stands behind a JPEG is its own, where it is no picture (phones hang a video or notes there), or one that the
    JPEG names.
    """
    data, place, passed = bytearray(), 0, 0
    others: dict[int, int] | None = None  # where the last photograph's further pictures begin; None before the first

    def is_own(length: int) -> bool:
        return others is None or (is_image(data) and length > others.get(passed, 0))

    while piece := stream.read1(_PIECE):  # what there is, without waiting for more
        data += piece
        while True:
            end, place = _end(data, place, first=others is None)
            if end < 0:
                break
            if is_own(end):
                one, passed = bytes(data[:end]), 0
                others = embedded_images(one)
                yield one
            data, place, passed = data[end:], 0, passed + end
        if len(data) > most:
            raise SourceError(
                f"--source -: {len(data):,} bytes without the end of a photograph; --max-megapixels raises the limit"
            )
    if data and is_own(len(data)):
        yield bytes(data)


def _end(data: bytearray, place: int, first: bool) -> tuple[int, int]:
    """Returns where what the data begin with ends, and where to go on looking: `jpeg_end`, for other things too.

    What is no JPEG reaches to the next one; a picture of another kind that begins the stream, to the end.
    """
    if data.startswith(JPEG_START):
        return jpeg_end(data, max(place, len(JPEG_START)))
    if first and is_image(data):
        return -1, 0
    found = _JPEG_BEGINS.search(data, place)
    return (found.start(), 0) if found else (-1, max(0, len(data) - _LONGEST_BEGIN))
