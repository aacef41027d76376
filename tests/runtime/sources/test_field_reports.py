"""Photographs and folders as people have them: what public reports told of, each with the right answer."""

import io
import struct

import cv2
import numpy as np
import pytest
from PIL import Image
from support.images import picture, write_picture

from acne_runtime.errors import SourceError
from acne_runtime.sources.image_files import decode_frame, decode_image, describe_left_out, list_images
from acne_runtime.sources.open_source import open_source
from acne_runtime.sources.standard_input import read_stream

PICTURE = picture(48, 64, seed=3)
RGB = Image.fromarray(np.ascontiguousarray(PICTURE[..., ::-1]))


def saved(image, kind="tiff", **options):
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


@pytest.mark.parametrize("orientation", [1, 3, 6])
def test_the_colours_of_a_tiff_with_transparency_stay(orientation):
    """libvips#1416, image-rs#1743: they come darker, or black."""
    clear = RGB.copy()
    clear.putalpha(Image.new("L", RGB.size, 0))
    exif = Image.Exif()
    exif[0x0112] = orientation
    plain = decode_image(saved(RGB, exif=exif), "a.tif")
    np.testing.assert_array_equal(decode_image(saved(clear, exif=exif), "a.tif"), plain)
    assert plain.mean() > 20


def test_a_preview_is_not_taken_for_the_photograph():
    """OpenImageIO#4626: the first page of a DNG is its thumbnail."""
    data = bytearray(saved(RGB))
    (place,) = struct.unpack_from("<I", data, 4)
    (count,) = struct.unpack_from("<H", data, place)
    entries = bytes(data[place + 2 : place + 2 + 12 * count])
    for tag, value in ((254, 1), (50706, 0x00000401)):
        extra = struct.pack("<HHII", tag, 4, 1, value)
        merged = sorted([extra, *(entries[at : at + 12] for at in range(0, len(entries), 12))])
        changed = data[:4] + struct.pack("<I", len(data)) + data[8:]
        changed += struct.pack("<H", len(merged)) + b"".join(merged) + bytes(4)
        with pytest.raises(SourceError, match=r"a\.dng: a raw photograph, or one whose first page is a preview"):
            decode_image(bytes(changed), "a.dng")


@pytest.mark.parametrize(
    ("data", "problem"),
    [
        (b"II+\0\x08\0\0\0" + bytes(60), "a BigTIFF; save it as TIFF"),
        (saved(RGB)[:60], "truncated"),
    ],
)
def test_a_tiff_that_cannot_be_read_is_told_apart(data, problem):
    with pytest.raises(SourceError, match=problem):
        decode_image(data, "a.tif")


@pytest.mark.parametrize("mode", ["I;16", "L", "LA", "RGB", "RGBA", "CMYK"])
def test_a_tiff_of_any_kind_comes_out_in_three_8_bit_channels(mode):
    image = Image.fromarray(PICTURE[..., 0].astype(np.uint16) * 257) if mode == "I;16" else RGB.convert(mode)
    frame = decode_frame(saved(image), "a.tif")
    assert (frame.image.shape, frame.image.dtype) == ((48, 64, 3), np.uint8)
    assert not frame.is_first_of_several


def test_linked_folders_are_looked_into_once(tmp_path):
    """datumaro#1255: photographs in a linked folder are passed over; waypaper#132: links in a circle."""
    (tmp_path / "archive").mkdir()
    (tmp_path / "set").mkdir()
    write_picture(tmp_path / "archive" / "a.jpg", 20, 30)
    write_picture(tmp_path / "set" / "b.jpg", 20, 30)
    (tmp_path / "set" / "linked").symlink_to(tmp_path / "archive")
    (tmp_path / "set" / "circle").symlink_to(tmp_path / "set")
    assert [file.name for file in list_images(tmp_path / "set", recursive=True)] == ["b.jpg", "a.jpg"]
    assert describe_left_out(tmp_path / "set", recursive=True) == ""
    assert len(open_source(f"{tmp_path}/set/**/*.jpg").files) == 2


def test_what_macos_writes_next_to_photographs_is_none(tmp_path):
    """MONAI#8305: ._a.jpg."""
    write_picture(tmp_path / "a.jpg", 20, 30)
    (tmp_path / "._a.jpg").write_bytes(b"\0\x05\x16\x07")
    assert [file.name for file in list_images(tmp_path)] == ["a.jpg"]


@pytest.mark.parametrize("kind", ["png", "jpg", "webp", "bmp", "gif"])
@pytest.mark.parametrize("behind", [b"", b"notes of a phone", bytes(40)])
def test_images_of_every_kind_come_one_after_the_other_from_standard_input(kind, behind):
    """fluent-ffmpeg#1144: of PNGs in a pipe the first was read only."""
    one, png, jpeg = (cv2.imencode(suffix, PICTURE)[1].tobytes() for suffix in (f".{kind}", ".png", ".jpg"))
    found = 3 if kind in ("png", "jpg", "webp") or not behind else 2  # two letters behind notes are no BMP
    for first in (png, jpeg):
        frames = list(read_stream(io.BytesIO(first + behind + one + behind + png)))
        assert [frame.index for frame in frames] == list(range(found))
        assert {frame.image.shape for frame in frames} == {(48, 64, 3)}
