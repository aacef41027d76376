"""Render a made-up patch of facial skin with acne lesions: `python samples/render_skin.py [OUT.jpg]`.

Computed, so that the picture needs neither a patient nor a third party's licence. A relief (pores, furrows,
bumps) and maps of the pigments that absorb in skin are built first, then lit and photographed like a surface.
"""

import sys
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

Map = NDArray[np.float32]

SIZE = 640  # pixels, both sides
SEED = 20
YY, XX = np.mgrid[0:SIZE, 0:SIZE].astype(np.float32)

# Linear-light RGB. The absorptions follow the order of the real spectra: haemoglobin takes green, melanin
# takes blue, and blood that lies deep also takes red, which is what makes a nodule look purple.
SKIN = np.array([0.66, 0.385, 0.262], np.float32)
BLOOD = np.array([0.13, 0.82, 0.72], np.float32)
DEEP_BLOOD = np.array([0.42, 0.78, 0.52], np.float32)
MELANIN = np.array([0.38, 0.70, 1.05], np.float32)
PUS = np.array([0.80, 0.58, 0.27], np.float32)
KERATIN = np.array([0.74, 0.56, 0.42], np.float32)

# Centre x, centre y and diameter of each lesion, in pixels.
LESIONS: dict[str, tuple[tuple[int, int, int], ...]] = {
    "nodule": ((208, 452, 68), (468, 150, 54)),
    "papule": ((156, 208, 27), (318, 342, 25), (422, 468, 30), (536, 322, 20), (92, 334, 17)),
    "pustule": ((262, 150, 26), (482, 402, 33), (352, 556, 24), (116, 522, 18)),
    "blackhead": ((352, 102, 10), (388, 240, 8), (228, 286, 8), (330, 214, 6)),
    "whitehead": ((424, 306, 10), (250, 366, 9), (556, 512, 10)),
}


def blur(image: Map, sigma: float) -> Map:
    """Blur a `[h,w]` or `[h,w,3]` map with a Gaussian of `sigma` pixels."""
    return np.asarray(cv2.GaussianBlur(image, (0, 0), sigma), np.float32)


def noise(rng: np.random.Generator, scale: float) -> Map:
    """Make a smooth `[640,640]` field, mean 0 and deviation 1, with features about `scale` pixels wide."""
    side = int(SIZE / scale) + 4
    grid = rng.standard_normal((side, side)).astype(np.float32)
    field = np.asarray(cv2.resize(grid, (SIZE, SIZE), interpolation=cv2.INTER_CUBIC), np.float32)
    return np.asarray((field - field.mean()) / field.std(), np.float32)


def cells(rng: np.random.Generator, spacing: float) -> tuple[Map, Map, Map]:
    """Scatter points on a jittered, bent grid.

    Returns:
        Three `[640,640]` maps: distance to the nearest and to the second nearest point, in spacings, and a
        random number in 0..1 that belongs to the nearest point.
    """
    u = (XX + 0.35 * YY) / spacing + 0.35 * noise(rng, 5 * spacing) + 2
    v = (YY * 0.85) / spacing + 0.35 * noise(rng, 5 * spacing) + 2
    count = int(SIZE * 1.35 / spacing) + 8
    jitter, tags = rng.random((count, count, 2)), rng.random((count, count))
    nearest, second, tag = np.full_like(u, 9), np.full_like(u, 9), np.zeros_like(u)
    for row in (-1, 0, 1):
        for col in (-1, 0, 1):
            i = np.clip(np.floor(v).astype(int) + row, 0, count - 1)
            j = np.clip(np.floor(u).astype(int) + col, 0, count - 1)
            distance = np.hypot(j + jitter[i, j, 0] - u, i + jitter[i, j, 1] - v)
            closer = distance < nearest
            second = np.where(closer, nearest, np.minimum(second, distance))
            tag = np.where(closer, tags[i, j], tag)
            nearest = np.where(closer, distance, nearest)
    return nearest.astype(np.float32), second.astype(np.float32), tag.astype(np.float32)


