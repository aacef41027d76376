"""What `acne-run` does: frames of a source through models into sinks."""

from __future__ import annotations

import dataclasses
import logging
import math
import os
import signal
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import click
import cv2

from acne_runtime.cli.native_logs import silence_native_logs
from acne_runtime.errors import SourceError, printable
from acne_runtime.frame import Frame
from acne_runtime.load import load_model, model_files
from acne_runtime.model import Model, Predictor
from acne_runtime.predictors.severity_model import SeverityModel
from acne_runtime.predictors.tiling import OVERLAP, TiledModel
from acne_runtime.predictors.tracked_model import TrackedModel
from acne_runtime.predictors.video_quality import VideoQuality
from acne_runtime.preprocess import reading_scale
from acne_runtime.quality import Quality, measure_quality
from acne_runtime.severity import supports_severity
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

logger = logging.getLogger(__name__)

_STANDARD_INPUT = Path("/dev/stdin")


@dataclass(frozen=True, slots=True)
class RunOptions:
    """The options of `acne-run`, under the names of its parameters; see `acne-run --help`."""

    source: str | None
    camera: int | None
    recursive: bool
    models: tuple[str, ...]
    backend: str | None
    device: str
    delegate: Path | None
    threads: int
    score_threshold: float | None
    tile: bool
    tile_overlap: int | None
    severity: bool
    track: bool
    quality: str
    max_fps: float
    max_megapixels: float
    json_file: str | None
    csv_file: Path | None
    coco_file: Path | None
    save: Path | None
    show: bool
    quiet: bool

    def check(self) -> None:
        """Raises `click.UsageError` for options that contradict each other."""
        if (self.source is None) == (self.camera is None):
            raise click.UsageError("give one of --source and --camera")
        if self.json_file == "":
            raise click.UsageError("--json: empty file name")
        for option, file in (("--csv", self.csv_file), ("--coco", self.coco_file)):
            if file == Path("-"):
                raise click.UsageError(f"{option} -: only --json writes to standard output; name a file")
        if self.tile_overlap is not None and not self.tile:
            raise click.UsageError("--tile-overlap needs --tile")
        if self.tile and self.severity:
            raise click.UsageError("--severity was validated on full images only; omit --tile")
        if self.tile and self.track:
            raise click.UsageError("--track follows lesions through full images; omit --tile")
        if not 0 < self.max_megapixels < math.inf:
            raise click.UsageError(f"--max-megapixels {self.max_megapixels}: not a finite number above 0")

    @property
    def output_files(self) -> dict[str, Path]:
        """The files that are written, by option."""
        json_file = self.json_file if self.json_file != "-" else None
        files = {"--json": json_file, "--csv": self.csv_file, "--coco": self.coco_file}
        return {option: Path(file) for option, file in files.items() if file}


class ReadErrors:
    """Prints each image that cannot be read, and counts them.

    Attributes:
        count: Number of images that could not be read.
        progress: The progress bar to print next to, if there is one.
    """

    def __init__(self) -> None:
        self.count = 0
        self.progress: Progress | None = None

    def __call__(self, error: SourceError) -> None:
        """Prints and counts one error."""
        self.count += 1
        line = printable(f"Error: {error}")
        if self.progress:
            self.progress.failed(line)
        else:
            click.echo(line, err=True)


def _ignore(error: SourceError) -> None:
    """Frames of a video that are rejected are counted only."""


class QualityGate:
    """Measures the quality of each frame.

    Attributes:
        rejected: Number of frames rejected.
    """

    def __init__(self, is_video: bool, reject: bool):
        """Prepares it.

        Args:
            is_video: Whether frames follow each other in time, so that motion can be measured.
            reject: Whether `check` raises for images that cannot be used.
        """
        self._measure = VideoQuality() if is_video else lambda frame: measure_quality(frame.image)
        self._reject = reject
        self.rejected = 0

    def check(self, frame: Frame) -> Quality:
        """Returns the quality of the next frame.

        Raises:
            SourceError: It cannot be used.
        """
        quality = self._measure(frame)
        if self._reject and not quality.is_usable:
            self.rejected += 1
            raise SourceError(f"{frame.source}: cannot be used: {'; '.join(quality.hints)}")
        return quality


