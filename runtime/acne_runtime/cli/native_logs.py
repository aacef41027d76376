"""Keeps the log lines of native libraries off a person's terminal. For the commands only, never for embedders."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def silence_native_logs() -> Iterator[None]:
    """Sends what C and C++ code writes to standard error into nothing; Python exceptions come through as ever.

    TensorFlow and LiteRT announce themselves there before any of their log settings can apply.
    """
    sys.stderr.flush()
    kept = os.dup(2)
    nothing = os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(nothing, 2)
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(nothing)
