import struct

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from acne_runtime.sources import jpeg, png
from acne_runtime.sources.image_header import find_end, has_further_frames, is_image, read_size

PICTURE = np.arange(37 * 53 * 3, dtype=np.uint8).reshape(37, 53, 3)


def encoded(suffix, image=PICTURE, *flags):
    return cv2.imencode(suffix, image, flags)[1].tobytes()


KINDS = {
    "jpg": encoded(".jpg"),
    "progressive jpg": encoded(".jpg", PICTURE, cv2.IMWRITE_JPEG_PROGRESSIVE, 1),
    "png": encoded(".png"),
    "bmp": encoded(".bmp"),
    "webp": encoded(".webp", PICTURE, cv2.IMWRITE_WEBP_QUALITY, 80),
    "lossless webp": encoded(".webp", PICTURE, cv2.IMWRITE_WEBP_QUALITY, 101),
    "webp with alpha": encoded(".webp", np.dstack([PICTURE, PICTURE[..., 0]]), cv2.IMWRITE_WEBP_QUALITY, 80),
    "tiff": encoded(".tiff"),
    "gif": encoded(".gif", PICTURE, cv2.IMWRITE_GIF_LOOP, 0),
    "big-endian tiff": b"MM\0*" + struct.pack(">IHHHIHHHHII", 8, 2, 256, 3, 1, 53, 0, 257, 4, 1, 37),
}
WHATEVER = st.one_of(
    st.binary(max_size=200),
    st.builds(
        lambda data, at, put: data[: at % len(data)] + put + data[at % len(data) + len(put) :],
        st.sampled_from(sorted(KINDS.values())),
        st.integers(0, 10**6),
        st.binary(max_size=8),
    ),
)


@pytest.mark.parametrize("kind", KINDS)
def test_the_size_is_what_the_picture_has(kind):
    assert read_size(KINDS[kind]) == (53, 37)


def bmp_with_masks(*masks):
    header = struct.pack("<IiiHHIIiiII", 40, 3, 2, 1, 32, 3, 24, 0, 0, 0, 0) + struct.pack("<III", *masks)
    return b"BM" + struct.pack("<IHHI", 14 + len(header) + 24, 0, 0, 14 + len(header)) + header + bytes(24)


def test_a_bmp_with_colours_in_another_order_is_refused():
    assert read_size(bmp_with_masks(0xFF0000, 0xFF00, 0xFF)) == (3, 2)
    with pytest.raises(ValueError, match="order of its own; save it as PNG"):
        read_size(bmp_with_masks(0xFF, 0xFF00, 0xFF0000))


def test_a_bmp_from_top_to_bottom_has_a_height_all_the_same():
    data = bytearray(KINDS["bmp"])
    data[22:26] = struct.pack("<i", -37)
    assert read_size(bytes(data)) == (53, 37)


@pytest.mark.parametrize("kind", KINDS)
def test_a_picture_that_ends_before_its_size_is_refused(kind):
    with pytest.raises(ValueError, match=r"(header is truncated|no JPEG|a RIFF file)"):
        read_size(KINDS[kind][: 8 if kind == "gif" else 12])


def test_a_picture_without_pixels_is_refused():
    data = bytearray(KINDS["png"])
    data[16:20] = bytes(4)
    with pytest.raises(ValueError, match="size is zero"):
        read_size(bytes(data))


@given(WHATEVER)
def test_any_bytes_state_a_size_or_are_refused(data):
    try:
        width, height = read_size(data)
    except ValueError:
        return
    assert width > 0
    assert height > 0


@given(WHATEVER)
def test_any_bytes_end_somewhere_or_nowhere(data):
    for find in (jpeg.find_end, png.find_end, lambda data: find_end(data, 0)):
        end, start = find(bytearray(data))
        assert -1 <= end <= len(data)
        assert -1 <= start <= max(len(data), 8)


@given(WHATEVER)
def test_any_image_has_one_frame_or_more(data):
    if is_image(data):
        assert has_further_frames(data) in (True, False)


@pytest.mark.parametrize("kind", KINDS)
def test_a_picture_ends_where_the_next_one_starts(kind):
    data = KINDS[kind]
    expected = (-1, 0) if "tiff" in kind else (len(data), -1)
    assert find_end(bytearray(data + KINDS["png"]), 0) == expected


def test_of_a_tiff_that_states_its_size_twice_the_first_counts_as_for_its_decoder():
    tiff = bytearray(encoded(".tif", np.zeros((30, 40, 3), np.uint8)))
    (place,) = struct.unpack_from("<I", tiff, 4)
    (count,) = struct.unpack_from("<H", tiff, place)
    entries = bytes(tiff[place + 2 : place + 2 + 12 * count])
    assert entries[:2] == struct.pack("<H", 256)
    tiff[4:8] = struct.pack("<I", len(tiff))
    tiff += struct.pack("<H", count + 1) + entries[:12] + struct.pack("<HHII", 256, 4, 1, 2) + entries[12:] + bytes(4)
    assert read_size(bytes(tiff)) == (40, 30)
