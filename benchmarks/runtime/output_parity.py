"""Whether the answer is the same everywhere: `python -m benchmarks.runtime.output_parity ../shared/data/acne4/test`.

Every photograph of a folder through every backend, as a file, from a folder, as a frame of a (losslessly coded) video,
and from a camera, that is through the thread that reads cameras. Each lesion must be found again with the same type,
within 0.5 pixels and 0.001 of its score: float32 files against the ONNX file's answer to the photograph as a file, the
int8 file against its own.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import click
import cv2

from acne_export.validation import unmatched
from acne_runtime.frame import Frame
from acne_runtime.load import load_model
from acne_runtime.result import Lesion
from acne_runtime.sources.image_files import list_images, read_image
from acne_runtime.sources.open_source import open_source
from acne_runtime.sources.stream import LiveStream
from acne_runtime.sources.video_file import Capture
from benchmarks.tables import Row, publish

MOST_PIXELS_APART, MOST_SCORE_APART = 0.5, 1e-3
MODELS = Path("models/acne-yolov8-lite0")
BACKENDS = ("onnx float32", "tflite float32", "tflite int8")
REFERENCES = {"onnx float32", "tflite int8"}


class PatientCamera:
    """A video that stands for a camera, and waits until each frame was processed: none is dropped."""

    def __init__(self, file: Path, looked_at: threading.Semaphore):
        self._capture: Capture = cv2.VideoCapture(str(file))
        self._looked_at = looked_at

    def isOpened(self) -> bool:  # noqa: N802, D102
        return self._capture.isOpened()

    def read(self) -> tuple[bool, Any]:  # noqa: D102
        self._looked_at.acquire()
        return self._capture.read()

    def get(self, propId: int) -> float:  # noqa: D102, N803
        return -1  # a camera states no number of frames

    def release(self) -> None:  # noqa: D102
        self._capture.release()


def camera(file: Path, count: int) -> Iterator[Frame]:
    """Returns a video's frames through `LiveStream`."""
    looked_at = threading.Semaphore(1)
    live = LiveStream(0, "camera:0", opener=lambda _: PatientCamera(file, looked_at))
    for frame in live:
        yield frame
        if frame.index + 1 == count:
            return
        looked_at.release()


@click.command(help=__doc__)
@click.argument("folder", default="samples", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option("--most", default=1000, help="Photographs.")
def main(folder: Path, most: int) -> None:
    """Prepares, asks, compares and prints."""
    with tempfile.TemporaryDirectory() as made:
        stills, video = Path(made) / "photographs", Path(made) / "video.mkv"
        files = _copies(list_images(folder)[:most], stills, video)
        sources: Mapping[str, Any] = {
            "file": lambda: (frame for file in files for frame in open_source(str(file)).frames),
            "folder": lambda: open_source(str(stills)).frames,
            "video": lambda: open_source(str(video)).frames,
            "camera": lambda: camera(video, len(files)),
        }
        click.echo(f"{len(files)} photographs of {folder}; lesions found again within 0.5 px and 0.001")
        rows = []
        reference: list[list[Lesion]] = []
        for backend, file in zip(BACKENDS, _model_files(Path(made)), strict=True):
            model = load_model(file, threads=2)
            for source, frames in sources.items():
                answers = [list(result.lesions or ()) for result in model.stream(frames())]
                if source == "file" and backend in REFERENCES:
                    reference = answers
                rows.append({"backend": backend, "source": source} | _compared(reference, answers))
    publish("output_parity", rows)


def _compared(reference: list[list[Lesion]], answers: list[list[Lesion]]) -> Row:
    apart, lost, new = [(0.0, 0.0)], 0, 0

    def alike(one: Lesion, other: Lesion) -> bool:
        pixels = max(abs(a - b) for a, b in zip(one.box, other.box, strict=True))
        score = abs(one.score - other.score)
        if one.name != other.name or pixels > MOST_PIXELS_APART or score > MOST_SCORE_APART:
            return False
        apart.append((pixels, score))
        return True

    for expected, got in zip(reference, answers, strict=True):
        missing, added = unmatched(expected, got, alike)
        lost, new = lost + len(missing), new + len(added)
    pixels, score = (max(values) for values in zip(*apart, strict=True))
    return {
        "lesions": sum(map(len, answers)),
        "not found again": lost,
        "new": new,
        "most px apart": f"{pixels:.2g}",
        "most score apart": f"{score:.2g}",
    }


def _copies(photos: Iterable[Path], stills: Path, video: Path) -> list[Path]:
    """Writes photographs as PNG, of one size as a video needs it, and as a video without loss; returns the PNGs."""
    stills.mkdir()
    files: list[Path] = []
    size = (0, 0)
    for number, photo in enumerate(photos):
        image = read_image(photo)
        if not number:
            size = (image.shape[1], image.shape[0])
            writer = cv2.VideoWriter(str(video), cv2.VideoWriter.fourcc(*"FFV1"), 10, size)
        image = cv2.resize(image, size)
        writer.write(image)
        files.append(stills / f"{number:05}.png")
        cv2.imwrite(str(files[-1]), image)
    writer.release()
    return files


def _model_files(folder: Path) -> list[Path]:
    floats = folder / "float32.tflite"
    command = ["--run", str(MODELS), "--format", "tflite", "--precision", "float32", "--out", str(floats)]
    subprocess.run(
        [sys.executable, "-m", "acne_export.cli", *command],
        check=True,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    return [MODELS / "acne-yolov8-lite0.onnx", floats, MODELS / "acne-yolov8-lite0-int8.tflite"]


if __name__ == "__main__":
    main()
