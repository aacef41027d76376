"""Decodes HEIC, HEIF and AVIF images, by pi-heif and Pillow (the extra `heif`)."""

from __future__ import annotations

import io
import struct
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from acne_runtime.errors import one_line
from acne_runtime.sources.color_profile import display_p3_to_srgb, to_srgb

_HEIC_BRANDS = frozenset({b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1"})
_AVIF_BRANDS = frozenset({b"avif", b"avis"})
"""Major brands of images (ISO/IEC 23008-12, B.4 and AV1 Image File Format, 6)."""
_SEQUENCES = frozenset({b"hevc", b"hevx", b"msf1", b"avis"})
_HEADER_BYTES = 1 << 20
"""Of the description of an image, before its pixels."""
_DISPLAY_P3 = b"\0\x0c"
"""Colour primaries of Display P3 (ITU-T H.273, table 2)."""


def is_heif(start: bytes | bytearray) -> bool:
    """Returns whether a file starts like a HEIC, HEIF or AVIF image."""
    return start[4:8] == b"ftyp" and bytes(start[8:12]) in _HEIC_BRANDS | _AVIF_BRANDS


def is_sequence(start: bytes) -> bool:
    """Returns whether such an image has further frames; a still image may come with a video, which does not count."""
    return start[8:12] in _SEQUENCES


def read_size(heif: bytes) -> tuple[int, int]:
    """Returns width and height in pixels, before the image is cropped and its orientation applied.

    Raises:
        ValueError: There is no size.
    """
    # Of the image, its tiles, thumbnails and depth maps (ISO/IEC 23008-12, 6.5.3).
    sizes = [struct.unpack(">4xII", box[:12]) for box in _boxes(heif, b"ispe") if len(box) >= 12]
    if not sizes:
        raise ValueError("the header is truncated")
    return max(sizes, key=lambda size: size[0] * size[1])


def decode(heif: bytes) -> NDArray[np.uint8]:
    """Decodes the main image with its orientation applied and in sRGB: `[height, width, 3]` uint8 BGR.

    Raises:
        ValueError: It is truncated or corrupt, or the extra is not installed; the message says which.
    """
    try:
        import pi_heif
        from PIL import Image, ImageOps
    except ImportError as error:
        raise ValueError("HEIC or AVIF, which needs more packages; run: pip install 'acne-edge[heif]'") from error
    try:
        if heif[8:12] in _AVIF_BRANDS:
            image = ImageOps.exif_transpose(Image.open(io.BytesIO(heif), formats=["AVIF"]))
        else:
            _check_item_names(heif)
            image = pi_heif.open_heif(io.BytesIO(heif)).to_pillow()  # upright already
        pixels = np.ascontiguousarray(np.asarray(image.convert("RGB"))[..., ::-1])
    except Exception as error:  # Pillow and its plugins have no common base class for what damage leads to
        raise ValueError(f"a corrupt HEIC or AVIF image ({one_line(error)})") from error
    profile = image.info.get("icc_profile")
    if profile:
        return to_srgb(pixels, profile)
    by_number = next((box for box in _boxes(heif, b"colr") if box.startswith(b"nclx")), b"")
    return display_p3_to_srgb(pixels) if by_number[4:6] == _DISPLAY_P3 else pixels


def read_exif(heif: bytes) -> bytes:
    """Returns the EXIF block, empty if there is none, or if the extra is not installed.

    Raises:
        ValueError: The image is corrupt.
    """
    try:
        import pi_heif
    except ImportError:
        return b""
    try:
        _check_item_names(heif)
        return pi_heif.open_heif(io.BytesIO(heif)).info.get("exif") or b""
    except Exception as error:  # as in `decode`
        raise ValueError(f"a corrupt HEIC or AVIF image ({one_line(error)})") from error


def _boxes(heif: bytes, name: bytes) -> Iterator[bytes]:
    """Yields the content of each box of a name in the description of the image."""
    position = heif.find(name, 4, _HEADER_BYTES)
    while position >= 0:
        yield heif[position + 4 : position - 4 + int.from_bytes(heif[position - 4 : position], "big")]
        position = heif.find(name, position + 4, _HEADER_BYTES)


def _check_item_names(heif: bytes) -> None:
    """Raises `UnicodeDecodeError` for names that are no text, at which pi-heif 1.4 would crash."""
    for box in _boxes(heif, b"infe"):
        box[8:].decode()  # behind version, flags, number and protection (ISO/IEC 14496-12, 8.11.6)
