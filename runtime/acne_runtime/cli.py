"""`acne-run`: photographs, videos and cameras through a model."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import click
import cv2

from acne_runtime import __version__
from acne_runtime.command import Command
from acne_runtime.errors import SourceError
from acne_runtime.load import DEFAULT_MODEL, load_model
from acne_runtime.quiet import native_logs_silenced
from acne_runtime.sinks.jsonl import JsonLines
from acne_runtime.sinks.saved import SavedPictures, SavedVideo
from acne_runtime.sinks.sink import Sink
from acne_runtime.sinks.summary import Summary
from acne_runtime.sinks.window import Window, WindowClosedError
from acne_runtime.sources import photos, video
from acne_runtime.sources.camera import camera
from acne_runtime.sources.frame import Frame

_CAMERA_RATE = 15.0
"""Frames a second stated in a saved camera video; the camera's own pace depends on the model."""


@click.command(cls=Command, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.option("--source", type=click.Path(path_type=Path), metavar="PATH", help="A photograph, a folder, or a video.")
@click.option("--camera", "camera_number", type=click.IntRange(min=0), metavar="N", help="A camera; 0 is the first.")
@click.option(
    "--model",
    default=DEFAULT_MODEL,
    show_default=True,
    metavar="NAME|FILE",
    help="A shipped model or a file.",
)
@click.option("--backend", type=click.Choice(["onnx", "litert"]), help="Default: what fits the model and is installed.")
@click.option("--device", type=click.Choice(["auto", "cpu", "cuda"]), default="cpu", show_default=True)
@click.option(
    "--threads",
    type=click.IntRange(min=0),
    default=0,
    help="Threads of one inference; 0: the backend's choice.",
)
@click.option(
    "--score-threshold",
    type=click.FloatRange(0, 1),
    help="One threshold instead of the model's own per class.",
)
@click.option("--json", "json_file", metavar="FILE", help="Write one JSON line a frame; - is standard output.")
@click.option(
    "--save",
    type=click.Path(file_okay=False, path_type=Path),
    metavar="DIR",
    help="Write annotated pictures or video.",
)
@click.option("--show", is_flag=True, help="Show a live window; q quits.")
@click.option("--quiet", is_flag=True, help="Print no summary.")
@click.version_option(__version__, prog_name="acne-run")
def main(
    source: Path | None,
    camera_number: int | None,
    model: str,
    backend: str | None,
    device: str,
    threads: int,
    score_threshold: float | None,
    json_file: str | None,
    save: Path | None,
    show: bool,
    quiet: bool,
) -> None:
    """Finds acne lesions on a photograph, in a folder of photographs, in a video, or live.

    For education and monitoring; this is no diagnosis.
    """
    if (source is None) == (camera_number is None):
        raise click.UsageError("name one of --source PATH and --camera N")
    _silence_opencv()
    failures: list[SourceError] = []

    def report(error: SourceError) -> None:
        failures.append(error)
        click.echo(f"Error: {error}", err=True)

    live = camera_number is not None or (source is not None and source.suffix.lower() in video.SUFFIXES)
    frames = camera(camera_number) if source is None else _open(source, report)  # type: ignore[arg-type]
    with native_logs_silenced():
        runner = load_model(model, backend=backend, device=device, threads=threads, score_threshold=score_threshold)

    with ExitStack() as stack:
        sinks: list[Sink] = []
        if json_file:
            sinks.append(JsonLines(json_file))
        if save and live:
            name = f"camera-{camera_number}" if source is None else source.stem
            rate = _CAMERA_RATE if source is None else video.frames_per_second(source)
            sinks.append(SavedVideo(save / f"{name}.mp4", rate))
        elif save:
            sinks.append(SavedPictures(save))
        if show:
            sinks.append(Window(wait_ms=1 if live else 0))
        if not quiet:
            sinks.append(Summary(pause_s=1.0 if live else 0.0, to_stderr=json_file == "-"))
        for sink in sinks:
            stack.callback(sink.close)
        try:
            for frame in frames:
                result = runner(frame.image, source=frame.source, frame=frame.index, time_s=frame.time_s)
                for sink in sinks:
                    sink.write(frame, result)
        except WindowClosedError:
            pass
        except KeyboardInterrupt:
            if camera_number is None:
                raise
            # Ctrl-C is how one stops a camera.
    if failures:
        raise click.ClickException(f"{len(failures)} photograph(s) could not be read; the rest was processed")


def _open(source: Path, report: object) -> Iterator[Frame]:
    if source.is_dir():
        return photos.photos(photos.list_photos(source), report)  # type: ignore[arg-type]
    if not source.exists():
        raise SourceError(f"{source}: no such photograph, folder or video")
    if source.suffix.lower() in video.SUFFIXES:
        return video.video(source)
    return photos.photos([source])


def _silence_opencv() -> None:
    """Turns off the log lines of OpenCV and of its FFmpeg; what matters in them comes as our own errors."""
    os.environ.setdefault("OPENCV_FFMPEG_LOGLEVEL", "-8")
    cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)


if __name__ == "__main__":
    main()
