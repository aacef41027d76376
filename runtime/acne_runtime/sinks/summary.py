"""One readable line a photograph, or at most one a second of video."""

from __future__ import annotations

from time import monotonic

import click

from acne_runtime.result import NO_DIAGNOSIS, Result
from acne_runtime.sources.frame import Frame


class Summary:
    """Prints what was found, for people."""

    def __init__(self, pause_s: float, to_stderr: bool):
        """Sets the pace.

        Args:
            pause_s: Least seconds between two lines.
            to_stderr: Whether standard output is taken by JSON lines.
        """
        self._pause_s, self._to_stderr = pause_s, to_stderr
        self._last = -pause_s
        self._frames = 0

    def write(self, frame: Frame, result: Result) -> None:
        """Prints one line, unless the last one is too fresh."""
        self._frames += 1
        if monotonic() - self._last < self._pause_s:
            return
        self._last = monotonic()
        timing = result.timing
        spent = timing.preprocess + timing.inference + timing.postprocess
        where = f"{result.source} at {result.time_s:.1f} s" if self._pause_s else result.source
        click.echo(f"{where}: {describe(result)} ({spent:.0f} ms)", err=self._to_stderr)

    def close(self) -> None:
        """Says once what this is not."""
        if self._frames:
            click.echo(NO_DIAGNOSIS, err=self._to_stderr)


def describe(result: Result) -> str:
    """Returns what was found in words, such as `3 papules, 1 nodules` or `comedones 0.91, papules 0.74`."""
    if result.labels is not None:
        return ", ".join(f"{one.name} {one.score:.2f}" for one in result.labels if one.present) or "no type present"
    return ", ".join(f"{count} {name}" for name, count in result.counts().items() if count) or "no lesion found"
