"""An archive on a Ray cluster of two local nodes, of which one is killed, and then the command itself.

Generates photographs, answers them by the plain command, then by `--engine ray`: a node is killed when a third is
done, the command by `kill -9` when two thirds are, and `--resume` does the rest. Every photograph must be there once,
with the bytes of the plain command. Speed: per worker of two undisturbed ones, against the plain command on one thread.

    python -m benchmarks.runtime.archive_on_ray --photographs 20000 --model acne-cnn
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import click
import cv2
import numpy as np

SAMPLE = Path(__file__).parents[2] / "samples" / "rendered_skin.jpg"
RUN = (sys.executable, "-m", "acne_runtime.cli.run", "--quiet")


def generate(folder: Path, count: int, side: int) -> None:
    image = cv2.imread(str(SAMPLE))
    rng = np.random.default_rng(0)
    folder.mkdir(parents=True, exist_ok=True)
    for index in range(count):
        top, left = (int(rng.integers(0, limit - side + 1)) for limit in image.shape[:2])
        crop = image[top : top + side, left : left + side]
        shifted = cv2.convertScaleAbs(crop, alpha=rng.uniform(0.8, 1.2), beta=rng.uniform(-20, 20))
        (folder / f"{index:07d}.jpg").write_bytes(cv2.imencode(".jpg", shifted)[1].tobytes())


def lines(folder: Path) -> list[str]:
    return sorted(line for file in (folder / "results").glob("part-*.jsonl") for line in file.read_text().splitlines())


def finished(out: Path, part_size: int) -> int:
    return part_size * len(list((out / "results").glob("part-*.jsonl"))) if out.is_dir() else 0


def wait_for(out: Path, part_size: int, count: int, process: subprocess.Popen[bytes]) -> None:
    while finished(out, part_size) < count and process.poll() is None:
        time.sleep(0.2)


def steady_rate(out: Path, part_size: int) -> float:
    """Photographs a second between the first and the last finished part: without the start of Ray."""
    times = sorted(file.stat().st_mtime for file in (out / "results").glob("part-*.jsonl"))
    return part_size * (len(times) - 2) / (times[-2] - times[0])


@click.command()
@click.option("--photographs", default=20_000)
@click.option("--model", default="acne-cnn")
@click.option("--side", default=320, help="Pixels.")
@click.option("--part-size", default=128)
@click.option("--undisturbed", default=4_000, help="Photographs of the measurement of speed.")
def main(photographs: int, model: str, side: int, part_size: int, undisturbed: int) -> None:
    from ray.cluster_utils import Cluster

    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    with tempfile.TemporaryDirectory(prefix="archive-") as name:
        folder = Path(name)
        generate(folder / "all", photographs, side)
        (folder / "some").mkdir()
        for file in sorted((folder / "all").iterdir())[:undisturbed]:
            (folder / "some" / file.name).symlink_to(file)

        plain = folder / "plain.jsonl"
        common = ["--model", model, "--no-timing"]
        started = time.perf_counter()
        subprocess.run([*RUN, "--source", folder / "some", "--threads", "1", "--json", plain, *common], check=True)
        one_thread = undisturbed / (time.perf_counter() - started)
        archive = ["--engine", "ray", "--model", model, "--part-size", str(part_size), "--num-workers", "2"]
        subprocess.run([*RUN, "--source", folder / "some", "--out", folder / "speed", *archive], check=True)
        per_worker = steady_rate(folder / "speed", part_size) / 2
        print(
            f"plain, one thread: {one_thread:.1f}/s; Ray, per worker of two: {per_worker:.1f}/s, "
            f"{per_worker / one_thread:.2f} x"
        )

        started = time.perf_counter()
        subprocess.run([*RUN, "--source", folder / "all", "--json", plain, *common], check=True)
        print(f"plain, all cores: {photographs / (time.perf_counter() - started):.1f}/s")
        cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False})
        second = cluster.add_node(num_cpus=1)
        out = folder / "out"
        command = [*RUN, "--source", folder / "all", "--out", out, *archive, "--cluster", cluster.address]
        process = subprocess.Popen(command)
        wait_for(out, part_size, photographs // 3, process)
        cluster.remove_node(second, allow_graceful=False)
        print(f"a node killed after {finished(out, part_size)} photographs")
        wait_for(out, part_size, 2 * photographs // 3, process)
        process.send_signal(signal.SIGKILL)
        process.wait()
        print(f"the command killed after {finished(out, part_size)} photographs")
        cluster.add_node(num_cpus=1)
        subprocess.run([*command, "--resume"], check=True)
        cluster.shutdown()
        found, expected = lines(out), sorted(plain.read_text().splitlines())
        once = len({json.loads(line)["source"] for line in found}) == len(found) == photographs
        print(f"{len(found)} lines, each photograph once: {once}; the bytes of the plain command: {found == expected}")
        if not once or found != expected:
            raise SystemExit(1)


if __name__ == "__main__":
    main()
