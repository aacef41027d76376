"""Frames a second of a video, and of the bare model: `python -m benchmarks.runtime.video_throughput`.

A made video of 300 frames, 640 x 480, through the shipped detector on two cores: the bare model alone on finished
tensors, with two threads; read, processed and drawn on, as `--show` does; and the annotated video written too, as
`--save` does, both two frames at once as `acne-run` does. The three take turns of a video; medians over the rounds.
"""

from __future__ import annotations

import tempfile
from collections.abc import Generator, Mapping
from pathlib import Path
from time import perf_counter

import click
import cv2
import numpy as np

from acne_runtime.cli.pipeline import Pipeline
from acne_runtime.frame import Frame
from acne_runtime.load import load_model
from acne_runtime.model import Model
from acne_runtime.parallel import map_in_order
from acne_runtime.preprocess import preprocess
from acne_runtime.result import Result
from acne_runtime.sinks.annotated_media import VideoWriter
from acne_runtime.sinks.overwrite_guard import OverwriteGuard
from acne_runtime.sources.image_files import read_image
from acne_runtime.sources.open_source import open_source
from benchmarks.tables import publish

FRAMES, WIDTH, HEIGHT, RATE = 300, 640, 480, 30
THREADS = 2


@click.command(help=__doc__)
@click.option("--photo", default="samples/rendered_skin.jpg", type=click.Path(exists=True, path_type=Path))
@click.option("--rounds", default=3, show_default=True)
def main(photo: Path, rounds: int) -> None:
    """Makes the video, measures and prints."""
    with tempfile.TemporaryDirectory() as folder:
        video = Path(folder) / "video.mp4"
        _film(photo, video)
        rows = []
        for file, backend in (("ONNX float32", "onnx"), ("TFLite int8", "litert")):
            bare, model = load_model(backend=backend, threads=2), load_model(backend=backend, threads=1)
            seconds: dict[str, list[float]] = {"bare": [], "drawn": [], "saved": []}
            for _ in range(rounds):
                for name, frames in {
                    "bare": _bare(bare, video),
                    "drawn": _drawn(model, video),
                    "saved": _saved(model, video),
                }.items():
                    started = perf_counter()
                    for _ in frames:
                        pass
                    seconds[name].append(perf_counter() - started)
            rate = {name: FRAMES / float(np.median(taken)) for name, taken in seconds.items()}
            rows.append(
                {
                    "frames a second": file,
                    "bare": round(rate["bare"], 1),
                    "processed and drawn on": _of_bare(rate, "drawn"),
                    "saved as a video too": _of_bare(rate, "saved"),
                }
            )
    publish("video_throughput", rows)


def _of_bare(rate: Mapping[str, float], what: str) -> str:
    return f"{rate[what]:.1f} ({100 * rate[what] / rate['bare']:.0f} %)"


def _bare(model: Model, video: Path) -> Generator[None]:
    tensor, _ = preprocess(next(iter(open_source(str(video)).frames)).image, model.manifest.input)
    for _ in range(FRAMES):
        model.backend.run(tensor)
        yield


def _drawn(model: Model, video: Path) -> Generator[None]:
    def process(frame: Frame) -> tuple[Frame, Result]:
        return frame, model.predict(frame)

    for finished in map_in_order(process, open_source(str(video)).frames, THREADS):
        frame, result = finished.result()
        result.draw(frame.image)
        yield


def _saved(model: Model, video: Path) -> Generator[None]:
    source = open_source(str(video))
    sink = VideoWriter(video.with_name("annotated.mp4"), source.rate, OverwriteGuard())
    Pipeline(source, [model], [sink], workers=THREADS).run()
    yield


def _film(photo: Path, video: Path) -> None:
    """Moves a window over an enlarged photograph."""
    still = cv2.resize(read_image(photo), (960, 960))
    writer = cv2.VideoWriter(str(video), cv2.VideoWriter.fourcc(*"mp4v"), RATE, (WIDTH, HEIGHT))
    for number in range(FRAMES):
        left, top = round(160 + 160 * np.sin(number / 40)), round(240 + 240 * np.cos(number / 50))
        writer.write(np.ascontiguousarray(still[top : top + HEIGHT, left : left + WIDTH]))
    writer.release()


if __name__ == "__main__":
    main()
