"""`acne-run`: photographs, videos, cameras and streams through a model."""

from __future__ import annotations

import math
import os
import signal
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from datetime import datetime
from pathlib import Path
from typing import TypeAlias

import click
import cv2

from acne_runtime import __version__
from acne_runtime.cli.click_command import Command
from acne_runtime.cli.native_logs import silence_native_logs
from acne_runtime.errors import SourceError, printable
from acne_runtime.load import DEFAULT_MODEL, load_model, model_files
from acne_runtime.model import Model
from acne_runtime.preprocess import reading_scale
from acne_runtime.severity import SeverityModel, supports_severity
from acne_runtime.sinks.annotated_media import ImageWriter, VideoWriter
from acne_runtime.sinks.base import Sink
from acne_runtime.sinks.coco_file import CocoFile
from acne_runtime.sinks.console import ConsoleSummary
from acne_runtime.sinks.csv_file import CsvFile
from acne_runtime.sinks.json_lines import JsonLines
from acne_runtime.sinks.overwrite_guard import OverwriteGuard
from acne_runtime.sinks.progress import Progress, TileProgress
from acne_runtime.sinks.window import Window, WindowClosedError
from acne_runtime.sources.open_source import Source, open_camera, open_source
from acne_runtime.tiling import OVERLAP, TiledModel

Runner: TypeAlias = Model | TiledModel | SeverityModel

_FILE = click.Path(dir_okay=False, path_type=Path)
_STANDARD_INPUT = Path("/dev/stdin")


