"""The arithmetic that layers are built with."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import keras


@contextmanager
def dtype_policy_scope(precision: str) -> Iterator[None]:
    """Makes Keras build layers of this arithmetic: `float32`, `mixed_float16` or `mixed_bfloat16`."""
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(precision)
    try:
        yield
    finally:
        keras.config.set_dtype_policy(before)
