"""Memory over many frames: `python -m benchmarks.runtime.soak --frames 100000`.

Sends frames to `acne-run --source -` through a pipe, each another picture, and reads how much memory the command holds
after each thousandth. Prints the curve, and the slope of its second half per 100,000 frames.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path

import click
import cv2
import numpy as np

SAMPLE = Path(__file__).parents[2] / "samples" / "rendered_skin.jpg"


def resident_mb(pid: int) -> float:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return int(next(line for line in lines if line.startswith("VmRSS")).split()[1]) / 1000


@click.command(help=__doc__)
@click.option("--frames", default=100_000, show_default=True)
@click.option("--model", default="acne-cnn", show_default=True)
@click.option("--backend", default="litert", show_default=True)
def main(frames: int, model: str, backend: str) -> None:
    """Sends, reads and prints."""
    image = cv2.resize(cv2.imread(str(SAMPLE)), (480, 480))
    kinds = [cv2.imencode(".jpg", np.roll(image, 7 * step, step % 2))[1].tobytes() for step in range(64)]
    with tempfile.TemporaryDirectory() as folder:
        words = ["--source", "-", "--model", model, "--backend", backend, "--json", f"{folder}/a.jsonl", "--quiet"]
        process = subprocess.Popen([sys.executable, "-m", "acne_runtime.cli.run", *words], stdin=subprocess.PIPE)
        assert process.stdin is not None
        curve = []
        for index in range(frames):
            process.stdin.write(kinds[index % len(kinds)])
            if index % 1000 == 999:
                process.stdin.flush()
                curve.append(resident_mb(process.pid))
        process.stdin.close()
        code = process.wait()
        with Path(folder, "a.jsonl").open() as lines:
            written = sum(1 for _ in lines)
    half = np.array(curve[len(curve) // 2 :])
    slope = np.polyfit(np.arange(len(half)) * 1000, half, 1)[0] * 100_000
    shown = [f"{(index + 1):>4},000: {curve[index]:.1f} MB" for index in np.linspace(0, len(curve) - 1, 11).astype(int)]
    click.echo("\n".join(shown))
    click.echo(f"{written:,} of {frames:,} frames written, exit code {code}; {slope:+.2f} MB per 100,000 frames")


if __name__ == "__main__":
    main()
