"""Render a minute of facial skin on which lesions appear and heal: `python samples/render_course.py OUT.mp4`.

Next to the video, `OUT.csv` says how many lesions are on the skin at each second. The camera is held by hand. As in
`render_skin.py`, all is computed and nobody's skin is shown.
"""

import csv
import sys
from pathlib import Path

import cv2
import numpy as np
from render_skin import LESIONS, SEED, Map, Surface, photograph

SECONDS, RATE = 60, 10
FADE_S = 4.0
"""Seconds in which a lesion grows or heals; it counts while it is at least half grown."""
LAYERS = ("height", "blood", "deep", "melanin", "gloss", "pus", "keratin")


def course(rng: np.random.Generator, count: int) -> list[tuple[float, float]]:
    """Choose when each lesion appears and heals, in seconds; some are there from the start, some to the end."""
    times = []
    for number in range(count):
        appears = -10.0 if number % 3 == 0 else float(rng.uniform(5, 35))
        heals = 100.0 if number % 3 == 1 else float(rng.uniform(max(appears, 0) + 14, 58))
        times.append((appears, heals))
    return times


def grown(time_s: float, appears: float, heals: float) -> float:
    """Return how far a lesion is grown, 0 to 1."""
    return float(np.clip(min(time_s - appears, heals - time_s) / FADE_S + 0.5, 0, 1))


def main() -> None:
    """Render the video and the table."""
    target = Path(sys.argv[1]) if len(sys.argv) > 1 else Path("course.mp4")
    rng = np.random.default_rng(SEED)
    skin = Surface(rng)
    bare: dict[str, Map] = {layer: getattr(skin, layer).copy() for layer in LAYERS}
    places = [(kind, place) for kind, at in LESIONS.items() for place in at]
    added: list[dict[str, Map]] = []
    for kind, (x, y, diameter) in places:
        skin.add(kind, x, y, diameter)
        added.append({layer: getattr(skin, layer) - bare[layer] for layer in LAYERS})
        for layer in LAYERS:
            setattr(skin, layer, bare[layer].copy())
    times = course(rng, len(places))
    side = len(bare["blood"])
    video = cv2.VideoWriter(str(target), cv2.VideoWriter.fourcc(*"mp4v"), RATE, (side, side))
    if not video.isOpened():
        raise SystemExit(f"cannot write {target}")
    sway = np.zeros(3)
    with target.with_suffix(".csv").open("w", newline="") as stream:
        table = csv.writer(stream)
        table.writerow(["second", "lesions"])
        for index in range(SECONDS * RATE):
            time_s = index / RATE
            shares = [grown(time_s, *span) for span in times]
            for layer in LAYERS:
                changed = [share * one[layer] for share, one in zip(shares, added, strict=True) if share]
                setattr(skin, layer, bare[layer] + np.sum(changed, axis=0, dtype=np.float32))
            frame = photograph(skin, rng)
            sway = 0.9 * sway + rng.normal(0, (1.0, 1.0, 0.15))
            matrix = cv2.getRotationMatrix2D((side / 2, side / 2), sway[2], 1)
            matrix[:, 2] += sway[:2]
            video.write(cv2.warpAffine(frame, matrix, (side, side), borderMode=cv2.BORDER_REFLECT))
            if index % RATE == 0:
                table.writerow([index // RATE, sum(share >= 0.5 for share in shares)])
    video.release()


if __name__ == "__main__":
    main()