@click.command(cls=Command, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.option(
    "--source", metavar="PATH|URL|-", help="A photograph, folder, pattern, video or stream; - is standard input."
)
@click.option("--camera", "camera_number", type=click.IntRange(min=0), metavar="N", help="A camera; 0 is the first.")
@click.option(
    "--model",
    "models",
    default=[DEFAULT_MODEL],
    show_default=True,
    multiple=True,
    metavar="NAME|FILE",
    help="A shipped model or a file; may be given twice.",
)
@click.option("--backend", type=click.Choice(["onnx", "litert"]), help="Default: what fits the model and is installed.")
@click.option("--device", default="cpu", show_default=True, help="cpu, auto, or what ONNX Runtime has: cuda, ...")
@click.option("--delegate", type=_FILE, help="LiteRT: a shared library that computes instead of XNNPACK.")
@click.option("--threads", type=click.IntRange(min=0), default=0, help="Of one inference; 0: the backend's choice.")
@click.option(
    "--score-threshold",
    type=click.FloatRange(0, 1),
    help="Least score of a lesion instead of the model's own; of a class, in models that have one a class.",
)
@click.option("--tile", is_flag=True, help="Look at large photographs tile by tile, at their own resolution.")
@click.option("--tile-overlap", type=click.IntRange(min=0), metavar="PX", help=f"Of neighbours.  [default: {OVERLAP}]")
@click.option("--severity", is_flag=True, help="Grade half a face by its papules and pustules (Hayashi 2008).")
@click.option(
    "--max-fps", type=click.FloatRange(min=0), default=0.0, help="Of a camera or stream; 0: as many as it can."
)
@click.option("--max-megapixels", type=click.FloatRange(min=0, min_open=True), default=256.0, show_default=True)
@click.option("--json", "json_file", metavar="FILE", help="Write one JSON line a frame; - is standard output.")
@click.option("--csv", "csv_file", type=_FILE, metavar="FILE", help="Write one line a lesion.")
@click.option("--coco", "coco_file", type=_FILE, metavar="FILE", help="Write COCO JSON.")
@click.option(
    "--save", type=click.Path(file_okay=False, path_type=Path), metavar="DIR", help="Write annotated pictures or video."
)
@click.option("--show", is_flag=True, help="Show a live window; q quits.")
@click.option("--quiet", is_flag=True, help="Print no summary and no progress.")
@click.version_option(__version__, prog_name="acne-run")
def main(
    source: str | None,
    camera_number: int | None,
    models: tuple[str, ...],
    backend: str | None,
    device: str,
    delegate: Path | None,
    threads: int,
    score_threshold: float | None,
    tile: bool,
    tile_overlap: int | None,
    severity: bool,
    max_fps: float,
    max_megapixels: float,
    json_file: str | None,
    csv_file: Path | None,
    coco_file: Path | None,
    save: Path | None,
    show: bool,
    quiet: bool,
) -> None:
    """Finds acne lesions on a photograph, in a folder of photographs, in a video, or live.

    For education and monitoring; this is no diagnosis.
    """
    if (source is None) == (camera_number is None):
        raise click.UsageError("name one of --source and --camera")
    _silence_opencv()
    _refuse_nonsense(json_file, csv_file, coco_file, tile, tile_overlap, severity, max_megapixels)
    failures: list[SourceError] = []
    loaded: list[Model] = []
    progress: Progress | None = None

    def report(error: SourceError) -> None:
        failures.append(error)
        (progress.failed if progress else _say)(printable(f"Error: {error}"))

    def scale(width: int, height: int) -> int:
        # Tiles are cut at the photograph's own size; else no model needs more pixels than its input has.
        return 1 if tile else min(reading_scale(width, height, model.manifest.input) for model in loaded)

    if source is None:
        assert camera_number is not None
        opened = open_camera(camera_number, max_fps, _say)
    else:
        max_pixels = round(max_megapixels * 1e6)
        opened = open_source(source, max_fps=max_fps, max_pixels=max_pixels, scale=scale, on_error=report, say=_say)
    if max_fps and opened.live is None:
        raise click.UsageError("--max-fps: goes with a camera or a stream")
    somebody_looks = not quiet and sys.stderr.isatty()
    tile_progress = TileProgress() if somebody_looks else None
    with silence_native_logs():
        loaded += [
            load_model(
                name,
                backend=backend,
                device=device,
                delegate=delegate,
                threads=threads,
                score_threshold=score_threshold,
            )
            for name in models
        ]
    if device == "auto" and not quiet:
        for model in loaded:
            for other, why in model.backend.passed_over.items():
                _say(f"{other} does not start: {why}")
            _say(f"{model.manifest.name} runs on {model.backend.device}")
    runners = [
        _runner(model, tile, OVERLAP if tile_overlap is None else tile_overlap, severity, tile_progress)
        for model in loaded
    ]
    if tile and not any(isinstance(runner, TiledModel) for runner in runners):
        raise click.UsageError("--tile: none of the models finds boxes")
    if severity and not any(isinstance(runner, SeverityModel) for runner in runners):
        raise click.UsageError("--severity: none of the models finds what the grade counts")

    tables = {"--json": json_file if json_file != "-" else None, "--csv": csv_file, "--coco": coco_file}
    outputs = {option: Path(file) for option, file in tables.items() if file}
    originals = OverwriteGuard(
        [*opened.files, *([_STANDARD_INPUT] if source == "-" else []), *([delegate] if delegate else [])]
        + [file for name in models for file in model_files(name, backend)]
    )
    _refuse_clashes(outputs, originals)
    sinks: list[Sink] = [tile_progress] if tile_progress else []
    sinks += _sinks(opened, json_file, csv_file, coco_file, save, show, originals)
    if somebody_looks and (outputs or save) and opened.count > 1 and not tile:
        progress = Progress(opened.count)
        sinks.append(progress)
    elif not quiet:
        sinks.append(ConsoleSummary(pause_s=1.0 if opened.is_video else 0.0, to_stderr=json_file == "-"))
    _look(opened, runners, sinks)
    if opened.live is not None and opened.live.dropped and not quiet:
        _say(f"{opened.live.dropped} frames were passed over: newer ones came before they were looked at")
    if failures:
        raise click.ClickException(f"{len(failures)} photograph(s) could not be read; the rest was processed")


def _refuse_nonsense(
    json_file: str | None,
    csv_file: Path | None,
    coco_file: Path | None,
    tile: bool,
    tile_overlap: int | None,
    severity: bool,
    max_megapixels: float,
) -> None:
    if json_file == "":
        raise click.UsageError("--json: names no file")
    for option, file in (("--csv", csv_file), ("--coco", coco_file)):
        if file == Path("-"):
            raise click.UsageError(f"{option} -: only --json writes to standard output; name a file")
    if tile_overlap is not None and not tile:
        raise click.UsageError("--tile-overlap: goes with --tile")
    if tile and severity:
        raise click.UsageError("--severity counts on whole photographs, as it was measured; leave --tile out")
    if not 0 < max_megapixels < math.inf:
        raise click.UsageError(f"--max-megapixels {max_megapixels}: not a number of megapixels")


def _look(source: Source, runners: Sequence[Runner], sinks: Sequence[Sink]) -> None:
    """Sends every frame through every model, and the results into every sink."""
    with ExitStack() as stack:
        stack.enter_context(_ends_like_ctrl_c(signal.SIGTERM))
        for sink in sinks:
            stack.callback(sink.close)
        try:
            for frame in source.frames:
                results = [
                    runner(frame.image, source=frame.source, frame=frame.index, time_s=frame.time_s, size=frame.size)
                    for runner in runners
                ]
                for sink in sinks:
                    sink.write(frame, results)
        except WindowClosedError:
            pass
        except KeyboardInterrupt:
            if source.live is None:
                raise
            # Ctrl-C is how one stops a camera.


def _runner(model: Model, tile: bool, overlap: int, severity: bool, tile_progress: TileProgress | None) -> Runner:
    """Returns the model as the options ask for it; a classifier runs beside a detector as it is."""
    if tile and model.manifest.task == "detection":
        return TiledModel(model, overlap, tile_progress)
    if severity and supports_severity(model.manifest):
        return SeverityModel(model)
    return model


def _refuse_clashes(outputs: Mapping[str, Path], originals: OverwriteGuard) -> None:
    """Raises where two outputs are one file, or one is what the run reads."""
    named: dict[Path, str] = {}
    for option, file in outputs.items():
        originals.check(file, option)
        before = named.setdefault(file.resolve(), option)
        if before != option:
            raise click.UsageError(f"{before} and {option} name the same file, {file}")


def _sinks(
    opened: Source,
    json_file: str | None,
    csv_file: Path | None,
    coco_file: Path | None,
    save: Path | None,
    show: bool,
    originals: OverwriteGuard,
) -> list[Sink]:
    sinks: list[Sink] = []
    if json_file:
        sinks.append(JsonLines(json_file))
    if csv_file:
        sinks.append(CsvFile(csv_file))
    if coco_file:
        sinks.append(CocoFile(coco_file, numbered=opened.is_video or not opened.files))
    if save and opened.is_video:
        # What was recorded cannot be looked at again: each recording has a name of its own.
        when = f"-{datetime.now():%Y%m%d-%H%M%S}-{os.getpid()}" if opened.live else ""
        sinks.append(VideoWriter(save / f"{opened.name}{when}.mp4", opened.rate, originals))
    elif save:
        sinks.append(ImageWriter(save, originals))
    if show:
        sinks.append(Window(wait_ms=1 if opened.is_video else 0))
    return sinks


@contextmanager
def _ends_like_ctrl_c(number: signal.Signals) -> Iterator[None]:
    """Has a signal, which is how services are stopped, finish the files as Ctrl-C does."""
    before = signal.signal(number, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(number, before)


def _say(line: str) -> None:
    click.echo(line, err=True)


def _silence_opencv() -> None:
    """Turns off the log lines of OpenCV and of its FFmpeg; what matters in them comes as our own errors."""
    os.environ.setdefault("OPENCV_FFMPEG_LOGLEVEL", "-8")
    cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)


if __name__ == "__main__":
    main()
