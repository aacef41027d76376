"""`acne-run --engine ray`: the options of an archive, and its progress."""

from __future__ import annotations

import sys
from time import monotonic

import click

from acne_runtime.archive.part_worker import ArchiveSettings
from acne_runtime.archive.ray_engine import run_archive, start_ray
from acne_runtime.cli.native_logs import silence_native_logs
from acne_runtime.cli.pipeline import RunOptions

_PAUSE_S = 5.0
"""Between two lines of progress where standard error is not a terminal."""


class ArchiveProgress:
    """Shows how far an archive is, on one line of a terminal, or now and then on lines of their own."""

    def __init__(self) -> None:
        self._started = self._shown = monotonic()
        self._before: int | None = None

    def __call__(self, done: int, total: int, failed: int) -> None:
        """Shows numbers of photographs; the first call says what an earlier run had done."""
        if self._before is None:
            self._before = done
        now = monotonic()
        terminal = sys.stderr.isatty()
        if not terminal and now - self._shown < _PAUSE_S and done < total:
            return
        self._shown = now
        rate = (done - self._before) / (now - self._started) if now > self._started else 0.0
        left = f", {(total - done) / rate / 60:.0f} min left" if rate > 0 and done < total else ""
        line = f"{done:,} of {total:,} photographs, {failed:,} failed, {rate:.1f}/s{left}"
        click.echo(f"\r\x1b[K{line}" if terminal else line, err=True, nl=not terminal or done >= total)


def _start_quietly(workers: int, cluster: str | None) -> None:
    with silence_native_logs():
        start_ray(workers, cluster)


def run_ray(options: RunOptions) -> None:
    """Runs an archive.

    Raises:
        click.ClickException: Photographs could not be read.
        AcneEdgeError: As `run_archive` does.
    """
    assert options.source is not None and options.out is not None
    settings = ArchiveSettings(
        models=options.models,
        out=options.out.rstrip("/"),
        format="parquet" if options.out_format == "parquet" else "jsonl",
        backend=options.backend,
        score_threshold=options.score_threshold,
        severity=options.severity,
        quality=options.quality,
        max_pixels=round(options.max_megapixels * 1e6),
    )
    total, failed = run_archive(
        options.source,
        settings,
        recursive=options.recursive,
        part_size=options.part_size,
        workers=options.num_workers,
        cluster=options.cluster,
        resume=options.resume,
        progress=None if options.quiet else ArchiveProgress(),
        start=_start_quietly,
    )
    if failed:
        raise click.ClickException(
            f"{failed:,} of {total:,} image(s) could not be read or used; {options.out}/failures says why"
        )
