"""The commands that add photographs."""

from __future__ import annotations

import itertools
from datetime import datetime
from pathlib import Path

import click
import numpy as np
from numpy.typing import NDArray

from acne_monitor.cli.options import BY, STORE, SUBJECT
from acne_monitor.detector import Detector
from acne_monitor.following import Added, add_photograph, find_subject, score_again
from acne_monitor.history import History
from acne_monitor.store.photographs import Taken, from_datetime, parse_time, taken_at
from acne_monitor.store.store import Store
from acne_runtime.cli.click_command import Command
from acne_runtime.cli.native_logs import silence_native_logs
from acne_runtime.load import DEFAULT_MODEL
from acne_runtime.severity import NO_DIAGNOSIS
from acne_runtime.sources.image_files import read_image
from acne_runtime.sources.open_source import open_camera
from acne_runtime.sources.video_file import SUFFIXES, Video

_WARM_UP = 5
"""Frames of a camera that are not used: its exposure is settling."""


@click.command(cls=Command)
@STORE
@SUBJECT
@click.argument("photographs", nargs=-1, type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--camera", type=click.IntRange(min=0), metavar="N", help="Take a burst with a camera; 0 is the first.")
@click.option("--frames", type=click.IntRange(1, 60), default=10, show_default=True, help="Frames of a burst.")
@click.option(
    "--view",
    default="front",
    show_default=True,
    help="Such as left, right, front, forehead, chin; views are compared with themselves.",
)
@click.option("--at", metavar="TIME", help="When it was taken.  [default: its EXIF, or the file's date]")
@click.option("--model", "model_name", default=DEFAULT_MODEL, show_default=True, metavar="NAME|FILE")
@click.option("--override", is_flag=True, help="Take a photograph that is too blurred, bright or far away.")
@BY
def add(
    folder: Path,
    code: str,
    photographs: tuple[Path, ...],
    camera: int | None,
    frames: int,
    view: str,
    at: str | None,
    model_name: str,
    override: bool,
    by: str | None,
) -> None:
    """Adds a photograph of SUBJECT to the visit of its day.

    Several PHOTOGRAPHS, a video or --camera are a burst of the same view, which counts more steadily than one.
    """
    if bool(photographs) == (camera is not None):
        raise click.UsageError("give a photograph, several as a burst, a video, or --camera")
    if not view.strip():
        raise click.UsageError("--view: empty")
    with Store(folder) as store:
        find_subject(store, code)
        given = None if at is None else parse_time(at)
        with silence_native_logs():
            detector = Detector(model_name)
        images, taken = _read(photographs, camera, frames)
        added = add_photograph(
            store, code, view, images, given or taken, detector, (by or "this user") if override else None
        )
        history = History(store, code, detector.model.manifest.digest)
        _print(history, added, view)


def _read(photographs: tuple[Path, ...], camera: int | None, frames: int) -> tuple[list[NDArray[np.uint8]], Taken]:
    now = from_datetime(datetime.now().astimezone(), "now")
    if camera is not None:
        source = open_camera(camera)
        return [frame.image for frame in itertools.islice(source.frames, _WARM_UP, _WARM_UP + frames)], now
    if len(photographs) == 1 and photographs[0].suffix.lower() in SUFFIXES:
        video = Video(photographs[0])
        step = max(1, video.count // frames)
        images = [frame.image for frame in itertools.islice(video, 0, step * frames, step)]
        return images, taken_at(photographs[0])
    images = [read_image(file) for file in photographs]
    sizes = {image.shape[:2] for image in images}
    if len(sizes) > 1:
        raise click.UsageError("the photographs of a burst have one size; add others under a --view of their own")
    return images, taken_at(photographs[0])


def _print(history: History, added: Added, view: str) -> None:
    visit = next(visit for visit in history.visits if visit.id == added.visit)
    photograph = visit.photographs[view]
    counts = ", ".join(f"{count} {group}" for group, count in photograph.counts().items())
    click.echo(f"{visit.name} {visit.date} {view}: {counts}")
    for hint in added.quality.hints:
        click.echo(f"quality: {hint}")
    if added.refused is not None:
        click.echo(f"not compared: {added.refused}")
    elif added.is_first:
        click.echo("the first photograph of this view: the baseline that later ones are compared with")
    click.echo(NO_DIAGNOSIS)


@click.command(cls=Command)
@STORE
@click.option("--model", "model_name", default=DEFAULT_MODEL, show_default=True, metavar="NAME|FILE")
def rescore(folder: Path, model_name: str) -> None:
    """Runs another model on all photographs: trends never mix models."""
    with Store(folder) as store:
        with silence_native_logs():
            detector = Detector(model_name)
        count = score_again(store, detector)
    click.echo(f"{count} photograph(s) scored by {detector.model.manifest.name}; earlier results are kept")