def fall(distance: Map, width: float, power: float = 2) -> Map:
    """Fall from 1 at the centre to 1/e at `width`; a higher `power` gives a flatter top and a firmer edge."""
    return np.asarray(np.exp(-((distance / width) ** power)), np.float32)


class Surface:
    """What the light meets: relief in pixels, pigment densities and paints, all `[640,640]`."""

    def __init__(self, rng: np.random.Generator) -> None:
        """Grow bare skin: furrows, pores and blotches."""
        self.rng = rng
        near, second, _ = cells(rng, 6.5)
        furrows = fall(second - near, 0.22)
        pore_at, _, depth = cells(rng, 13.0)
        pores = fall(pore_at, 0.13) * depth**3 * np.clip(1.0 + 0.5 * noise(rng, 160), 0.1, 2)
        self.height: Map = (
            -0.42 * blur(furrows, 0.6) * (1 + 0.4 * noise(rng, 90))
            - 1.3 * pores
            + 0.30 * noise(rng, 22)
            + 0.16 * noise(rng, 8)
            + 0.9 * noise(rng, 60)
            + 0.13 * noise(rng, 2.5)
        )
        self.blood: Map = 0.17 + 0.06 * noise(rng, 130) + 0.05 * noise(rng, 45) + 0.035 * noise(rng, 14)
        self.blood += 0.03 * noise(rng, 5) + 0.02 * noise(rng, 2.5)
        self.deep: Map = np.zeros_like(self.blood)
        self.melanin: Map = 0.16 + 0.03 * noise(rng, 170) + 0.02 * noise(rng, 30) + 0.45 * pores
        self.melanin += 0.05 * blur(furrows, 0.6) + 0.02 * noise(rng, 7)
        self.gloss: Map = np.clip(1 + 0.35 * noise(rng, 70) + 0.25 * noise(rng, 9), 0.1, None)
        self.pus: Map = np.zeros_like(self.blood)
        self.keratin: Map = np.zeros_like(self.blood)

    def distance(self, x: float, y: float, diameter: float, rough: float) -> Map:
        """Distance from `(x, y)` in radii; `rough` bends the rings out of round, as no lesion is a circle."""
        angle, stretch = self.rng.uniform(0, np.pi), self.rng.uniform(0.84, 1.0)
        dx, dy = XX - x, YY - y
        along = dx * np.cos(angle) + dy * np.sin(angle)
        across = (dy * np.cos(angle) - dx * np.sin(angle)) / stretch
        bend = noise(self.rng, 0.8 * diameter) + 0.35 * noise(self.rng, 0.3 * diameter)
        ring = np.hypot(along, across) / (diameter / 2)
        return np.asarray(np.maximum(ring * (1 + rough * bend), 0), np.float32)

    def add(self, kind: str, x: float, y: float, diameter: float) -> None:
        """Grow one lesion into the relief and the pigments."""
        radius = diameter / 2
        d = self.distance(x, y, diameter, 0.10)
        mottle = 1 + 0.16 * noise(self.rng, 4) + 0.16 * noise(self.rng, 0.5 * radius + 2)
        core, halo = fall(d, 1.08, 2.4) * mottle, fall(d, 1.9)
        strength = self.rng.uniform(0.85, 1.15)
        if kind == "blackhead":
            self.melanin += 1.9 * strength * fall(d, 0.85, 3) + 0.12 * fall(d, 1.6)
            self.height += 0.5 * fall(d, 1.3) - 0.9 * fall(d, 0.7)
            self.blood += 0.1 * halo
        elif kind == "whitehead":
            self.keratin += 0.5 * fall(d, 0.95, 2.4)
            self.height += 1.9 * fall(d, 1.0)
            self.blood += 0.22 * fall(d, 2.0)
        elif kind == "nodule":
            wide = fall(d, 1.15, 2.4) * mottle
            self.deep += 0.62 * strength * wide
            self.blood += 0.42 * core + 0.28 * halo
            self.height += 0.26 * radius * fall(d, 0.9)
            self.gloss += 0.5 * wide
        else:
            self.blood += strength * (0.85 * core + 0.40 * halo)
            self.deep += 0.20 * core
            self.height += 0.30 * radius * fall(d, 0.8)
            self.gloss += 0.9 * core
        if kind == "pustule":
            dx, dy = self.rng.uniform(-0.12, 0.12, 2) * radius
            e = self.distance(x + dx, y + dy, 0.46 * diameter, 0.12)
            self.pus += 0.80 * fall(e, 1.05, 2.4) * (1 + 0.12 * noise(self.rng, 4))
            self.height += 0.05 * radius * fall(e, 1.1)
            self.gloss += 0.3 * fall(e, 1.0, 4)


