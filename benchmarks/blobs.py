"""A generated detection set: textured backgrounds with blobs of four kinds, whose right answer is known exactly."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

CLASSES = ("comedones", "nodules", "papules", "pustules")
SIZE = 320
"""Side of the photographs in pixels."""
DIAMETERS = (8, 40)
EMPTY_SHARE, OVERLAPPING_SHARE = 0.1, 0.2
_SPLITS = {"train": 400, "valid": 100, "test": 1}

Picture = NDArray[np.float32]


def write_set(folder: Path) -> None:
    """Writes the splits `train`, `valid` and `test` in the Keras TXT form; always the same bytes."""
    for split, count in _SPLITS.items():
        (folder / split).mkdir(parents=True)
        (folder / split / "_classes.txt").write_text("\n".join(CLASSES))
        rng = np.random.default_rng([list(_SPLITS).index(split), SIZE])
        lines = []
        for n in range(count):
            picture, boxes = _photograph(rng)
            cv2.imwrite(str(folder / split / f"{n:04}.png"), picture)
            lines.append(" ".join([f"{n:04}.png", *(",".join(map(str, box)) for box in boxes)]))
        (folder / split / "_annotations.txt").write_text("\n".join(lines))


def _photograph(rng: np.random.Generator) -> tuple[NDArray[np.uint8], list[tuple[int, ...]]]:
    """Returns a picture `[SIZE, SIZE, 3]` uint8 BGR and its boxes (left, top, right, bottom, class)."""
    picture = np.full((SIZE, SIZE, 3), rng.uniform((90, 110, 150), (150, 170, 220)), np.float32)
    for cells, strength in ((3, 18), (8, 10), (40, 8), (160, 5)):
        grain = rng.normal(0, strength, (cells, cells, 1)) + rng.normal(0, strength / 3, (cells, cells, 3))
        picture += cv2.resize(grain.astype(np.float32), (SIZE, SIZE), interpolation=cv2.INTER_CUBIC)
    boxes: list[tuple[int, ...]] = []
    wanted = 0 if rng.random() < EMPTY_SHARE else rng.integers(3, 13)
    while len(boxes) < wanted:
        radius = float(np.exp(rng.uniform(*np.log(DIAMETERS)))) / 2
        x, y = rng.uniform(radius, SIZE - radius, 2)
        overlapping = any(
            x + radius > left and x - radius < right and y + radius > top and y - radius < bottom
            for left, top, right, bottom, _ in boxes
        )
        if overlapping and rng.random() > OVERLAPPING_SHARE:
            continue
        kind = int(rng.integers(len(CLASSES)))
        _draw(picture, kind, x, y, radius, rng)
        edges = np.round([x - radius, y - radius, x + radius, y + radius]).astype(int)
        boxes.append((*edges.tolist(), kind))
    picture += rng.normal(0, 4, picture.shape)
    return picture.clip(0, 255).astype(np.uint8), boxes


def _draw(picture: Picture, kind: int, x: float, y: float, radius: float, rng: np.random.Generator) -> None:
    """Draws one blob into the picture."""
    rows, columns = np.mgrid[:SIZE, :SIZE].astype(np.float32)
    ring = np.hypot(columns - x, rows - y) / radius  # 1 at the blob's edge
    disc = np.clip((1 - ring) * radius + 0.5, 0, 1)  # with an edge of one pixel
    strength = rng.uniform(0.7, 1.0)

    def paint(mask: Picture, colour: tuple[int, int, int]) -> None:
        picture[:] += strength * mask[..., None] * (np.array(colour, np.float32) - picture)

    if CLASSES[kind] == "comedones":
        paint(disc, (50, 60, 70))
    elif CLASSES[kind] == "nodules":
        paint(np.exp(-((ring / 0.75) ** 4)), (120, 70, 140))
    elif CLASSES[kind] == "papules":
        paint(disc, (70, 60, 200))
    else:
        paint(disc, (70, 60, 200))
        paint(np.clip((0.55 - ring) * radius + 0.5, 0, 1), (150, 220, 235))
