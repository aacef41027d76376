"""Images from standard input: one of any format, or a sequence of JPEGs (`ffmpeg ... -f mjpeg -`)."""

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
_CHUNK_BYTES = 1 << 16
_JPEG_HEADER = re.compile(rb"\xff\xd8\xff(?:[\xe0-\xef]..[ -~]{3}|[\xc0\xc2\xc4\xdb\xfe]\0)", re.DOTALL)
"""A start marker and a first segment: the marker's two bytes alone occur by chance."""
_HEADER_BYTES = 9


def read_stream(
    stream: BufferedIOBase,
    max_pixels: int = MAX_PIXELS,
    on_error: Callable[[SourceError], None] | None = None,
) -> Iterator[Frame]:
    """Reads images until the stream ends; each JPEG is yielded as soon as it is complete.

    Args:
        stream: Such as `sys.stdin.buffer`.
        max_pixels: As for `image_files.read_image`.
        on_error: Called for each image that cannot be read, which is then skipped; None raises instead.

    Raises:
        SourceError: The stream is empty, or an image cannot be read.
    """
    started, index = monotonic(), 0
    for data in _split(stream, max_bytes(max_pixels)):
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
        raise SourceError("`source` -: standard input is empty", parameter="source")


def _split(stream: BufferedIOBase, limit: int) -> Iterator[bytes]:
    """Yields the bytes of each image, and those at the start of the stream that are not an image.

    Data behind a JPEG belong to it if they are not an image (phones append a video or notes), or an image that the
    JPEG lists.
    """
    data, start, consumed = bytearray(), 0, 0
    embedded: dict[int, int] | None = None  # offset and size of the last JPEG's embedded images; None before the first

    def is_separate(length: int) -> bool:
        return embedded is None or (is_image(data) and length > embedded.get(consumed, 0))

    while chunk := stream.read1(_CHUNK_BYTES):  # what is there, without waiting for more
        data += chunk
        while True:
            end, start = _find_end(data, start, first=embedded is None)
            if end < 0:
                break
            if is_separate(end):
                image, consumed = bytes(data[:end]), 0
                embedded = embedded_images(image)
                yield image
            data, start, consumed = data[end:], 0, consumed + end
        if len(data) > limit:
            raise SourceError(
                f"standard input: {len(data):,} bytes without the end of an image; raise `max_pixels`",
                parameter="max_pixels",
            )
    if data and is_separate(len(data)):
        yield bytes(data)


def _find_end(data: bytearray, start: int, first: bool) -> tuple[int, int]:
    """Returns the end of the first item in the data and where to continue the search, as `jpeg_end` does.

    Data that are not a JPEG end at the next one; an image of another format at the start of the stream, at its end.
    """
    if data.startswith(JPEG_START):
        return jpeg_end(data, max(start, len(JPEG_START)))
    if first and is_image(data):
        return -1, 0
    found = _JPEG_HEADER.search(data, start)
    return (found.start(), 0) if found else (-1, max(0, len(data) - _HEADER_BYTES))
