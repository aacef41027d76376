"""From nothing to the first answer: `python -m benchmarks.runtime.cold_start`.

Each run is a new process: the shipped detector through the runtime's API, through `acne-run`, and the floor, which
imports numpy and the backend, opens the same file and runs it once on zeros. They take turns. Seconds are wall time
from the start of the process to its end, memory is the peak of its resident set. Linux and macOS.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import click
import numpy as np

from benchmarks.tables import publish

MODELS = Path("models/acne-yolov8-lite0")
FILES = {"ONNX float32": MODELS / "acne-yolov8-lite0.onnx", "TFLite int8": MODELS / "acne-yolov8-lite0-int8.tflite"}

API = """
import cv2
from acne_runtime import load_model
result = load_model({file!r}, threads=2)(cv2.imread({photo!r}))
print(len(result.lesions))
"""
FLOOR = {
    "ONNX float32": """
import numpy, onnxruntime
options = onnxruntime.SessionOptions()
options.intra_op_num_threads = 2
session = onnxruntime.InferenceSession({file!r}, options, providers=["CPUExecutionProvider"])
session.run(None, {{session.get_inputs()[0].name: numpy.zeros((1, 640, 640, 3), numpy.uint8)}})
""",
    "TFLite int8": """
import numpy
from ai_edge_litert.interpreter import Interpreter
interpreter = Interpreter({file!r}, num_threads=2)
interpreter.allocate_tensors()
interpreter.set_tensor(interpreter.get_input_details()[0]["index"], numpy.zeros((1, 640, 640, 3), numpy.uint8))
interpreter.invoke()
""",
}


@click.command(help=__doc__)
@click.option("--photo", default="samples/rendered_skin.jpg", show_default=True)
@click.option("--runs", default=15, show_default=True)
def main(photo: str, runs: int) -> None:
    """Starts, measures and prints."""
    commands = {}
    for form, file in FILES.items():
        named = {"file": str(file), "photo": photo}
        line = ["--source", photo, "--model", str(file), "--threads", "2", "--json", "-", "--quiet"]
        commands[form, "floor"] = [sys.executable, "-c", FLOOR[form].format(**named)]
        commands[form, "API"] = [sys.executable, "-c", API.format(**named)]
        commands[form, "acne-run"] = [sys.executable, "-m", "acne_runtime.cli.run", *line]
    taken: dict[tuple[str, str], list[tuple[float, float]]] = {name: [] for name in commands}
    for turn in range(runs + 1):
        for name, command in commands.items():
            measured = run_process(command)
            if turn:  # the first of each reads the files from the disk
                taken[name].append(measured)
    rows = []
    for (form, who), values in taken.items():
        seconds, peak = np.median(values, axis=0)
        rows.append({"file": form, "process": who, "seconds": round(seconds, 3), "peak MB": round(peak)})
    publish("cold_start", rows)


def run_process(command: list[str], folder: Path | None = None) -> tuple[float, float]:
    """Returns a process's seconds, and megabytes at its peak; `folder` is where it runs."""
    started = time.perf_counter()
    child = subprocess.Popen(command, cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    _, status, usage = os.wait4(child.pid, 0)
    spent = time.perf_counter() - started
    if status:
        raise click.ClickException(f"failed: {' '.join(command)}")
    unit = 1 if sys.platform == "darwin" else 1024
    return spent, usage.ru_maxrss * unit / 1e6


if __name__ == "__main__":
    main()
