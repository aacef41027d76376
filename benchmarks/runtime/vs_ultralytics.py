"""`acne-run` against `yolo predict`, on the same file: `python -m benchmarks.runtime.vs_ultralytics`.

Two environments are made, one with this checkout's `.[onnx]`, one with `ultralytics` and `onnxruntime`. Ultralytics
exports its YOLOv8n (weights at random: none is downloaded) as ONNX at 640 px; both commands run this file on the same
photograph, each time as a new process, and then frame after frame in one process. They take turns. Needs the network,
to install; 8 GB of disk.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from pathlib import Path

import click
import numpy as np

from benchmarks.runtime.cold_start import run_process
from benchmarks.tables import publish

OURS = """
import cv2, json, time
from acne_runtime import load_model
model, photo = load_model({file!r}), cv2.imread({photo!r})
call = lambda: model(photo)
"""
THEIRS = """
import cv2, json, time
from ultralytics import YOLO
model, photo = YOLO({file!r}, task="detect"), cv2.imread({photo!r})
call = lambda: model.predict(photo, imgsz=640, verbose=False)
"""
FRAMES = """
times = []
for _ in range(120):
    started = time.perf_counter()
    call()
    times.append(1e3 * (time.perf_counter() - started))
print(json.dumps(sorted(times[20:])[50]))
"""


@click.command(help=__doc__)
@click.option("--photo", default="samples/rendered_skin.jpg", show_default=True)
@click.option("--runs", default=7, show_default=True)
@click.option("--folder", type=click.Path(path_type=Path), help="Keeps the environments for another time.")
def main(photo: str, runs: int, folder: Path | None) -> None:
    """Installs, measures and prints."""
    with tempfile.TemporaryDirectory() as temporary:
        place = (folder or Path(temporary)).resolve()
        ours = _environment(place / "acne-edge", [".[onnx]"])
        theirs = _environment(place / "ultralytics", ["ultralytics", "onnx", "onnxruntime", "onnxslim"])
        file = place / "yolov8n.onnx"
        if not file.is_file():
            make = 'from ultralytics import YOLO; YOLO("yolov8n.yaml").export(format="onnx", imgsz=640)'
            subprocess.run([theirs / "python", "-c", make], cwd=place, check=True, stdout=subprocess.DEVNULL)
        photo, model = str(Path(photo).resolve()), str(file)
        starts = {
            "acne-run": [ours / "acne-run", "--source", photo, "--model", model],
            "yolo predict": [
                theirs / "yolo",
                "predict",
                f"model={model}",
                f"source={photo}",
                "imgsz=640",
                "save=False",
            ],
        }
        loops = {
            "acne-run": [ours / "python", "-c", OURS.format(file=model, photo=photo) + FRAMES],
            "yolo predict": [theirs / "python", "-c", THEIRS.format(file=model, photo=photo) + FRAMES],
        }
        size = {"acne-run": _megabytes(place / "acne-edge"), "yolo predict": _megabytes(place / "ultralytics")}
        taken: dict[str, list[tuple[float, ...]]] = {name: [] for name in starts}
        for turn in range(runs + 1):
            for name, command in starts.items():
                once = run_process([str(part) for part in command], place)
                output = subprocess.run(loops[name], cwd=place, check=True, capture_output=True, text=True).stdout
                if turn:  # the first reads the files from the disk
                    taken[name].append((*once, json.loads(output.splitlines()[-1])))
    medians = {name: np.median(values, axis=0) for name, values in taken.items()}
    measured = {"installed, MB": size} | {
        what: {name: values[place] for name, values in medians.items()}
        for place, what in enumerate(("start to answer, s", "peak memory, MB", "a frame in a running process, ms"))
    }
    rows = []
    for what, values in measured.items():
        one, other = values["acne-run"], values["yolo predict"]
        rows.append({"": what, "acne-run": f"{one:.4g}", "yolo predict": f"{other:.4g}", "ratio": f"{other / one:.1f}"})
    publish("vs_ultralytics", rows)


def _environment(folder: Path, packages: list[str]) -> Path:
    """Returns where the commands of an environment with these packages are; makes it, if it is not there."""
    commands = folder / ("Scripts" if sys.platform == "win32" else "bin")
    if not folder.is_dir():
        subprocess.run([sys.executable, "-m", "venv", folder], check=True)
        subprocess.run([commands / "python", "-m", "pip", "install", "-q", *packages], check=True)
    return commands


def _megabytes(environment: Path) -> float:
    """Returns what the installed packages take on the disk, without the installer itself."""
    (packages,) = environment.glob("[Ll]ib/**/site-packages")
    files = (file for file in packages.rglob("*") if file.is_file() and not file.is_symlink())
    return (
        sum(file.stat().st_size for file in files if file.relative_to(packages).parts[0].split("-")[0] != "pip") / 1e6
    )


if __name__ == "__main__":
    main()
