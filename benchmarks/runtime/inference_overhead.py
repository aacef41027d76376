"""What the runtime adds to a bare inference: `python -m benchmarks.runtime.inference_overhead`.

The shipped detector, exported at 416 and at 640 px; a photograph in memory, uint8 BGR, to boxes in its pixels. Bare is
the same file in a session of its own, given a finished tensor. All take turns of thirty frames in one run. The
photograph comes in three sizes: the model's own, a camera's frame, a phone's photograph.
"""

from __future__ import annotations

import itertools
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path

import click
import cv2
import numpy as np
import onnxruntime
from ai_edge_litert.interpreter import Interpreter
from numpy.typing import NDArray

from acne_export.bench.interleaved import interleaved_times
from acne_runtime.load import load_model
from acne_runtime.preprocess import preprocess
from acne_runtime.result import Result
from acne_runtime.sources.image_files import read_image
from benchmarks.tables import Row, publish

THREADS = 2
TURN = 30


@click.command(help=__doc__)
@click.argument("run", default="models/acne-yolov8-lite0", type=click.Path(exists=True, path_type=Path))
@click.option("--photo", default="samples/rendered_skin.jpg", type=click.Path(exists=True, path_type=Path))
@click.option("--imgsz", "sizes", default=(416, 640), multiple=True, show_default=True)
@click.option("--runs", default=300, show_default=True)
def main(run: Path, photo: Path, sizes: tuple[int, ...], runs: int) -> None:
    """Exports, measures and prints."""
    photograph = read_image(photo)
    rows: list[Row] = []
    for size, form in itertools.product(sizes, ("onnx", "tflite")):
        shapes = dict.fromkeys(((size, size), (640, 480), (4000, 3000)))
        images = {f"{width} x {height}": cv2.resize(photograph, (width, height)) for width, height in shapes}
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder) / f"model.{form}"
            _export(run, form, size, file)
            rows += _measure(file, images, runs)
    publish("inference_overhead", rows)


def _measure(file: Path, images: Mapping[str, NDArray[np.uint8]], runs: int) -> list[Row]:
    model = load_model(file, threads=THREADS)
    tensor, _ = preprocess(next(iter(images.values())), model.manifest.input)
    results: dict[str, list[Result]] = {name: [] for name in images}
    calls = {"bare": bare_onnx(file, tensor) if file.suffix == ".onnx" else bare_litert(file, tensor)}
    for name, image in images.items():
        calls[name] = lambda name=name, image=image: results[name].append(model(image))
    times = {name: float(np.median(taken)) for name, taken in interleaved_times(calls, runs, TURN).items()}
    rows: list[Row] = []
    for name in images:
        before = 1e3 * float(np.median([result.timing.preprocess for result in results[name]]))
        after = 1e3 * float(np.median([result.timing.postprocess for result in results[name]]))
        rows.append(
            {
                "file": f"{file.suffix[1:]} {model.manifest.precision}, {model.manifest.input.width} px",
                "photograph": name,
                "of bare": round(times[name] / times["bare"], 3),
                "bare, ms": round(times["bare"], 1),
                "pre, µs": round(before),
                "post, µs": round(after),
                "lesions": len(results[name][0].lesions or ()),
            }
        )
    return rows


def bare_onnx(file: Path, tensor: NDArray[np.uint8]) -> Callable[[], object]:
    """Returns a call of `session.run`."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = THREADS
    session = onnxruntime.InferenceSession(file, options, providers=["CPUExecutionProvider"])
    given = {session.get_inputs()[0].name: tensor}
    return lambda: session.run(None, given)


def bare_litert(file: Path, tensor: NDArray[np.uint8]) -> Callable[[], object]:
    """Returns a call that sets the input, invokes, and gets every output, as `session.run` does."""
    interpreter = Interpreter(str(file), num_threads=THREADS)
    interpreter.allocate_tensors()
    given = interpreter.get_input_details()[0]["index"]
    wanted = [output["index"] for output in interpreter.get_output_details()]

    def call() -> object:
        interpreter.set_tensor(given, tensor)
        interpreter.invoke()
        return [interpreter.get_tensor(output) for output in wanted]

    return call


def _export(run: Path, form: str, imgsz: int, file: Path) -> None:
    """In a process of its own: TensorFlow's threads would stay in this one."""
    command = [sys.executable, "-m", "acne_export.cli", "--run", str(run), "--format", form, "--imgsz", str(imgsz)]
    subprocess.run([*command, "--out", str(file)], check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


if __name__ == "__main__":
    main()