@dataclass(frozen=True, slots=True)
class Pipeline:
    """Sends each frame of a source through every predictor, and the results to every sink.

    Attributes:
        source: Where frames come from.
        predictors: The models.
        sinks: Where results go, in this order.
        gate: Measures quality, if that is asked for.
        on_reject: Called for each image that the gate rejects.
    """

    source: Source
    predictors: Sequence[Predictor]
    sinks: Sequence[Sink]
    gate: QualityGate | None = None
    on_reject: Callable[[SourceError], None] = _ignore

    def run(self) -> None:
        """Processes all frames; the sinks are closed also after an error or Ctrl-C."""
        with ExitStack() as stack:
            stack.enter_context(_interrupted_by(signal.SIGTERM))
            for sink in self.sinks:
                stack.callback(sink.close)
            try:
                for frame in self.source.frames:
                    self._process(frame)
            except WindowClosedError:
                pass
            except KeyboardInterrupt:
                if self.source.live is None:
                    raise
                # Ctrl-C is how one stops a camera.

    def _process(self, frame: Frame) -> None:
        quality = None
        if self.gate is not None:
            try:
                quality = self.gate.check(frame)
            except SourceError as error:
                self.on_reject(error)
                return
        results = [dataclasses.replace(predictor.predict(frame), quality=quality) for predictor in self.predictors]
        for sink in self.sinks:
            sink.write(frame, results)


def run(options: RunOptions) -> None:
    """Builds a pipeline from the options and runs it.

    Raises:
        click.ClickException: The options are wrong, or images could not be read.
        AcneEdgeError: Source, model or output fail.
    """
    options.check()
    _silence_opencv()
    read_errors = ReadErrors()
    models: list[Model] = []
    source = _open(options, models, read_errors)
    models += _load_models(options)
    show_progress = not options.quiet and sys.stderr.isatty()
    tile_progress = TileProgress() if show_progress else None
    predictors = _make_predictors(options, models, tile_progress)
    guard = OverwriteGuard(_files_read(options, source))
    _check_output_files(options.output_files, guard)
    sinks: list[Sink] = [tile_progress] if tile_progress else []
    sinks += _make_sinks(options, source, guard)
    if show_progress and (options.output_files or options.save) and source.count > 1 and not options.tile:
        read_errors.progress = Progress(source.count)
        sinks.append(read_errors.progress)
    elif not options.quiet:
        sinks.append(ConsoleSummary(1.0 if source.is_video else 0.0, to_stderr=options.json_file == "-"))
    gate = None if options.quality == "off" else QualityGate(source.is_video, options.quality == "reject")
    Pipeline(source, predictors, sinks, gate, _ignore if source.is_video else read_errors).run()
    if source.is_video and gate is not None and gate.rejected:
        logger.warning("%d frames left out: too blurred, too bright, too far away or moving too fast", gate.rejected)
    if source.live is not None and source.live.dropped:
        logger.info("%d frames dropped: newer ones arrived while the model was busy", source.live.dropped)
    if read_errors.count:
        problem = "could not be read" if options.quality != "reject" else "could not be read or used"
        raise click.ClickException(f"{read_errors.count} image(s) {problem}; the others were processed")


def _open(options: RunOptions, models: Sequence[Model], on_error: ReadErrors) -> Source:
    """Opens the source before the models are loaded, since that is the faster one to fail."""

    def scale(width: int, height: int) -> int:
        # Tiles need the full size; otherwise no model needs more pixels than its input has.
        return 1 if options.tile else min(reading_scale(width, height, model.manifest.input) for model in models)

    if options.source is None:
        assert options.camera is not None
        source = open_camera(options.camera, options.max_fps)
    else:
        source = open_source(
            options.source,
            max_fps=options.max_fps,
            max_pixels=round(options.max_megapixels * 1e6),
            scale=scale,
            on_error=on_error,
            recursive=options.recursive,
        )
    if options.max_fps and source.live is None:
        raise click.UsageError("--max-fps needs a camera or a stream")
    if options.track and not source.is_video:
        raise click.UsageError("--track needs a video, a camera or a stream")
    return source


