"""A generated picture that every copy of a model can be asked about."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from functools import cache

import numpy as np
from numpy.typing import NDArray

from acne_runtime.manifest import InputSpec

BOX_TOLERANCE, SCORE_TOLERANCE = 0.5, 1e-3
"""Pixels and score by which two ways to the same lesions may differ."""

_SEED = 20240607
_SKIN = (200, 152, 128)
_BLOTCHES = ((160, 40), (40, 20), (10, 8))
"""Size in pixels and strength in levels of the uneven colour, coarse to fine."""
_SPOTS, _RADIUS, _CONTRAST = 40, (4, 20), 60
_NOISE = 4


def golden_input(spec: InputSpec) -> NDArray[np.uint8]:
    """Returns the golden picture in a model's size, `[1, height, width, 3]` uint8 RGB."""
    return skin(spec.height, spec.width)


def golden_batch(spec: InputSpec) -> NDArray[np.uint8 | np.float32]:
    """Returns the golden picture as one call of a model takes it: in its dtype, as often as its batch asks."""
    return np.repeat(golden_input(spec), max(spec.batch, 1), axis=0).astype(spec.dtype)


@cache  # a third of a second at 640 px, and asked for at every station
def skin(height: int, width: int, seed: int = _SEED) -> NDArray[np.uint8]:
    """Returns `[1, height, width, 3]` uint8 RGB, read-only: uneven skin colour with spots under fine noise.

    It is the same for a seed, and like the photographs in colour and contrast, since an int8 model answers rightly only
    within the ranges that it was calibrated for. Integers throughout, so that every machine makes the same bytes.
    """
    rng = np.random.default_rng(seed)
    picture = np.full((height, width, 3), _SKIN, np.int64)
    for side, strength in _BLOTCHES:
        rows, columns = -(-height // side) + 1, -(-width // side) + 1
        light = rng.integers(-strength, strength + 1, (rows, columns, 1))
        tint = rng.integers(-strength // 4, strength // 4 + 1, (rows, columns, 3))
        blocks = (light + tint).repeat(side, axis=0).repeat(side, axis=1)
        picture += _box_mean(_box_mean(blocks, side, 0), side, 1)[:height, :width]
    y, x = np.mgrid[:height, :width]
    for _ in range(_SPOTS):
        centre_x, centre_y, radius = rng.integers(width), rng.integers(height), rng.integers(*_RADIUS)
        inside = (x - centre_x) ** 2 + (y - centre_y) ** 2 < radius**2
        picture[inside] += rng.integers(-_CONTRAST, _CONTRAST // 2) + rng.integers(-_CONTRAST // 4, _CONTRAST // 4, 3)
    picture += rng.integers(-_NOISE, _NOISE + 1, picture.shape)
    finished = picture.clip(0, 255)[None].astype(np.uint8)
    finished.setflags(write=False)
    return finished


def _box_mean(values: NDArray[np.int64], width: int, axis: int) -> NDArray[np.int64]:
    """Returns the running mean over `width` values, `width` - 1 fewer along the axis."""
    total = np.insert(np.cumsum(values, axis=axis), 0, 0, axis=axis)
    length = total.shape[axis]
    upper, lower = np.arange(width, length), np.arange(length - width)
    return (total.take(upper, axis) - total.take(lower, axis)) // width


def sha256(arrays: Mapping[str, NDArray[np.generic]]) -> str:
    """Returns the SHA-256 over the arrays' bytes, by name in alphabetical order."""
    digest = hashlib.sha256()
    for name in sorted(arrays):
        digest.update(name.encode())
        digest.update(np.ascontiguousarray(arrays[name]).tobytes())
    return digest.hexdigest()
