"""Shows the log messages of our own packages to the user of a command."""

from __future__ import annotations

import contextlib
import logging
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TextIO

import click

from acne_runtime.errors import printable


class _ClickHandler(logging.Handler):
    """Writes each message as one line."""

    def __init__(self, stream: TextIO):
        super().__init__()
        self._stream = stream

    def emit(self, record: logging.LogRecord) -> None:
        click.echo(printable(self.format(record)), file=self._stream)


@contextmanager
def log_to_stderr(package: str, level: int = logging.INFO) -> Iterator[None]:
    """Prints what a package logs on standard error, such as in `ctx.with_resource(log_to_stderr("acne_runtime"))`.

    Args:
        package: The name of the package, such as `acne_runtime`.
        level: The lowest level that is printed.
    """
    with contextlib.ExitStack() as stack:
        stream = sys.stderr
        # A descriptor of its own: `silence_native_logs` redirects that of standard error while a model loads.
        with contextlib.suppress(OSError, ValueError, AttributeError):
            descriptor = os.dup(sys.stderr.fileno())
            stream = stack.enter_context(os.fdopen(descriptor, "w", buffering=1, errors="backslashreplace"))
        handler = _ClickHandler(stream)
        logger = logging.getLogger(package)
        before = logger.level
        logger.addHandler(handler)
        logger.setLevel(level)
        try:
            yield
        finally:
            logger.removeHandler(handler)
            logger.setLevel(before)
