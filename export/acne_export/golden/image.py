"""The golden image: a generated image that every copy of a model can run, and what a model makes of it."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from acne_runtime.manifest import InputSpec
from acne_runtime.model import Model
from acne_runtime.preprocess import preprocess
from acne_runtime.result import Label, Lesion

BOX_TOLERANCE, SCORE_TOLERANCE = 0.5, 1e-3
"""Pixels and score by which two implementations may differ on the same lesion."""

_SEED = 20240607
_SKIN = (200, 152, 128)
_BLOTCHES = ((160, 40), (40, 20), (10, 8))
"""Size in pixels and amplitude in levels of the uneven colour, coarse to fine."""
_SPOTS, _RADIUS, _CONTRAST = 40, (4, 20), 60
_NOISE = 4


def golden_input(spec: InputSpec) -> NDArray[np.uint8]:
    """Returns the golden image in a model's size, `[1, height, width, 3]` uint8 RGB."""
    return synthetic_skin(spec.height, spec.width)


def golden_batch(spec: InputSpec) -> NDArray[np.uint8 | np.float32]:
    """Returns the golden image as a model's input: in its dtype and layout, repeated to its batch size."""
    batch = np.repeat(golden_input(spec), max(spec.batch, 1), axis=0).astype(spec.dtype)
    return np.ascontiguousarray(batch.transpose(0, 3, 1, 2)) if spec.layout == "NCHW" else batch


@cache  # a third of a second at 640 px, and needed at every stage
def synthetic_skin(height: int, width: int, seed: int = _SEED) -> NDArray[np.uint8]:
    """Returns `[1, height, width, 3]` uint8 RGB, read-only: uneven skin colour with spots under fine noise.

    Deterministic for a seed, and like a photograph in colour and contrast, since an int8 model is accurate only within
    the ranges that it was calibrated for. Integers throughout, so that every machine makes the same bytes.
    """
    rng = np.random.default_rng(seed)
    image = np.full((height, width, 3), _SKIN, np.int64)
    for side, strength in _BLOTCHES:
        rows, columns = -(-height // side) + 1, -(-width // side) + 1
        light = rng.integers(-strength, strength + 1, (rows, columns, 1))
        tint = rng.integers(-strength // 4, strength // 4 + 1, (rows, columns, 3))
        blocks = (light + tint).repeat(side, axis=0).repeat(side, axis=1)
        image += _box_mean(_box_mean(blocks, side, 0), side, 1)[:height, :width]
    y, x = np.mgrid[:height, :width]
    for _ in range(_SPOTS):
        centre_x, centre_y, radius = rng.integers(width), rng.integers(height), rng.integers(*_RADIUS)
        inside = (x - centre_x) ** 2 + (y - centre_y) ** 2 < radius**2
        image[inside] += rng.integers(-_CONTRAST, _CONTRAST // 2) + rng.integers(-_CONTRAST // 4, _CONTRAST // 4, 3)
    image += rng.integers(-_NOISE, _NOISE + 1, image.shape)
    result = image.clip(0, 255)[None].astype(np.uint8)
    result.setflags(write=False)
    return result


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


def golden_results(model: Model, outputs: Mapping[str, NDArray[np.float32]]) -> list[dict[str, Any]]:
    """Returns the lesions or labels that a model finds in the golden image, as its manifest holds them.

    Args:
        model: The model.
        outputs: What its backend returns for `golden_batch`; of a batch the first image counts.
    """
    image = np.ascontiguousarray(golden_input(model.manifest.input)[0, ..., ::-1])
    _, letterbox = preprocess(image, model.manifest.input)
    results = model.postprocess({name: output[:1] for name, output in outputs.items()}, letterbox)
    return to_json_values(*results, model.manifest.classes)


def to_json_values(
    lesions: Sequence[Lesion] | None, labels: Sequence[Label] | None, classes: Sequence[str]
) -> list[dict[str, Any]]:
    """Returns what `Model.postprocess` of a model with these classes returned, as JSON values."""
    return [lesion.to_dict(classes) for lesion in lesions or ()] + [label.to_dict() for label in labels or ()]
