"""What `acne-run` does: frames of a source through models into sinks."""

from __future__ import annotations

import dataclasses
import logging
import math
import os
import signal
import sys
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from pathlib import Path

import click
import cv2

from acne_runtime.cli.native_logs import silence_native_logs
from acne_runtime.errors import SourceError, printable
from acne_runtime.frame import Frame
from acne_runtime.load import load_model, model_files
from acne_runtime.model import Model, Predictor
from acne_runtime.parallel import cpu_count, map_in_order
from acne_runtime.predictors.face_severity import FaceSeverity
from acne_runtime.predictors.severity_model import SeverityModel
from acne_runtime.predictors.tiling import OVERLAP, TiledModel
from acne_runtime.predictors.tracked_model import TrackedModel
from acne_runtime.predictors.video_quality import VideoQuality
from acne_runtime.preprocess import reading_scale
from acne_runtime.quality import Quality, measure_quality
from acne_runtime.result import Result
from acne_runtime.severity import supports_severity
from acne_runtime.sinks.annotated_media import ImageWriter, VideoWriter
from acne_runtime.sinks.base import Sink
from acne_runtime.sinks.coco_file import CocoFile
from acne_runtime.sinks.console import ConsoleSummary
from acne_runtime.sinks.csv_file import CsvFile
from acne_runtime.sinks.face_grade import FaceGrade
from acne_runtime.sinks.json_lines import JsonLines
from acne_runtime.sinks.overwrite_guard import OverwriteGuard
from acne_runtime.sinks.progress import Progress, TileProgress
from acne_runtime.sinks.window import Window, WindowClosedError
from acne_runtime.sources.open_source import Source, open_camera, open_images, open_source

logger = logging.getLogger(__name__)

_STANDARD_INPUT = Path("/dev/stdin")


@dataclass(frozen=True, slots=True)
class RunOptions:
    """The options of `acne-run`, under the names of its parameters; see `acne-run --help`."""

    source: str | None
    camera: int | None
    recursive: bool
    regions: tuple[tuple[str, Path], ...]
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
    timing: bool
    engine: str
    out: str | None
    out_format: str
    part_size: int
    num_workers: int
    cluster: str | None
    resume: bool

    def check(self) -> None:
        """Raises `click.UsageError` for options that contradict each other."""
        if self.engine == "ray":
            self._check_archive()
        else:
            archive = {
                "--out": self.out,
                "--num-workers": self.num_workers,
                "--cluster": self.cluster,
                "--resume": self.resume,
            }
            given = [option for option, value in archive.items() if value]
            if given:
                raise click.UsageError(f"{given[0]} needs --engine ray")
        if sum((self.source is not None, self.camera is not None, bool(self.regions))) != 1:
            raise click.UsageError("give one of --source, --camera and --region")
        self._check_regions()
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

    def _check_regions(self) -> None:
        if not self.regions:
            return
        if not self.severity:
            raise click.UsageError("--region needs --severity")
        if self.track:
            raise click.UsageError("--track needs a video, a camera or a stream")
        if len(self.models) > 1:
            raise click.UsageError("--region takes one --model")
        files = [file.resolve() for _, file in self.regions]
        for _, file in self.regions:
            if files.count(file.resolve()) > 1:
                raise click.UsageError(f"--region: {file} is given twice, and its lesions would count twice")

    def _check_archive(self) -> None:
        if not self.source or not self.out:
            raise click.UsageError("--engine ray needs --source, the archive, and --out, the folder of its results")
        others = {
            "--json": self.json_file,
            "--csv": self.csv_file,
            "--coco": self.coco_file,
            "--save": self.save,
            "--show": self.show,
            "--tile": self.tile,
            "--track": self.track,
            "--delegate": self.delegate,
            "--device": self.device != "cpu",
            "--threads": self.threads > 1,
        }
        given = [option for option, value in others.items() if value]
        if given:
            raise click.UsageError(f"{given[0]} does not go with --engine ray, which writes results into --out")

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


