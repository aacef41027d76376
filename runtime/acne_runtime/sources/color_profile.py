"""Converts images of a wider colour space, such as the Display P3 of phones, to sRGB, which the models were trained on.

For profiles of three primaries and a curve each, which cameras and phones write. Others, such as those of printers,
leave an image as it is.
"""

from __future__ import annotations

import struct

import cv2
import numpy as np
from numpy.typing import NDArray

_HEADER_BYTES = 128
_SRGB = np.array([[0.43607, 0.38515, 0.14307], [0.22249, 0.71687, 0.06061], [0.01392, 0.09708, 0.71410]])
"""Columns: the primaries of sRGB in CIE XYZ under D50, as its ICC profiles hold them (IEC 61966-2-1, adapted)."""
_DISPLAY_P3 = np.array([[0.51512, 0.29198, 0.15710], [0.24120, 0.69225, 0.06657], [-0.00105, 0.04189, 0.78407]])
"""Those of Display P3, whose curve is that of sRGB (SMPTE EG 432-1, adapted)."""
_CLOSE_MATRIX, _CLOSE_CURVE = 0.01, 0.006
"""A profile within these of sRGB is sRGB: rounded by its writer; 1.5 of 255 grey levels."""
_MAX = 65535
"""Of linear light, in 16 bits."""
_PARAMETERS = {0: "g", 1: "gab", 2: "gabc", 3: "gabcd", 4: "gabcdef"}
"""Of each type of parametric curve (ICC.1:2022, table 68)."""


def to_srgb(image: NDArray[np.uint8], profile: bytes) -> NDArray[np.uint8]:
    """Converts an image to sRGB.

    Args:
        image: `[height, width, 3]` uint8 BGR.
        profile: An ICC profile, or empty.

    Returns:
        An image of the same shape; `image` itself, if it is sRGB already or the profile is of another kind.
    """
    if not profile:
        return image
    try:
        with np.errstate(all="ignore"):  # of damaged ones
            curves, primaries = _read_profile(profile)
        if not (np.isfinite(curves).all() and np.isfinite(primaries).all()):
            return image
        curves = np.clip(curves, 0, 1)
    except (struct.error, KeyError, ValueError, OverflowError, ZeroDivisionError):
        return image  # damaged, or not of three primaries
    return _convert(image, curves, primaries)


def display_p3_to_srgb(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Converts an image, `[height, width, 3]` uint8 BGR, that states Display P3 by number and brings no profile."""
    x = np.linspace(0, 1, 256)
    curve = np.where(x <= 0.04045, x / 12.92, ((x + 0.055) / 1.055) ** 2.4)
    return _convert(image, np.stack([curve] * 3), _DISPLAY_P3)


def _convert(
    image: NDArray[np.uint8], curves: NDArray[np.float64], primaries: NDArray[np.float64]
) -> NDArray[np.uint8]:
    matrix = np.linalg.solve(_SRGB, primaries)
    grey = np.linspace(0, 1, 256)
    if np.abs(matrix - np.eye(3)).max() < _CLOSE_MATRIX and np.abs(_encode(curves) - grey).max() < _CLOSE_CURVE:
        return image
    to_linear = np.rint(curves.T[None, :, ::-1] * _MAX).astype(np.uint16)  # BGR
    linear = cv2.transform(cv2.LUT(image, to_linear), matrix[::-1, ::-1])  # what lies outside sRGB is cut off
    from_linear = np.rint(_encode(np.arange(_MAX + 1) / _MAX) * 255).astype(np.uint8)
    return cv2.LUT(linear, from_linear[None])  # type: ignore[return-value]


def _encode(linear: NDArray[np.float64]) -> NDArray[np.float64]:
    """The curve of sRGB (IEC 61966-2-1)."""
    linear = np.clip(linear, 0, 1)
    encoded: NDArray[np.float64] = np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055)
    return encoded


def _read_profile(profile: bytes) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Returns the curves, `[3, 256]` linear light of each byte, and the primaries, `[3, 3]` XYZ in columns; RGB."""
    if profile[16:24] != b"RGB XYZ ":
        raise ValueError("not a profile of three primaries")
    (count,) = struct.unpack_from(">I", profile, _HEADER_BYTES)
    tags = {}
    for entry in range(min(count, 100)):
        name, offset, size = struct.unpack_from(">4sII", profile, _HEADER_BYTES + 4 + 12 * entry)
        tags[name] = profile[offset : offset + size]
    curves = np.stack([_curve(tags[name]) for name in (b"rTRC", b"gTRC", b"bTRC")])
    xyz = [struct.unpack_from(">3i", tags[name], 8) for name in (b"rXYZ", b"gXYZ", b"bXYZ")]
    return curves, np.array(xyz).T / 65536


def _curve(tag: bytes) -> NDArray[np.float64]:
    """Returns linear light, 0 to 1, of the 256 values of a byte (ICC.1:2022, 10.6 and 10.18)."""
    x = np.linspace(0, 1, 256)
    if tag.startswith(b"curv"):
        (count,) = struct.unpack_from(">I", tag, 8)
        if count == 0:
            return x
        if count == 1:
            power: NDArray[np.float64] = np.power(x, struct.unpack_from(">H", tag, 12)[0] / 256)
            return power
        points = np.frombuffer(tag, ">u2", count, 12) / 65535
        return np.interp(x, np.linspace(0, 1, count), points)
    if not tag.startswith(b"para"):
        raise ValueError("not a curve")
    (kind,) = struct.unpack_from(">H", tag, 8)
    names = _PARAMETERS[kind]
    values = np.array(struct.unpack_from(f">{len(names)}i", tag, 12)) / 65536
    p = {"a": 1.0, "b": 0.0, "c": 0.0, "d": 0.0, "e": 0.0, "f": 0.0} | dict(zip(names, values.tolist(), strict=True))
    if kind in (1, 2):  # below -b/a: 0, or c
        start, slope, offset, lift = -p["b"] / p["a"], 0.0, p["c"], p["c"]
    else:
        start, slope, offset, lift = p["d"], p["c"], p["f"], p["e"]
    curved = np.maximum(p["a"] * x + p["b"], 0) ** p["g"] + lift
    linear: NDArray[np.float64] = np.where(x >= start, curved, slope * x + offset)
    return linear
