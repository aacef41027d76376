"""Progress bars on standard error, for terminals."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any

import click

from acne_runtime.frame import Frame
from acne_runtime.result import Result
from acne_runtime.severity import NO_DIAGNOSIS

_CLEAR_LINE = "\r\033[K"


class Progress:
    """Counts the frames of a folder or video."""

    def __init__(self, count: int):
        """Shows the bar.

        Args:
            count: Number of frames.
        """
        self._bar: Any = click.progressbar(length=count, file=sys.stderr)
        self._bar.__enter__()

    def failed(self, line: str) -> None:
        """Prints an error on a separate line and counts the frame."""
        click.echo(f"{_CLEAR_LINE}{line}", file=sys.stderr)
        self._bar.update(1)

    def write(self, frame: Frame, results: Sequence[Result]) -> None:
        """Counts one frame."""
        self._bar.update(1)

    def close(self) -> None:
        """Ends the bar and prints the disclaimer once."""
        self._bar.__exit__(None, None, None)
        click.echo(NO_DIAGNOSIS, file=sys.stderr)


class TileProgress:
    """Counts the tiles of each image: the callback of `TiledModel`, and a sink that ends each bar."""

    def __init__(self) -> None:
        self._bar: Any = None

    def __call__(self, done: int, total: int) -> None:
        """Counts one tile.

        Args:
            done: Number of tiles done, from 1.
            total: Number of tiles of this image.
        """
        if done == 1:
            self.close()  # the bar of another model
            self._bar = click.progressbar(length=total, label="tiles", file=sys.stderr)
            self._bar.__enter__()
        self._bar.update(1)

    def write(self, frame: Frame, results: Sequence[Result]) -> None:
        """Ends the bar."""
        self.close()

    def close(self) -> None:
        """Ends the bar, if there is one, also of an image that was not finished."""
        if self._bar is not None:
            self._bar.__exit__(None, None, None)
            self._bar = None