def photograph(skin: Surface, rng: np.random.Generator) -> NDArray[np.uint8]:
    """Light the surface from the upper left and expose it: `[640,640,3]` BGR, 0..255."""
    blood, deep, melanin = (m[..., None] for m in (skin.blood, skin.deep, skin.melanin))
    albedo = SKIN * np.exp(-np.maximum(blood, 0) * BLOOD - deep * DEEP_BLOOD - melanin * MELANIN)
    for paint, cover in ((PUS, skin.pus[..., None]), (KERATIN, skin.keratin[..., None])):
        albedo += (paint - albedo) * np.clip(cover, 0, 1)

    # The cheek turns away from the lens towards the lower right: seen as slow shading, not as relief.
    tilt_x, tilt_y = (XX - 270) / 1000, (YY - 250) / 1050
    slope_x = cv2.Sobel(skin.height, cv2.CV_32F, 1, 0, scale=0.125) - tilt_x
    slope_y = cv2.Sobel(skin.height, cv2.CV_32F, 0, 1, scale=0.125) - tilt_y
    normal = np.dstack([-slope_x, -slope_y, np.ones_like(slope_x)])
    normal /= np.linalg.norm(normal, axis=2, keepdims=True)
    light = np.array([-0.46, -0.52, 0.72], np.float32)
    half = light + np.array([0, 0, 1], np.float32)
    lit = np.maximum(normal @ light, 0).astype(np.float32)
    # Light wanders under the surface before it leaves, red the farthest: without it skin looks like plaster.
    diffuse = np.dstack([blur(lit, sigma) for sigma in (3.0, 1.5, 0.9)]) * 1.05 + 0.33
    shine = np.maximum(normal @ (half / np.linalg.norm(half)), 0)
    specular = skin.gloss * (0.05 * shine**18 + 0.16 * shine**90)
    linear = albedo * diffuse + specular[..., None] * np.array([1.0, 0.97, 0.92], np.float32)

    # Lens and sensor: slight softness, then noise that grows with the signal and is a little smeared.
    linear = blur(linear.astype(np.float32), 0.65)
    grain = blur(rng.standard_normal(linear.shape).astype(np.float32), 0.6)
    linear += grain * np.sqrt(np.maximum(linear, 0) * 6e-4 + 2e-5)
    srgb = np.power(np.clip(linear[..., ::-1], 0, 1), 1 / 2.2)
    return np.asarray(np.round(srgb * 255), np.uint8)


def main() -> None:
    """Render the picture and write it to the first argument, or next to this script."""
    target = Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).with_name("rendered_skin.jpg")
    rng = np.random.default_rng(SEED)
    skin = Surface(rng)
    for kind, places in LESIONS.items():
        for x, y, diameter in places:
            skin.add(kind, x, y, diameter)
    if not cv2.imwrite(str(target), photograph(skin, rng), [cv2.IMWRITE_JPEG_QUALITY, 92]):
        raise SystemExit(f"cannot write {target}")


if __name__ == "__main__":
    main()
