import io
import struct
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image
from support.images import picture

from acne_runtime.sources import jpeg

FIELD_INPUTS = Path(__file__).resolve().parents[4] / "shared" / "field-inputs"
PICTURE = picture(240, 320, seed=5)
JPEG = cv2.imencode(".jpg", PICTURE)[1].tobytes()
RESTARTS = cv2.imencode(".jpg", PICTURE, [cv2.IMWRITE_JPEG_RST_INTERVAL, 20])[1].tobytes()


def opencv(data, flag=cv2.IMREAD_COLOR):
    return cv2.imdecode(np.frombuffer(data, np.uint8), flag)


def saved(mode, **options):
    file = io.BytesIO()
    Image.fromarray(PICTURE[..., ::-1]).convert(mode).save(file, "jpeg", **options)
    return file.getvalue()


@pytest.mark.parametrize(
    "data",
    [JPEG, RESTARTS, saved("L"), saved("RGB", subsampling=0), saved("RGB", progressive=True), saved("CMYK")],
    ids=["usual", "restart markers", "grey", "4:4:4", "progressive", "CMYK"],
)
@pytest.mark.parametrize(
    ("reduction", "flag"),
    [
        (1, cv2.IMREAD_COLOR),
        (2, cv2.IMREAD_REDUCED_COLOR_2),
        (4, cv2.IMREAD_REDUCED_COLOR_4),
        (8, cv2.IMREAD_REDUCED_COLOR_8),
    ],
)
def test_pixels_are_those_that_opencv_reads(data, reduction, flag):
    np.testing.assert_array_equal(jpeg.decode(data, reduction), opencv(data, flag))


def flipped(data, at):
    """The JPEG with one bit of its pixel data flipped."""
    start = data.index(b"\xff\xda") + 14
    changed = bytearray(data)
    changed[start + at] ^= 0x10
    return bytes(changed)


def test_of_flipped_bits_those_are_noticed_after_which_the_data_do_not_end_with_the_picture():
    """The others change a few blocks, or the brightness of what follows: a valid picture, if another one."""
    refused = 0
    for at in range(40, 4000, 37):
        try:
            jpeg.decode(flipped(JPEG, at))
        except ValueError as error:
            assert str(error) == "a corrupt JPEG, whose pixels are wrong in part; copy it again"
            refused += 1
    assert refused > 30  # of 108


@pytest.mark.skipif(not FIELD_INPUTS.is_dir(), reason="../shared/field-inputs does not lie next to the repository")
def test_the_damaged_one_of_the_field_is_refused_and_the_whole_one_without_its_end_is_read():
    with pytest.raises(ValueError, match="a corrupt JPEG, whose pixels are wrong in part; copy it again"):
        jpeg.decode((FIELD_INPUTS / "photos" / "damaged_middle.jpg").read_bytes())
    data = (FIELD_INPUTS / "photos" / "no_eoi.jpg").read_bytes()
    np.testing.assert_array_equal(jpeg.decode(data), opencv(data + b"\xff\xd9"))


@pytest.mark.parametrize("padding", [b"\0", b"\0" * 7, b"\xff" * 3])
def test_padding_in_front_of_the_end_as_webcams_write_it_is_no_damage(padding):
    np.testing.assert_array_equal(jpeg.decode(JPEG[:-2] + padding + JPEG[-2:]), opencv(JPEG))


def test_what_is_left_over_and_no_padding_is_damage():
    with pytest.raises(ValueError, match="a corrupt JPEG"):
        jpeg.decode(JPEG[:-2] + b"\x12\x34\x56\x78\x9a" + JPEG[-2:])


def test_an_unusual_parameter_that_harms_no_pixel_is_no_damage():
    at = JPEG.index(b"\xff\xda")
    (length,) = struct.unpack_from(">H", JPEG, at + 2)
    odd = JPEG[: at + 2 + length - 1] + b"\x01" + JPEG[at + 2 + length :]  # "Invalid SOS parameters", of old phones
    np.testing.assert_array_equal(jpeg.decode(odd), opencv(JPEG))


def test_a_marker_that_is_missing_between_restarts_is_noticed():
    at = RESTARTS.index(b"\xff\xd3")
    with pytest.raises(ValueError, match="a corrupt JPEG"):
        jpeg.decode(RESTARTS[:at] + RESTARTS[at + 2 :])


def test_the_profile_is_put_together_from_its_parts_in_their_order():
    def part(number, content):
        return b"\xff\xe2" + struct.pack(">H", 16 + len(content)) + b"ICC_PROFILE\0" + bytes((number, 2)) + content

    data = JPEG[:2] + part(2, b"world") + part(1, b"hello ") + JPEG[2:]
    assert jpeg.color_profile(data) == b"hello world"
    assert jpeg.color_profile(JPEG) == b""
