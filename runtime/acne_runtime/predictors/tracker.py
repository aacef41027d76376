"""Follows lesions from frame to frame: a lesion counts once it has proved itself over several frames.

Each frame alone is noisy: of the lesions shown on one frame, three of ten are below the threshold on the next. So a
lesion's score is its running mean over time, a miss being a score of 0, and what is far below the threshold still
belongs to a lesion that is known. Confirmed at the threshold, a lesion stays until well below it (hysteresis), as in
Canny's edges. All times are in seconds, so that the frame rate does not matter.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from acne_runtime.result import Lesion

FLOOR = 0.25
"""Fraction of the threshold down to which detections are associated with known lesions."""
TIME_CONSTANT_S = 0.28
"""Time constant of the running means."""
CONFIRMED, DROPPED = 1.0, 0.7
"""Mean score over the threshold from which a lesion is confirmed, and below which it no longer is."""
MIN_FRAMES = 3
"""Frames before a lesion can be confirmed: two of them must have shown it."""
FORGOTTEN_AFTER_S = 1.5
"""Seconds without a detection after which a lesion is forgotten; seen later, it is another one."""
_MIN_GATE_PX, _GATE = 6.0, 0.5
"""Distance of two centres within which they may be the same lesion: in pixels, and over the larger one's side."""
_IOU = 0.3
"""Overlap from which boxes may be the same lesion, however far their centres are apart."""
_DISTANCE_COST = 0.3
_BOX_SHARE = 0.4
"""Share of the newest box in a lesion's box."""


@dataclass(slots=True)
class TrackedLesion:
    """What is known of a lesion.

    Attributes:
        box: `[4]` float64 `xyxy` in pixels of the newest frame, a running mean moved with the camera.
        types: `[classes]` float64, running mean of the type probabilities.
        score: Running mean of the score, 0 to 1.
        ratio: Running mean of score over threshold.
        newest_ratio: Score over threshold on the newest frame, 0 for a miss.
        first_s: When it was first detected, in seconds.
        last_s: When it was last detected.
        confirmed_s: When it was confirmed first; `None` before.
        frames: Number of frames since it was first detected.
        confirmed: Whether it counts now.
        id: From 1, in the order of confirmation; `None` before.
    """

    box: NDArray[np.float64]
    types: NDArray[np.float64]
    score: float
    ratio: float
    newest_ratio: float
    first_s: float
    last_s: float
    confirmed_s: float | None = None
    frames: int = 1
    confirmed: bool = False
    id: int | None = None


