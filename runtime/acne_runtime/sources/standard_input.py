"""Images from standard input, one after the other, such as `ffmpeg ... -f image2pipe -c:v png -` writes them.

JPEG, PNG, WebP, BMP and GIF state where they end. TIFF, HEIC and AVIF do not: one of them is the last.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from io import BufferedIOBase
from time import monotonic

from acne_runtime.errors import SourceError
from acne_runtime.frame import Frame
from acne_runtime.sources import jpeg
from acne_runtime.sources.image_files import MAX_PIXELS, decode_image, max_bytes
from acne_runtime.sources.image_header import START_BYTES, find_end, is_image

NAME = "stdin"
_CHUNK_BYTES = 1 << 16
_HEADER = re.compile(
    rb"\xff\xd8\xff(?:[\xe0-\xef]..[ -~]{3}|[\xc0\xc2\xc4\xdb\xfe]\0)|\x89PNG\r\n\x1a\n|RIFF....WEBP", re.DOTALL
)
"""Where an image starts; for a JPEG with its first segment, since the two bytes of its marker occur by chance."""
_HEADER_BYTES = 12


def read_stream(
    stream: BufferedIOBase,
    max_pixels: int = MAX_PIXELS,
    on_error: Callable[[SourceError], None] | None = None,
) -> Iterator[Frame]:
    """Reads images until the stream ends; each is yielded as soon as it is complete.

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

    Data behind an image belong to it if they are not an image (phones append a video or notes), or one that it lists.
    """
    data, start, consumed = bytearray(), 0, 0
    embedded: dict[int, int] | None = None  # offset and size of the last image's embedded ones; None before the first

    def is_separate(length: int) -> bool:
        return embedded is None or (is_image(data) and length > embedded.get(consumed, 0))

    while chunk := stream.read1(_CHUNK_BYTES):  # what is there, without waiting for more
        data += chunk
        while True:
            end, start = _find_end(data, start)
            if end < 0:
                break
            if is_separate(end):
                image, consumed = bytes(data[:end]), 0
                embedded = jpeg.embedded_images(image) if image.startswith(jpeg.START) else {}
                yield image
            data, start, consumed = data[end:], 0, consumed + end
        if len(data) > limit:
            raise SourceError(
                f"standard input: {len(data):,} bytes without the end of an image; raise `max_pixels`",
                parameter="max_pixels",
            )
    if data and is_separate(len(data)):
        yield bytes(data)


def _find_end(data: bytearray, start: int) -> tuple[int, int]:
    """Returns the end of the first item in the data and where to continue the search, as `find_end` does.

    Data that are not an image end at the next one.
    """
    if is_image(data):
        return find_end(data, start)
    if len(data) < START_BYTES:
        return -1, 0  # too few to tell
    found = _HEADER.search(data, start)
    return (found.start(), 0) if found else (-1, max(0, len(data) - _HEADER_BYTES))
