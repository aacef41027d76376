"""Kills every command that writes, at random points: `python tests/fuzz/kills.py --kills 200`.

Each command runs in a process of its own, which `kill -9` ends after a random part of the time that it takes. Then what
it had written must be whole: each file is the finished one, or not there, or made of whole lines; and the command must
run to its end afterwards, with `--resume` where it has that.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import click
import cv2
import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1]))
LIMIT_S = 120
SAMPLE = Path(__file__).parents[2] / "samples" / "rendered_skin.jpg"


@dataclass
class Case:
    """A command to be killed.

    Attributes:
        name: For the table.
        words: The command's name and its arguments; `{out}` is a fresh folder.
        check: Raises for a folder that is not whole.
        again: Arguments added when it is run to its end, such as `--resume`.
        begin: Puts what must be there into the fresh folder.
    """

    name: str
    words: Sequence[str]
    check: Callable[[Path], None]
    again: Sequence[str] = ()
    begin: Callable[[Path], object] = lambda out: None


def call(words: Sequence[str]) -> int:
    """Runs a command in this process; its packages are imported already."""
    name, *arguments = words
    if name == "acne-run":
        from acne_runtime.cli.run import main
    elif name == "acne-export":
        from acne_export.cli import main
    elif name == "acne-train":
        from acne_trainer.cli.main import main
    else:
        from acne_monitor.cli.main import main
    try:
        main(arguments, standalone_mode=True)
    except SystemExit as ended:
        return int(ended.code or 0)
    return 0


def started(words: Sequence[str]) -> int:
    """Returns the process in which a command runs."""
    child = os.fork()
    if child == 0:
        null = os.open(os.devnull, os.O_RDWR)
        for stream in (0, 1):
            os.dup2(null, stream)
        errors = os.open("/tmp/kills-errors", os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        os.dup2(errors, 2)
        os._exit(call(words))
    return child


def finish(words: Sequence[str]) -> float:
    """Runs a command to its end and returns the seconds; raises for a failure."""
    begun = time.monotonic()
    child = started(words)
    while not (ended := os.waitpid(child, os.WNOHANG))[0]:
        if time.monotonic() - begun > LIMIT_S:
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)
            raise AssertionError(f"{words[:3]} takes longer than {LIMIT_S} s")
        time.sleep(0.005)
    status = ended[1]
    errors = Path("/tmp/kills-errors").read_text(errors="replace")
    if status or "Traceback" in errors:
        raise AssertionError(f"{words[:3]} ended with {status}: {errors[-300:]}")
    return time.monotonic() - begun


def check_run(out: Path) -> None:
    for file in out.rglob("*.jsonl"):
        text = file.read_text()
        assert not text or text.endswith("\n"), "a line is cut off"
        [json.loads(line) for line in text.splitlines()]
    for file in out.rglob("*.csv"):
        text = file.read_text()
        assert not text or text.endswith("\n"), "a row is cut off"
    for file in out.rglob("*.json"):
        json.loads(file.read_text())
    for file in (*out.rglob("*.jpg"), *out.rglob("*.png")):
        if not file.name.startswith("."):
            from acne_runtime.sources.image_files import read_image

            read_image(file)
    for file in out.rglob("*.mp4"):
        if not file.name.startswith("."):
            from acne_runtime.sources.video_file import Video

            assert list(Video(file)), "no frame"


def check_export(out: Path) -> None:
    from acne_runtime.load import load_model

    for file in (*out.glob("*.onnx"), *out.glob("*.tflite")):
        if not file.name.startswith("."):
            load_model(file)(np.zeros((40, 60, 3), np.uint8))


def check_train(out: Path) -> None:
    run = out / "run"
    for file in (*run.rglob("*.json"), *run.rglob("*.toml")):
        text = file.read_text()
        assert text, f"{file.name} is empty"
        if file.suffix == ".json":
            json.loads(text)


def check_monitor(out: Path) -> None:
    finish(["acne-monitor", "verify", str(out / "store")])


def make_inputs(work: Path) -> None:
    """Makes photographs, a video, a labelled set, a run folder and a store."""
    from support.run_folders import write_data
    from support.tiny_models import MANIFESTS, NETWORKS, write_run

    photographs = work / "photographs"
    photographs.mkdir()
    image = cv2.resize(cv2.imread(str(SAMPLE)), (320, 320))
    for index in range(12):
        cv2.imwrite(str(photographs / f"{index}.jpg"), np.roll(image, 20 * index, 1))
    writer = cv2.VideoWriter(str(work / "clip.mp4"), cv2.VideoWriter.fourcc(*"mp4v"), 10, (320, 320))
    for index in range(20):
        writer.write(np.roll(image, 5 * index, 0))
    writer.release()
    (work / "tiny").mkdir()
    write_run(work / "tiny", NETWORKS["detection"](), MANIFESTS["detection"])
    write_data(work / "data")
    (work / "consent.txt").write_text("I agree.")
    for words in (
        ["init", work / "store"],
        ["subject", "add", work / "store", "S1", "--consent", work / "consent.txt"],
    ):
        call(["acne-monitor", *map(str, words)])


def cases(work: Path) -> list[Case]:
    """Returns the commands."""
    photographs, folder, data, store = (work / name for name in ("photographs", "tiny", "data", "store"))
    return [
        Case(
            "acne-run, photographs",
            [
                "acne-run",
                "--source",
                str(photographs),
                "--json",
                "{out}/a.jsonl",
                "--csv",
                "{out}/a.csv",
                "--coco",
                "{out}/a.json",
                "--save",
                "{out}/saved",
            ],
            check_run,
        ),
        Case(
            "acne-run, video",
            ["acne-run", "--source", str(work / "clip.mp4"), "--track", "--json", "{out}/a.jsonl", "--save", "{out}/s"],
            check_run,
        ),
        Case(
            "acne-export, int8 TFLite",
            [
                "acne-export",
                "--format",
                "tflite",
                "--precision",
                "int8",
                "--run",
                str(folder),
                "--out",
                "{out}/m.tflite",
            ],
            check_export,
            ["--force"],
        ),
        Case(
            "acne-train fit",
            [
                "acne-train",
                "fit",
                "cnn",
                "--data",
                str(data),
                "--input-size",
                "96",
                "--epochs",
                "3",
                "--run",
                "{out}/run",
            ],
            check_train,
            ["--resume"],
        ),
        Case(
            "acne-train data convert",
            ["acne-train", "data", "convert", str(data), "{out}/set", "--to", "coco"],
            check_train,
        ),
        Case(
            "acne-monitor add",
            ["acne-monitor", "add", "{out}/store", "S1", str(photographs / "0.jpg"), "--override"],
            check_monitor,
            ["--view", "again"],
            begin=lambda out: shutil.copytree(store, out / "store"),
        ),
    ]


def kill_once(case: Case, out: Path, words: Sequence[str], after_s: float) -> tuple[str, str]:
    """Kills a command once, and runs it to its end; returns what was not whole, and why it did not go on."""

    def fault(call: Callable[[], object]) -> str:
        try:
            call()
        except Exception as error:  # what this looks for
            click.echo(f"{case.name}: {type(error).__name__}: {error}", err=True)
            return f"{case.name}: {type(error).__name__}: {error}"
        return ""

    def go_on() -> None:
        if case.name == "acne-train data convert":  # which writes into a new folder only
            shutil.rmtree(out / "set", ignore_errors=True)
        finish([*words, *case.again] if any(out.iterdir()) else words)  # what it left is there
        case.check(out)

    out.mkdir()
    case.begin(out)
    child = started(words)
    time.sleep(after_s)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    try:
        return fault(lambda: case.check(out)), fault(go_on)
    finally:
        shutil.rmtree(out)


@click.command(help=__doc__)
@click.option("--kills", default=200, show_default=True, help="Of each command.")
@click.option("--only", help="One command of the table.")
def main(kills: int, only: str | None) -> None:
    """Kills, checks and prints."""
    import acne_export.exporting  # noqa: F401
    import acne_trainer.train  # noqa: F401

    rng = np.random.default_rng(0)
    click.echo(f"{'command':28}{'kills':>6}{'seconds':>9}{'not whole':>11}{'not resumed':>13}")
    faults: list[str] = []
    with tempfile.TemporaryDirectory() as name:
        work = Path(name)
        child = os.fork()
        if child == 0:  # TensorFlow must not have run in the process that is forked later
            make_inputs(work)
            os._exit(0)
        os.waitpid(child, 0)
        for case in cases(work):
            if only not in (None, case.name):
                continue
            out = work / "out"
            words = [word.format(out=out) for word in case.words]
            out.mkdir()
            case.begin(out)
            taken = finish(words)
            shutil.rmtree(out)
            found = [kill_once(case, out, words, float(rng.uniform(0, taken))) for _ in range(kills)]
            broken, stuck = (sum(bool(fault) for fault in kind) for kind in zip(*found, strict=True))
            faults += [fault for kind in found for fault in kind if fault]
            click.echo(f"{case.name:28}{kills:6}{taken:9.1f}{broken:11}{stuck:13}")
    click.echo("\n".join(faults[:20]))
    raise SystemExit(bool(faults))


if __name__ == "__main__":
    main()
