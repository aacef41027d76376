"""A generated picture that every copy of a model can be asked about."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from acne_runtime.manifest import InputSpec

_SEED = 20240607
_BLOCK = 16


def golden_input(spec: InputSpec) -> NDArray[np.uint8]:
    """Returns `[1, height, width, 3]` uint8: blocks of random colour under fine noise, always the same."""
    rng = np.random.default_rng(_SEED)
    rows, columns = -(-spec.height // _BLOCK), -(-spec.width // _BLOCK)
    blocks = rng.integers(32, 224, (rows, columns, 3), np.int64)
    picture = blocks.repeat(_BLOCK, axis=0).repeat(_BLOCK, axis=1)[: spec.height, : spec.width]
    return (picture + rng.integers(-16, 17, picture.shape))[None].astype(np.uint8)


def sha256(arrays: Mapping[str, NDArray[np.generic]]) -> str:
    """Returns the SHA-256 over the arrays' bytes, by name in alphabetical order."""
    digest = hashlib.sha256()
    for name in sorted(arrays):
        digest.update(name.encode())
        digest.update(np.ascontiguousarray(arrays[name]).tobytes())
    return digest.hexdigest()