def _load_models(options: RunOptions) -> list[Model]:
    with silence_native_logs():
        return [
            load_model(
                name,
                backend=options.backend,
                device=options.device,
                delegate=options.delegate,
                threads=options.threads,
                score_threshold=options.score_threshold,
            )
            for name in options.models
        ]


def _make_predictors(
    options: RunOptions, models: Sequence[Model], tile_progress: TileProgress | None
) -> list[Predictor]:
    """Wraps the models as the options ask; a classifier next to a detector stays as it is."""
    overlap = OVERLAP if options.tile_overlap is None else options.tile_overlap
    predictors: list[Predictor] = []
    for model in models:
        if options.tile and model.manifest.task == "detection":
            predictors.append(TiledModel(model, overlap, tile_progress))
        elif options.track and model.manifest.task == "detection":
            graded = options.severity and supports_severity(model.manifest)
            predictors.append(TrackedModel(model, SeverityModel(model) if graded else None))
        elif options.severity and supports_severity(model.manifest):
            predictors.append(SeverityModel(model))
        else:
            predictors.append(model)
    if options.tile and not any(isinstance(predictor, TiledModel) for predictor in predictors):
        raise click.UsageError("--tile: none of the models is a detector")
    if options.track and not any(isinstance(predictor, TrackedModel) for predictor in predictors):
        raise click.UsageError("--track: none of the models is a detector")
    if options.severity and not any(
        model.manifest.task == "detection" and supports_severity(model.manifest) for model in models
    ):
        raise click.UsageError("--severity: none of the models detects what the grade counts")
    return predictors


def _files_read(options: RunOptions, source: Source) -> list[Path]:
    files = [*source.files, *(file for name in options.models for file in model_files(name, options.backend))]
    if options.source == "-":
        files.append(_STANDARD_INPUT)
    if options.delegate:
        files.append(options.delegate)
    return files


def _check_output_files(outputs: Mapping[str, Path], guard: OverwriteGuard) -> None:
    """Raises if two outputs are the same file, or one is a file that the run reads."""
    options: dict[Path, str] = {}
    for option, file in outputs.items():
        guard.check(file)
        first = options.setdefault(file.resolve(), option)
        if first != option:
            raise click.UsageError(f"{first} and {option} name the same file, {file}")


def _make_sinks(options: RunOptions, source: Source, guard: OverwriteGuard) -> list[Sink]:
    sinks: list[Sink] = []
    if options.json_file:
        sinks.append(JsonLines(options.json_file))
    if options.csv_file:
        sinks.append(CsvFile(options.csv_file))
    if options.coco_file:
        sinks.append(CocoFile(options.coco_file, numbered=source.is_video or not source.files))
    if options.save and source.is_video:
        # A recording cannot be made again, so each gets a name of its own.
        suffix = f"-{datetime.now():%Y%m%d-%H%M%S}-{os.getpid()}" if source.live else ""
        sinks.append(VideoWriter(options.save / f"{source.name}{suffix}.mp4", source.rate, guard))
    elif options.save:
        sinks.append(ImageWriter(options.save, guard))
    if options.show:
        sinks.append(Window(wait_ms=1 if source.is_video else 0))
    return sinks


@contextmanager
def _interrupted_by(number: signal.Signals) -> Iterator[None]:
    """Makes a signal, such as the one that stops services, finish the files as Ctrl-C does."""
    before = signal.signal(number, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(number, before)


def _silence_opencv() -> None:
    """Turns off the log output of OpenCV and its FFmpeg; what matters is raised as our own errors."""
    os.environ.setdefault("OPENCV_FFMPEG_LOGLEVEL", "-8")
    cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)
