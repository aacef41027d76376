import struct
import zlib

import cv2
import pytest
from support.images import picture

from acne_runtime.errors import SourceError
from acne_runtime.sources import png
from acne_runtime.sources.image_files import decode_image

PNG = cv2.imencode(".png", picture(40, 60))[1].tobytes()


def chunk(name, content):
    return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))


def test_a_whole_one_passes_also_with_other_chunks_and_bytes_behind_it():
    png.check(PNG)
    png.check(PNG[:33] + chunk(b"tEXt", b"Comment\0hello") + PNG[33:] + b"more")


@pytest.mark.parametrize("at", [40, 200, len(PNG) - 20])
def test_a_changed_byte_is_noticed(at, capfd):
    damaged = bytearray(PNG)
    damaged[at] ^= 1
    with pytest.raises(SourceError, match=r"a\.png: a corrupt PNG; copy it again"):
        decode_image(bytes(damaged), "a.png")
    assert capfd.readouterr().err == ""  # libpng says nothing of its own


@pytest.mark.parametrize("end", [60, 500, len(PNG) - 1, len(PNG) - 12])
def test_a_part_of_one_is_truncated(end, capfd):
    with pytest.raises(SourceError, match=r"a\.png: the PNG is truncated; copy it again"):
        decode_image(PNG[:end], "a.png")
    assert capfd.readouterr().err == ""


def test_a_damaged_note_harms_no_pixel():
    note = bytearray(chunk(b"tEXt", b"Comment\0hello"))
    note[-1] ^= 1
    png.check(PNG[:33] + bytes(note) + PNG[33:])


def test_the_end_is_found_as_bytes_come():
    start = 8
    for length in range(8, len(PNG)):
        end, start = png.find_end(PNG[:length], start)
        assert end == -1
    assert png.find_end(PNG + PNG, start) == (len(PNG), -1)
