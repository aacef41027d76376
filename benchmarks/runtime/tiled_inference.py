"""What tiled inference costs and finds.

    python -m benchmarks.runtime.tiled_inference [../shared/data/acne4/test]

Cost: photographs of 3, 12 and 48 megapixels, each in a process of its own, in turns; seconds and peak memory, that of
the photograph itself taken off. Found, where a labelled split is named: its photographs pasted at their own resolution
into frames of 12 megapixels, processed whole and tile by tile. A marked lesion is found when a box of any type overlaps
it by half (intersection over union), one to one; nothing was chosen on `test`.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import click
import numpy as np
from numpy.typing import NDArray

from acne_runtime.load import load_model
from acne_runtime.model import Model
from acne_runtime.predictors.tiling import TiledModel
from acne_trainer.data.dataset import Sample
from acne_trainer.data.load import read_split
from acne_trainer.metrics.matching import match
from benchmarks.tables import publish

SIZES = ((2000, 1500), (4000, 3000), (8000, 6000))
FRAME = (4000, 3000)
GAP = 40
"""Pixels between pasted photographs."""
SMALL = 16.0
"""Pixels of a small lesion's longer side."""

CHILD = """
import json, resource, sys, time
import cv2, numpy as np
from acne_runtime.load import load_model
from acne_runtime.predictors.tiling import TiledModel, tiles
width, height = {size}
image = cv2.resize(cv2.imread("samples/rendered_skin.jpg"), (width, height), interpolation=cv2.INTER_NEAREST)
model = TiledModel(load_model(threads=2))
model(np.ascontiguousarray(image[:640, :640]))
started = time.perf_counter()
result = model(image)
seconds = time.perf_counter() - started
unit = 1 if sys.platform == "darwin" else 1024
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit - image.nbytes
print(json.dumps([seconds, peak / 1e6, len(list(tiles(width, height, 640)))]))
"""


@click.command(help=__doc__)
@click.argument("split", required=False, type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option("--runs", default=3, show_default=True)
def main(split: Path | None, runs: int) -> None:
    """Measures and prints."""
    taken: dict[tuple[int, int], list[list[float]]] = {size: [] for size in SIZES}
    for _ in range(runs):
        for size, rows in taken.items():
            child = subprocess.run([sys.executable, "-c", CHILD.format(size=size)], check=True, capture_output=True)
            rows.append(json.loads(child.stdout))
    table = []
    before = 0.0
    for (width, height), rows in taken.items():
        seconds, peak, count = np.median(rows, axis=0)
        table.append(
            {
                "megapixels": round(width * height / 1e6),
                "tiles": round(count),
                "seconds": round(seconds, 2),
                "times the row above": f"{seconds / before:.1f}" if before else "",
                "peak MB besides the photograph": round(peak),
            }
        )
        before = seconds
    publish("tiled_inference_cost", table)
    if split:
        _recall(split)


def _recall(split: Path) -> None:
    model = load_model(threads=2)
    samples = read_split(split.parent, split.name).samples
    ways = {"whole": [], "tiles": [], "alone": []}  # type: dict[str, list[tuple[NDArray[np.bool_], int]]]
    sides: list[NDArray[np.float32]] = []
    for frame, boxes in _frames(samples):
        sides.append((boxes[:, 2:] - boxes[:, :2]).max(axis=1))
        for way, runner in (("whole", model), ("tiles", TiledModel(model))):
            ways[way].append(_found(runner, frame, boxes))
    alone_sides = []
    for sample in samples:
        alone_sides.append((sample.boxes[:, 2:] - sample.boxes[:, :2]).max(axis=1, initial=0))
        ways["alone"].append(_found(model, sample.image(), sample.boxes))
    small = np.concatenate(sides) <= SMALL
    small_alone = np.concatenate(alone_sides) <= SMALL
    click.echo(f"\n{len(samples)} photographs of {split}, {len(small)} lesions, {small.sum()} up to {SMALL:.0f} px")
    rows = []
    for way, told in (
        ("whole", "12 megapixel frames, whole"),
        ("tiles", "12 megapixel frames, --tile"),
        ("alone", "each photograph by itself"),
    ):
        hit = np.concatenate([one for one, _ in ways[way]])
        count = sum(number for _, number in ways[way])
        of_small = hit[small_alone if way == "alone" else small].mean()
        rows.append(
            {
                "input": told,
                "recall": round(hit.mean(), 3),
                f"of those up to {SMALL:.0f} px": round(of_small, 3),
                "boxes": count,
                "precision": round(hit.sum() / max(1, count), 3),
            }
        )
    publish("tiled_inference_recall", rows)


def _found(
    runner: Model | TiledModel, image: NDArray[np.uint8], boxes: NDArray[np.float32]
) -> tuple[NDArray[np.bool_], int]:
    """Returns which of the marked lesions were found, and by how many boxes in all."""
    found = np.array([lesion.box for lesion in runner(image).lesions or ()], np.float64).reshape(-1, 4)
    hit = np.zeros(len(boxes), np.bool_)
    partner = match(boxes.astype(np.float64), found, 0.5)
    hit[partner[partner >= 0]] = True
    return hit, len(found)


def _frames(samples: tuple[Sample, ...]) -> list[tuple[NDArray[np.uint8], NDArray[np.float32]]]:
    """Pastes photographs in rows into frames of their mean colour."""
    frames, waiting = [], list(samples)
    while waiting:
        image, boxes = np.zeros((FRAME[1], FRAME[0], 3), np.uint8), []
        left, top, row = 0, 0, 0
        while waiting:
            photo = waiting[0].image()
            height, width = photo.shape[:2]
            if left + width > FRAME[0]:
                left, top, row = 0, top + row + GAP, 0
            if top + height > FRAME[1]:
                break
            if not left and not top:
                image[:] = photo.mean(axis=(0, 1)).astype(np.uint8)
            image[top : top + height, left : left + width] = photo
            boxes.append(waiting.pop(0).boxes + np.array([left, top] * 2, np.float32))
            left, row = left + width + GAP, max(row, height)
        frames.append((image, np.concatenate(boxes)))
    return frames


if __name__ == "__main__":
    main()
