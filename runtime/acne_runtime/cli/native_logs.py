"""Silences the log output of native libraries. For the commands only, never for embedders."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def silence_native_logs() -> Iterator[None]:
    """Discards what C and C++ code writes to standard error; Python exceptions are raised as usual.

    TensorFlow and LiteRT write there before any of their log settings apply.
    """
    sys.stderr.flush()
    saved = os.dup(2)
    null = os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(null, 2)
        yield
    finally:
        os.dup2(saved, 2)
        os.close(saved)
        os.close(null)
