"""Prints one line per image, or at most one per second of video."""

from __future__ import annotations

from collections.abc import Sequence
from time import monotonic

import click

from acne_runtime.errors import printable
from acne_runtime.frame import Frame
from acne_runtime.result import Result
from acne_runtime.severity import NO_DIAGNOSIS


class ConsoleSummary:
    """Prints results for people."""

    def __init__(self, pause_s: float, to_stderr: bool):
        """Prepares the summary.

        Args:
            pause_s: Minimum seconds between two lines.
            to_stderr: Whether to print on standard error, as when standard output holds JSON lines.
        """
        self._pause_s, self._to_stderr = pause_s, to_stderr
        self._last = -pause_s
        self._frames = 0

    def write(self, frame: Frame, results: Sequence[Result]) -> None:
        """Prints one line per model, unless the pause since the last one is too short."""
        self._frames += 1
        if monotonic() - self._last < self._pause_s:
            return
        self._last = monotonic()
        name = printable(frame.source)
        place = f"{name} at {frame.time_s:.1f} s" if self._pause_s else name
        for result in results:
            timing = result.timing
            total = timing.preprocess + timing.inference + timing.postprocess
            model = f" ({result.model})" if len(results) > 1 else ""
            region = f"{result.region}, " if result.region is not None else ""
            click.echo(f"{region}{place}{model}: {describe(result)} ({total:.0f} ms)", err=self._to_stderr)
            if result.severity is not None:
                click.echo(f"{place}{model}: severity {result.severity}", err=self._to_stderr)
        for hint in results[0].quality.hints if results[0].quality is not None else ():
            click.echo(f"{place}: {hint}", err=self._to_stderr)

    def close(self) -> None:
        """Prints the disclaimer once."""
        if self._frames:
            click.echo(NO_DIAGNOSIS, err=self._to_stderr)


def describe(result: Result) -> str:
    """Returns a result as text, such as `3 papules, 1 nodules` or `comedones 0.91, papules 0.74`."""
    if result.labels is not None:
        return (
            ", ".join(f"{label.name} {label.score:.2f}" for label in result.labels if label.present)
            or "no type present"
        )
    counts = result.counts() if result.stable_counts is None else result.stable_counts
    return ", ".join(f"{count} {name}" for name, count in counts.items() if count) or "no lesion found"
