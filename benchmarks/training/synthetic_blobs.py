"""A generated detection set: textured backgrounds with blobs of four kinds, whose right answer is known exactly."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

CLASSES = ("comedones", "nodules", "papules", "pustules")
SIZE = 640
"""Side of the photographs in pixels."""
DIAMETERS = (8, 40)
STRENGTHS = (0.4, 1.0)
"""How opaque the blobs are."""
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
    for cells, strength in ((4, 18), (16, 10), (80, 8), (320, 5)):
        grain = rng.normal(0, strength, (cells, cells, 1)) + rng.normal(0, strength / 3, (cells, cells, 3))
        picture += cv2.resize(grain.astype(np.float32), (SIZE, SIZE), interpolation=cv2.INTER_CUBIC)
    boxes: list[tuple[int, ...]] = []
    wanted = 0 if rng.random() < EMPTY_SHARE else rng.integers(3, 25)
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
    top, left = int(y - radius) - 1, int(x - radius) - 1
    window = picture[max(0, top) : int(y + radius) + 2, max(0, left) : int(x + radius) + 2]
    rows, columns = np.mgrid[: window.shape[0], : window.shape[1]].astype(np.float32)
    ring = np.hypot(columns + max(0, left) - x, rows + max(0, top) - y) / radius  # 1 at the blob's edge
    disc = np.clip((1 - ring) * radius + 0.5, 0, 1)  # with an edge of one pixel
    strength = rng.uniform(*STRENGTHS)

    def paint(mask: Picture, colour: tuple[int, int, int]) -> None:
        window[:] += strength * mask[..., None] * (np.array(colour, np.float32) - window)

    if CLASSES[kind] == "comedones":
        paint(disc, (50, 60, 70))
    elif CLASSES[kind] == "nodules":
        paint(np.exp(-((ring / 0.75) ** 4)), (120, 70, 140))
    elif CLASSES[kind] == "papules":
        paint(disc, (70, 60, 200))
    else:
        paint(disc, (70, 60, 200))
        paint(np.clip((0.55 - ring) * radius + 0.5, 0, 1), (150, 220, 235))