class Tracker:
    """Associates the detections of consecutive frames.

    Attributes:
        lesions: All lesions that are followed, confirmed or not.
        ids: Number of lesions confirmed so far.
    """

    def __init__(self, classes: Sequence[str], time_constant_s: float = TIME_CONSTANT_S):
        """Creates a tracker that has seen nothing.

        Args:
            classes: The model's class names.
            time_constant_s: Of the running means; infinite for the mean of all frames.
        """
        self._classes, self._time_constant_s = tuple(classes), time_constant_s
        self._time_s = -math.inf
        self.lesions: list[TrackedLesion] = []
        self.ids = 0

    def update(
        self,
        detected: Sequence[Lesion],
        ratios: NDArray[np.float64],
        time_s: float,
        motion: NDArray[np.float64],
        size: tuple[int, int],
    ) -> None:
        """Takes the detections of the next frame.

        Args:
            detected: Down to `FLOOR` times the threshold, best first.
            ratios: `[n]`, the score of each over its threshold.
            time_s: When the frame was taken, not before the last one, in seconds.
            motion: `[2, 3]`, where the points of the last frame are now, see `camera_motion`.
            size: Width and height of the frame in pixels.
        """
        elapsed = max(0.0, time_s - self._time_s)
        self._time_s = time_s
        boxes = np.array([lesion.box for lesion in detected], np.float64).reshape(-1, 4)
        self._move(motion, size)
        pairs = _associate(np.array([one.box for one in self.lesions]).reshape(-1, 4), boxes)
        share = 1 - math.exp(-elapsed / self._time_constant_s)
        for index, lesion in enumerate(self.lesions):
            lesion.frames += 1
            newest = max(share, 1 / lesion.frames)
            match = pairs.get(index)
            score, ratio = (detected[match].score, float(ratios[match])) if match is not None else (0.0, 0.0)
            lesion.score += newest * (score - lesion.score)
            lesion.ratio += newest * (ratio - lesion.ratio)
            lesion.newest_ratio = ratio
            if match is not None:
                lesion.last_s = time_s
                lesion.box += max(_BOX_SHARE, 1 / lesion.frames) * (boxes[match] - lesion.box)
                lesion.types += newest * (self._types(detected[match]) - lesion.types)
            self._confirm(lesion, time_s)
        known = set(pairs.values())
        self.lesions += [
            TrackedLesion(boxes[index], self._types(lesion), lesion.score, ratio, ratio, time_s, time_s)
            for index, (lesion, ratio) in enumerate(zip(detected, ratios.tolist(), strict=True))
            if index not in known
        ]
        self.lesions = [one for one in self.lesions if time_s - one.last_s <= FORGOTTEN_AFTER_S]

    def _confirm(self, lesion: TrackedLesion, time_s: float) -> None:
        if lesion.confirmed:
            lesion.confirmed = lesion.ratio >= DROPPED
        elif lesion.ratio >= CONFIRMED and lesion.frames >= MIN_FRAMES:
            lesion.confirmed = True
            if lesion.id is None:
                self.ids += 1
                lesion.id, lesion.confirmed_s = self.ids, time_s

    def _types(self, lesion: Lesion) -> NDArray[np.float64]:
        if lesion.types is not None:
            return np.array(lesion.types)
        return np.array([lesion.score * (name == lesion.name) for name in self._classes])

    def _move(self, motion: NDArray[np.float64], size: tuple[int, int]) -> None:
        """Moves all lesions with the camera; those whose centre leaves the picture are forgotten."""
        width, height = size
        scale = math.hypot(motion[0, 0], motion[1, 0])
        inside = []
        for lesion in self.lesions:
            x1, y1, x2, y2 = lesion.box
            x, y = motion[:, :2] @ ((x1 + x2) / 2, (y1 + y2) / 2) + motion[:, 2]
            half = np.array([x2 - x1, y2 - y1]) * scale / 2
            lesion.box = np.array([x - half[0], y - half[1], x + half[0], y + half[1]])
            if 0 <= x < width and 0 <= y < height:
                inside.append(lesion)
        self.lesions = inside


def _associate(known: NDArray[np.float64], boxes: NDArray[np.float64]) -> dict[int, int]:
    """Returns which detection belongs to which known lesion: the nearest pairs first, each in one pair at most.

    Args:
        known: `[n, 4]` `xyxy`.
        boxes: `[m, 4]` `xyxy`.
    """
    if not len(known) or not len(boxes):
        return {}
    sides = np.minimum(known[:, None, 2:], boxes[:, 2:]) - np.maximum(known[:, None, :2], boxes[:, :2])
    common = np.clip(sides, 0, None).prod(axis=2)
    areas, others = ((each[:, 2:] - each[:, :2]).prod(axis=1) for each in (known, boxes))
    iou = common / np.maximum(areas[:, None] + others - common, 1e-9)
    centers, other_centers = ((each[:, :2] + each[:, 2:]) / 2 for each in (known, boxes))
    distance = np.linalg.norm(centers[:, None] - other_centers, axis=2)
    side = np.sqrt(np.maximum(areas[:, None], others))
    gate = np.maximum(_MIN_GATE_PX, _GATE * side)
    cost = 1 - iou + _DISTANCE_COST * distance / gate
    first, second = np.nonzero((distance <= gate) | (iou >= _IOU))
    pairs: dict[int, int] = {}
    taken = set()
    for index in np.argsort(cost[first, second], kind="stable"):
        one, other = int(first[index]), int(second[index])
        if one not in pairs and other not in taken:
            pairs[one] = other
            taken.add(other)
    return pairs