class PartlyRead(Sink):
    """Counts images of which the first frame or page is read.

    Attributes:
        count: How many there were.
        example: The first of them, in words.
    """

    def __init__(self) -> None:
        self.count = 0
        self.example = ""

    def write(self, frame: Frame, results: Sequence[Result]) -> None:
        """Counts an image."""
        if frame.is_first_of_several:
            self.count += 1
            self.example = self.example or f", such as {printable(frame.source)}"

    def close(self) -> None:
        """Does nothing."""


class _RegionPhotographs(Predictor):
    """Counts the lesions of each photograph for its region of the face."""

    def __init__(self, face: FaceSeverity, regions: Sequence[tuple[str, Path]]):
        self.manifest = face.manifest
        self._face, self._regions = face, {str(file): region for region, file in regions}

    def predict(self, frame: Frame) -> Result:
        """Returns the photograph's lesions, with its region; see `FaceSeverity.add_frame`."""
        return self._face.add_frame(self._regions[frame.source], frame)


def _ignore(error: SourceError) -> None:
    """Frames of a video that are rejected are counted only."""


def _raise(error: SourceError) -> None:
    """Without one of its regions, a face has no grade."""
    raise error


class QualityGate:
    """Measures the quality of each frame."""

    def __init__(self, is_video: bool, reject: bool):
        """Prepares it.

        Args:
            is_video: Whether frames follow each other in time, so that motion can be measured.
            reject: Whether `check` raises for images that cannot be used.
        """
        self._measure = VideoQuality() if is_video else lambda frame: measure_quality(frame.image)
        self._reject = reject

    def check(self, frame: Frame) -> Quality:
        """Returns the quality of the next frame.

        Raises:
            SourceError: It cannot be used.
        """
        quality = self._measure(frame)
        if self._reject and not quality.is_usable:
            raise SourceError(f"{frame.source}: cannot be used: {'; '.join(quality.hints)}")
        return quality


@dataclass(slots=True)
class Pipeline:
    """Sends each frame of a source through every predictor, and the results to every sink.

    Attributes:
        source: Where frames come from.
        predictors: The models.
        sinks: Where results go, in this order.
        gate: Measures quality, if that is asked for.
        on_reject: Called for each image that the gate rejects.
        workers: Threads that process frames; results stay in order.
        rejected: Number of frames that the gate rejected.
    """

    source: Source
    predictors: Sequence[Predictor]
    sinks: Sequence[Sink]
    gate: QualityGate | None = None
    on_reject: Callable[[SourceError], None] = _ignore
    workers: int = 1
    rejected: int = 0

    def run(self) -> None:
        """Processes all frames; the sinks are closed also after an error or Ctrl-C."""
        with ExitStack() as stack:
            stack.enter_context(_interrupted_by(signal.SIGTERM))
            for sink in self.sinks:
                stack.callback(sink.close)
            processed = stack.enter_context(closing(self._processed()))
            try:
                for frame, results in processed:
                    if isinstance(results, SourceError):
                        self.rejected += 1
                        self.on_reject(results)
                        continue
                    for sink in self.sinks:
                        sink.write(frame, results)
            except WindowClosedError:
                pass
            except KeyboardInterrupt:
                if self.source.live is None:
                    raise
                # Ctrl-C is how one stops a camera.

    def _processed(self) -> Generator[tuple[Frame, list[Result] | SourceError]]:
        """Yields each frame with its results, or with the reason why the gate rejects it."""
        if self.workers > 1:
            for finished in map_in_order(self._process, self.source.frames, self.workers):
                yield finished.result()
        else:
            yield from map(self._process, self.source.frames)

    def _process(self, frame: Frame) -> tuple[Frame, list[Result] | SourceError]:
        quality = None
        if self.gate is not None:
            try:
                quality = self.gate.check(frame)
            except SourceError as error:
                return frame, error
        return frame, [dataclasses.replace(predictor.predict(frame), quality=quality) for predictor in self.predictors]


