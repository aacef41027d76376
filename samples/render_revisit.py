"""Show a photograph as if it had been taken again another day: other pose, expression, distance, light and lens.

    python samples/render_revisit.py IN.jpg OUT.jpg [--level home] [--seed 0]

Where each point goes is known, so that what compares two visits can be tested. The skin and the background stay the
same, which flatters; real photographs of another day differ more.
"""

import argparse
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

Image = NDArray[np.uint8]
Points = NDArray[np.float64]


@dataclass(frozen=True)
class Level:
    """How far a photograph is from the one before; ranges are from minus to plus."""

    turn_degrees: float
    scale: float
    shift: float  # of the side
    tilt: float  # of the side, at the corners
    bend_px: float  # at 640 px
    gain: float
    gamma: float
    gradient: float
    blur_px: float


LEVELS = {
    "easy": Level(3, 0.05, 0.03, 0.02, 3, 0.08, 0.10, 0.1, 0.6),
    "home": Level(8, 0.15, 0.08, 0.06, 8, 0.15, 0.25, 0.3, 1.2),
    "hard": Level(20, 0.35, 0.15, 0.12, 16, 0.30, 0.50, 0.5, 2.0),
}


class Revisit:
    """One way in which a photograph is taken again."""

    def __init__(self, width: int, height: int, level: Level, rng: np.random.Generator) -> None:
        """Choose pose and expression at random."""
        self.level, self.rng, self.size = level, rng, (width, height)
        side = min(width, height)
        angle = np.deg2rad(rng.uniform(-level.turn_degrees, level.turn_degrees))
        scale = np.exp(rng.uniform(-1, 1) * np.log(1 + level.scale))
        turn = scale * np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
        corners = np.array([[0, 0], [width, 0], [width, height], [0, height]], float)
        center = np.array([width / 2, height / 2])
        moved = (corners - center) @ turn.T + center + rng.uniform(-level.shift, level.shift, 2) * side
        moved += rng.uniform(-level.tilt, level.tilt, (4, 2)) * side
        self.homography = cv2.getPerspectiveTransform(corners.astype(np.float32), moved.astype(np.float32))
        grid = rng.normal(0, 1, (2, 5, 5)).astype(np.float32)
        bend = np.stack([cv2.resize(one, (width, height), interpolation=cv2.INTER_CUBIC) for one in grid], axis=-1)
        self.bend = (bend / (np.abs(bend).max() + 1e-6) * level.bend_px * side / 640).astype(np.float32)

    def points(self, points: Points) -> Points:
        """Return where points `[n,2]` of the first photograph are on the second."""
        if not len(points):
            return np.zeros((0, 2))
        width, height = self.size
        x = np.clip(points[:, 0], 0, width - 1).astype(int)
        y = np.clip(points[:, 1], 0, height - 1).astype(int)
        bent = (points + self.bend[y, x]).astype(np.float32)
        return np.asarray(cv2.perspectiveTransform(bent[None], self.homography)[0], np.float64)

    def boxes(self, boxes: Points) -> Points:
        """Return where boxes `[n,4]` are: upright boxes around the same skin."""
        middle, half = (boxes[:, :2] + boxes[:, 2:]) / 2, (boxes[:, 2:] - boxes[:, :2]) / 2
        center = self.points(middle)
        right, below = (self.points(middle + half * axis) for axis in ((1, 0), (0, 1)))
        sides = np.stack([np.linalg.norm(one - center, axis=1) for one in (right, below)], axis=1)
        return np.concatenate([center - sides, center + sides], axis=1)

    def render(self, image: Image) -> Image:
        """Take the photograph."""
        width, height = self.size
        x, y = np.meshgrid(np.arange(width, dtype=np.float32), np.arange(height, dtype=np.float32))
        there = np.stack([x, y], axis=-1).reshape(1, -1, 2)
        straight = cv2.perspectiveTransform(there, np.linalg.inv(self.homography))[0]
        straight = straight.reshape(height, width, 2).astype(np.float32)
        source = straight.copy()
        for _ in range(8):  # the bend is known where it starts, not where it ends
            bend = cv2.remap(
                self.bend, source[..., 0], source[..., 1], cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE
            )
            source = straight - bend
        moved = cv2.remap(image, source[..., 0], source[..., 1], cv2.INTER_LINEAR, borderValue=(90, 90, 90))
        return expose(np.asarray(moved, np.uint8), self.level, self.rng)


def expose(image: Image, level: Level, rng: np.random.Generator) -> Image:
    """Change light, lens, sensor and JPEG."""
    height, width = image.shape[:2]
    light = image.astype(np.float32) / 255
    angle = rng.uniform(0, 2 * np.pi)
    x, y = np.meshgrid(np.arange(width) / width - 0.5, np.arange(height) / height - 0.5)
    light = light ** np.exp(rng.uniform(-1, 1) * np.log(1 + level.gamma))
    light = light * (1 + 0.5 * rng.uniform(-level.gain, level.gain, 3) + rng.uniform(-level.gain, level.gain))
    light = light * (1 + level.gradient * (x * np.cos(angle) + y * np.sin(angle)))[..., None]
    blur = rng.uniform(0, level.blur_px)
    if blur > 0.2:
        light = cv2.GaussianBlur(light, (0, 0), blur)
    light = np.clip(light + rng.normal(0, 0.012, light.shape), 0, 1)
    jpeg = cv2.imencode(".jpg", (light * 255).astype(np.uint8), [cv2.IMWRITE_JPEG_QUALITY, int(rng.integers(75, 95))])[
        1
    ]
    return np.asarray(cv2.imdecode(jpeg, cv2.IMREAD_COLOR), np.uint8)


def heal(image: Image, boxes: Points) -> Image:
    """Remove the lesions in boxes `[n,4]`: the skin around them grows in (inpainting, Telea 2004)."""
    mask = np.zeros(image.shape[:2], np.uint8)
    for x1, y1, x2, y2 in boxes:
        center = (int((x1 + x2) / 2), int((y1 + y2) / 2))
        cv2.ellipse(mask, center, (int((x2 - x1) * 0.6) + 2, int((y2 - y1) * 0.6) + 2), 0, 0, 360, 255, -1)
    return np.asarray(cv2.inpaint(image, mask, 5, cv2.INPAINT_TELEA), np.uint8) if len(boxes) else image


def main() -> None:
    """Read, take again, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("photograph", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--level", choices=LEVELS, default="home")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    image = cv2.imread(str(options.photograph))
    if image is None:
        raise SystemExit(f"cannot read {options.photograph}")
    height, width = image.shape[:2]
    revisit = Revisit(width, height, LEVELS[options.level], np.random.default_rng(options.seed))
    if not cv2.imwrite(str(options.out), revisit.render(np.asarray(image, np.uint8))):
        raise SystemExit(f"cannot write {options.out}")


if __name__ == "__main__":
    main()
