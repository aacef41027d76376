import builtins
from pathlib import Path

import numpy as np
import pytest

from acne_runtime.errors import SourceError
from acne_runtime.sources import heif
from acne_runtime.sources.image_files import decode_frame, read_frame

pytest.importorskip("pi_heif", reason="the extra `heif` is not installed")
FILES = Path(__file__).parent / "heif_files"
UPRIGHT = {
    1: lambda image: image,
    2: lambda image: image[:, ::-1],
    3: lambda image: image[::-1, ::-1],
    4: lambda image: image[::-1],
    5: lambda image: image.transpose(1, 0, 2),
    6: lambda image: np.rot90(image, -1),
    7: lambda image: image[::-1, ::-1].transpose(1, 0, 2),
    8: np.rot90,
}


@pytest.mark.parametrize("kind", ["heic", "avif"])
@pytest.mark.parametrize("orientation", UPRIGHT)
def test_a_photograph_is_upright(kind, orientation):
    plain = read_frame(FILES / f"1.{kind}")
    assert plain.image.shape == (48, 80, 3)
    for corner, colour in (((4, 4), (0, 0, 255)), ((4, 75), (255, 0, 0)), ((43, 4), (0, 255, 0))):  # BGR
        assert np.abs(plain.image[corner].astype(int) - colour).max() < 30
    turned = read_frame(FILES / f"{orientation}.{kind}")
    assert not turned.is_first_of_several
    np.testing.assert_array_equal(turned.image, UPRIGHT[orientation](plain.image))


@pytest.mark.parametrize("kind", ["heic", "avif"])
def test_display_p3_becomes_srgb(kind):
    plain, wide = (read_frame(FILES / f"{name}.{kind}").image for name in ("1", "p3"))
    blue, green, red = (wide[24, 40].astype(int) - plain[24, 40]).tolist()  # skin: the same numbers mean a redder one
    assert red > 3 > blue
    assert green < 3


@pytest.mark.parametrize("kind", ["heic", "avif"])
def test_the_size_is_known_before_it_is_decoded(kind):
    data = (FILES / f"6.{kind}").read_bytes()
    width, height = heif.read_size(data)
    assert (width, height) == (80, 64 if kind == "heic" else 48)  # HEIC: before it is cropped
    with pytest.raises(SourceError, match=f"80 x {height} pixels exceed the limit"):
        decode_frame(data, "a", max_pixels=80 * height - 1)


@pytest.mark.parametrize("kind", ["heic", "avif"])
def test_damage_is_said_in_one_line(kind):
    data = (FILES / f"1.{kind}").read_bytes()
    rng = np.random.default_rng(0)
    for end in range(12, len(data), 7):
        with pytest.raises(SourceError, match=r"^a\.heic: [^\n]+$"):
            decode_frame(data[:end], "a.heic")
    for _ in range(300):
        changed = bytearray(data)
        changed[rng.integers(12, len(data))] = rng.integers(0, 256)
        try:
            decode_frame(bytes(changed), "a.heic", max_pixels=10_000)
        except SourceError as error:
            assert "\n" not in str(error)


def test_without_the_extra_the_message_names_it(monkeypatch):
    usual = builtins.__import__

    def without(name, *args):
        if name == "pi_heif":
            raise ImportError
        return usual(name, *args)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(SourceError, match=r"1\.heic: HEIC or AVIF, .*; run: pip install 'acne-edge\[heif\]'"):
        read_frame(FILES / "1.heic")