def run(options: RunOptions) -> None:
    """Builds a pipeline from the options and runs it.

    Raises:
        click.ClickException: The options are wrong, or images could not be read.
        AcneEdgeError: Source, model or output fail.
    """
    _silence_opencv()
    read_errors = ReadErrors()
    models: list[Model] = []
    source = _open(options, models, read_errors)
    workers = _count_workers(options, source)
    models += _load_models(options, threads=1 if workers > 1 and options.device == "cpu" else options.threads)
    show_progress = not options.quiet and sys.stderr.isatty()
    tile_progress = TileProgress() if show_progress else None
    face = FaceSeverity(models[0]) if options.regions else None
    if face:
        predictors: list[Predictor] = [_RegionPhotographs(face, options.regions)]
    else:
        predictors = _make_predictors(options, models, tile_progress)
    guard = OverwriteGuard(_files_read(options, source))
    _check_output_files(options.output_files, guard)
    partly_read = PartlyRead()
    sinks: list[Sink] = [partly_read, *([tile_progress] if tile_progress else [])]
    sinks += _make_sinks(options, source, guard)
    if show_progress and (options.output_files or options.save) and source.count > 1 and not (options.tile or face):
        read_errors.progress = Progress(source.count)
        sinks.append(read_errors.progress)
    elif not options.quiet:
        sinks.append(ConsoleSummary(1.0 if source.is_video else 0.0, to_stderr=options.json_file == "-"))
    if face:
        lines = next((sink for sink in sinks if isinstance(sink, JsonLines)), None)
        echo = None if options.quiet else partial(click.echo, err=options.json_file == "-")
        sinks.append(FaceGrade(face, source.count, lines, echo))
    gate = None if options.quality == "off" else QualityGate(source.is_video, options.quality == "reject")
    on_reject = _raise if face else _ignore if source.is_video else read_errors
    pipeline = Pipeline(source, predictors, sinks, gate, on_reject, workers)
    pipeline.run()
    if source.is_video and pipeline.rejected:
        logger.warning(
            "%d frames left out: too blurred, too bright, too far away or moving too fast", pipeline.rejected
        )
    if partly_read.count:
        logger.warning("left out: further frames or pages of %d image(s)%s", partly_read.count, partly_read.example)
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

    max_pixels = round(options.max_megapixels * 1e6)
    if options.regions:
        source = open_images([file for _, file in options.regions], "face", None, max_pixels, scale)
    elif options.source is None:
        assert options.camera is not None
        source = open_camera(options.camera, options.max_fps)
    else:
        source = open_source(
            options.source,
            max_fps=options.max_fps,
            max_pixels=max_pixels,
            scale=scale,
            on_error=on_error,
            recursive=options.recursive,
        )
    if options.max_fps and source.live is None:
        raise click.UsageError("--max-fps needs a camera or a stream")
    if options.track and not source.is_video:
        raise click.UsageError("--track needs a video, a camera or a stream")
    return source


def _count_workers(options: RunOptions, source: Source) -> int:
    """Returns how many frames are processed at once, each by one thread of the CPU.

    That keeps all cores busy, where the threads of one inference wait for each other and for what comes before and
    after it. One, if frames must be processed in their order or as soon as they are there.
    """
    in_order = source.is_video and (options.track or options.quality != "off")
    if source.live or options.source == "-" or source.count == 1 or options.tile or in_order:
        return 1
    if options.device != "cpu" or options.delegate:
        return 2  # an accelerator runs one inference, the CPU prepares the next one
    return options.threads or cpu_count()


def _load_models(options: RunOptions, threads: int) -> list[Model]:
    with silence_native_logs():
        return [
            load_model(
                name,
                backend=options.backend,
                device=options.device,
                delegate=options.delegate,
                threads=threads,
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
        sinks.append(JsonLines(options.json_file, options.timing))
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
