import io
import struct
import zlib

import cv2
import numpy as np
import pytest
from PIL import Image, ImageCms

from acne_runtime.sources.color_profile import display_p3_to_srgb, to_srgb
from acne_runtime.sources.image_files import decode_frame

SRGB = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB"))
DISPLAY_P3 = [[0.51512, 0.29198, 0.15710], [0.24120, 0.69225, 0.06657], [-0.00105, 0.04189, 0.78407]]
ADOBE_RGB = [[0.60974, 0.20528, 0.14919], [0.31111, 0.62567, 0.06322], [0.01947, 0.06087, 0.74457]]
RNG = np.random.default_rng(1)
SKIN = np.clip(RNG.normal((130, 150, 200), 25, (60, 80, 3)), 0, 255).astype(np.uint8)  # BGR


def profile(primaries, curve=b""):
    """The profile of sRGB with other primaries and, if given, another curve."""
    data = bytearray(SRGB.tobytes())
    (count,) = struct.unpack_from(">I", data, 128)
    entries = {bytes(data[at : at + 4]): at for at in range(132, 132 + 12 * count, 12)}
    for name, column in zip((b"rXYZ", b"gXYZ", b"bXYZ"), np.array(primaries).T, strict=True):
        (offset,) = struct.unpack_from(">I", data, entries[name] + 4)
        struct.pack_into(">3i", data, offset + 8, *np.rint(column * 65536).astype(int).tolist())
    for name in (b"rTRC", b"gTRC", b"bTRC") if curve else ():
        struct.pack_into(">II", data, entries[name] + 4, len(data), len(curve))
    data += curve
    struct.pack_into(">I", data, 0, len(data))
    return bytes(data)


def parametric(kind, *values):
    return b"para" + bytes(4) + struct.pack(f">HH{len(values)}i", kind, 0, *(round(v * 65536) for v in values))


POINTS = np.rint(np.linspace(0, 1, 256) ** 1.8 * 65535).astype(">u2")
TABLE = b"curv" + bytes(4) + struct.pack(">I", 256) + POINTS.tobytes()
PROFILES = {
    "Display P3": profile(DISPLAY_P3),
    "Adobe RGB, one exponent": profile(ADOBE_RGB, b"curv" + bytes(4) + struct.pack(">IHH", 1, 563, 0)),
    "a table": profile(ADOBE_RGB, TABLE),
    "linear": profile(ADOBE_RGB, b"curv" + bytes(8)),
    "parametric 0": profile(DISPLAY_P3, parametric(0, 2.2)),
    "parametric 1": profile(DISPLAY_P3, parametric(1, 2.4, 1 / 1.055, 0.055 / 1.055)),
    "parametric 2": profile(DISPLAY_P3, parametric(2, 2.4, 0.94, 0.05, 0.01)),
    "parametric 4": profile(DISPLAY_P3, parametric(4, 2.4, 0.94, 0.05, 0.08, 0.04, 0.01, 0.002)),
}


def by_little_cms(image, data):
    rgb = Image.fromarray(np.ascontiguousarray(image[..., ::-1]))
    return np.asarray(
        ImageCms.profileToProfile(rgb, ImageCms.ImageCmsProfile(io.BytesIO(data)), SRGB, renderingIntent=1)
    )[..., ::-1]


@pytest.mark.parametrize("name", PROFILES)
def test_colours_are_those_of_little_cms(name):
    for image in (SKIN, RNG.integers(0, 256, (60, 80, 3)).astype(np.uint8)):
        expected = by_little_cms(image, PROFILES[name])
        assert np.abs(expected.astype(int) - image).mean() > 2  # it matters
        got = to_srgb(image, PROFILES[name])
        assert got.dtype == np.uint8
        assert np.abs(got.astype(int) - expected).max() <= 2


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"no profile",
        SRGB.tobytes(),
        SRGB.tobytes()[:300],
        ImageCms.ImageCmsProfile(ImageCms.createProfile("LAB")).tobytes(),
    ],
    ids=["none", "text", "sRGB", "cut off", "Lab"],
)
def test_an_image_in_srgb_or_without_a_profile_that_is_understood_stays_as_it_is(data):
    assert to_srgb(SKIN, data) is SKIN


def test_any_damage_to_a_profile_leaves_an_image():
    for _ in range(300):
        data = bytearray(PROFILES["parametric 4"])
        for at in RNG.integers(0, len(data), 4):
            data[at] = RNG.integers(0, 256)
        assert to_srgb(SKIN, bytes(data)).shape == SKIN.shape


def test_display_p3_by_number_is_display_p3_by_profile():
    assert np.abs(display_p3_to_srgb(SKIN).astype(int) - to_srgb(SKIN, PROFILES["Display P3"])).max() <= 1


@pytest.mark.parametrize("kind", ["jpeg", "png", "webp", "tiff"])
def test_a_photograph_of_every_format_is_converted_by_the_profile_in_it(kind):
    def written(**options):
        file = io.BytesIO()
        lossless = {"webp": {"lossless": True}}.get(kind, {})
        Image.fromarray(np.ascontiguousarray(SKIN[..., ::-1])).save(file, kind, **lossless, **options)
        return decode_frame(file.getvalue(), "a").image

    plain = written()
    np.testing.assert_array_equal(written(icc_profile=SRGB.tobytes()), plain)
    wide = written(icc_profile=PROFILES["Display P3"])
    np.testing.assert_array_equal(wide, to_srgb(plain, PROFILES["Display P3"]))
    assert not np.array_equal(wide, plain)


def test_a_png_that_states_display_p3_by_number_is_converted():
    data = cv2.imencode(".png", SKIN)[1].tobytes()
    content = b"cICP" + bytes((12, 13, 0, 1))
    chunk = struct.pack(">I", 4) + content + struct.pack(">I", zlib.crc32(content))
    image = decode_frame(data[:33] + chunk + data[33:], "a").image
    np.testing.assert_array_equal(image, display_p3_to_srgb(SKIN))
