import io
import re
import struct

import cv2
import numpy as np
import pytest
from support.images import picture

from acne_runtime.errors import SourceError
from acne_runtime.sources.standard_input import read_stream


def encoded(suffix, image):
    done, data = cv2.imencode(suffix, image)
    assert done
    return data.tobytes()


def with_thumbnail(jpeg, thumbnail):
    """Puts a whole small JPEG into an application block, as cameras do."""
    return jpeg[:2] + b"\xff\xe1" + struct.pack(">H", len(thumbnail) + 2) + thumbnail + jpeg[2:]


PICTURE = picture(48, 64, seed=3)
JPEG = encoded(".jpg", PICTURE)
THUMBNAIL = encoded(".jpg", picture(12, 16, seed=4))


class Pieces:
    """A pipe that hands on a few bytes at a time."""

    def __init__(self, data, size):
        self.pieces = [data[at : at + size] for at in range(0, len(data), size)]

    def read1(self, _):
        return self.pieces.pop(0) if self.pieces else b""


def with_others(jpeg, *others):
    """Hangs further JPEGs behind one, which names their places in a block of its own (CIPA DC-007), as phones do."""
    size = 4 + 4 + 26 + 16 * (1 + len(others))
    entries, place = struct.pack(">IIII", 0x030000, len(jpeg) + size, 0, 0), len(jpeg) + size - 10
    for one in others:
        entries += struct.pack(">IIII", 0, len(one), place + one.index(b"\xff\xd8"), 0)
        place += len(one)
    mpf = b"MPF\0MM\0*" + struct.pack(">IHHHIII", 8, 1, 0xB002, 7, len(entries), 26, 0) + entries
    return jpeg[:2] + b"\xff\xe2" + struct.pack(">H", len(mpf) + 2) + mpf + jpeg[2:] + b"".join(others)


PROGRESSIVE = cv2.imencode(".jpg", PICTURE, [cv2.IMWRITE_JPEG_PROGRESSIVE, 1])[1].tobytes()


@pytest.mark.parametrize("size", [1, 7, 1000, 10**9])
@pytest.mark.parametrize(
    "picture",
    [
        JPEG,
        PROGRESSIVE,
        with_thumbnail(JPEG, THUMBNAIL),
        with_others(JPEG, THUMBNAIL),
        with_others(with_thumbnail(JPEG, THUMBNAIL), THUMBNAIL, b"\0" * 9 + JPEG),
        with_others(JPEG, THUMBNAIL)[: -len(THUMBNAIL)],
        JPEG + b"\n",
        JPEG + bytes(100),
        JPEG + b"SEFHe\0\0\0SEFT",
        JPEG + struct.pack(">I", 24) + b"ftypmp42" + np.random.default_rng(0).bytes(5_000),
    ],
    ids=[
        "plain",
        "progressive",
        "thumbnail",
        "gain map",
        "all of these",
        "named and gone",
        "new line",
        "padding",
        "notes",
        "a video",
    ],
)
def test_jpegs_one_after_the_other_come_from_standard_input(picture, size):
    frames = list(read_stream(Pieces(picture * 3, size)))
    assert [(frame.source, frame.index, frame.image.shape) for frame in frames] == [
        ("stdin", index, (48, 64, 3)) for index in range(3)
    ]


def test_a_jpeg_from_standard_input_is_there_before_the_next_one_comes():
    pieces = Pieces(JPEG, 10**9)
    frames = read_stream(pieces)
    assert next(frames).index == 0
    pieces.pieces.append(JPEG)
    assert next(frames).index == 1


@pytest.mark.parametrize("size", [1, 1000, 10**9])
def test_of_several_on_standard_input_a_bad_one_is_told_and_passed_over(size):
    told = []
    stream = b"a text" + JPEG + JPEG[:-300] + JPEG + encoded(".png", PICTURE) + JPEG + encoded(".png", PICTURE)[:99]
    frames = list(read_stream(Pieces(stream, size), on_error=told.append))
    assert [frame.index for frame in frames] == [1, 3, 4, 5]
    assert {frame.image.shape for frame in frames} == {(48, 64, 3)}
    assert [str(error) for error in told] == [
        "stdin:0: not an image, or corrupt: no JPEG, PNG, BMP, WebP, TIFF, GIF, HEIC or AVIF",
        "stdin:2: the JPEG is truncated; copy it again",
        "stdin:6: the PNG is truncated; copy it again",
    ]


def test_standard_input_without_an_end_is_refused():
    class Endless:
        start = JPEG[:-2]

        def read1(self, size):
            start, self.start = self.start, b""
            return start + b"x" * (size - len(start))

    with pytest.raises(
        SourceError, match=r"standard input: [\d,]+ bytes without the end of an image; raise `max_pixels`"
    ):
        list(read_stream(Endless(), max_pixels=1000))


@pytest.mark.parametrize("suffix", [".png", ".webp", ".bmp", ".tif"])
def test_one_picture_of_another_kind_comes_from_standard_input(suffix):
    (frame,) = read_stream(io.BytesIO(encoded(suffix, PICTURE)))
    assert frame.image.shape == (48, 64, 3)


@pytest.mark.parametrize(
    ("data", "problem"),
    [
        (b"", "`source` -: standard input is empty"),
        (b"no picture", "stdin:0: not an image"),
        (JPEG + JPEG[:-300], "stdin:1: the JPEG is truncated"),
    ],
    ids=["nothing", "text", "cut off"],
)
def test_what_else_comes_from_standard_input_is_refused(data, problem):
    with pytest.raises(SourceError, match=re.escape(problem)):
        list(read_stream(io.BytesIO(data)))
