"""How the picture moved from one frame to the next, from the picture itself."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

_WIDTH = 240
"""Pixels to which frames are shrunk: a face moves by whole parts of it, and the flow costs one millisecond."""
_MAX_CORNERS = 120
_MIN_CORNERS = 12
"""Corners that have to agree; fewer of them say nothing of the whole picture."""
_AGREEMENT = 2.0
"""Pixels, at `_WIDTH`, within which a corner agrees with the motion."""
_FLOW = {"winSize": (15, 15), "maxLevel": 3}

STILL: NDArray[np.float64] = np.eye(2, 3)
"""The motion of a camera that does not move."""
STILL.setflags(write=False)


class CameraMotion:
    """Estimates the motion between consecutive frames: sparse optical flow (Lucas-Kanade) and RANSAC."""

    def __init__(self) -> None:
        self._last: NDArray[np.uint8] | None = None

    def __call__(self, image: NDArray[np.uint8]) -> NDArray[np.float64]:
        """Returns where the points of the frame before are now.

        Args:
            image: `[height, width, 3]` uint8 BGR, the next frame.

        Returns:
            `[2, 3]` float64, a turn, a scale and a shift in pixels of the frame; `STILL` for the first frame, one of
            another size, and where the picture does not tell, as after a cut.
        """
        height, width = image.shape[:2]
        scale = min(1.0, _WIDTH / width)
        size = (max(1, round(width * scale)), max(1, round(height * scale)))
        gray = np.asarray(cv2.resize(cv2.cvtColor(image, cv2.COLOR_BGR2GRAY), size, interpolation=cv2.INTER_AREA))
        last, self._last = self._last, gray.astype(np.uint8, copy=False)
        if last is None or last.shape != gray.shape:
            return STILL
        motion = _motion(last, self._last)
        motion[:, 2] /= scale
        return motion


def _motion(last: NDArray[np.uint8], gray: NDArray[np.uint8]) -> NDArray[np.float64]:
    corners = cv2.goodFeaturesToTrack(last, _MAX_CORNERS, 0.01, 8)
    if corners is None or len(corners) < _MIN_CORNERS:
        return STILL.copy()
    moved, found, _ = cv2.calcOpticalFlowPyrLK(last, gray, corners, None, **_FLOW)  # type: ignore[call-overload]
    kept = found.ravel() == 1
    if kept.sum() < _MIN_CORNERS:
        return STILL.copy()
    motion, agreed = cv2.estimateAffinePartial2D(
        corners[kept], moved[kept], method=cv2.RANSAC, ransacReprojThreshold=_AGREEMENT
    )
    if motion is None or agreed.sum() < max(_MIN_CORNERS, kept.sum() / 2):
        return STILL.copy()
    return np.asarray(motion, np.float64)


def speed(motion: NDArray[np.float64], width: int, height: int) -> float:
    """Returns how far the corners of a frame moved, the mean over its longer side.

    Args:
        motion: `[2, 3]`, what `CameraMotion` returned.
        width: Width of the frame in pixels.
        height: Height of the frame in pixels.
    """
    corners = np.array([[0, 0], [width, 0], [0, height], [width, height]], np.float64)
    moved = corners @ motion[:, :2].T + motion[:, 2]
    return float(np.linalg.norm(moved - corners, axis=1).mean()) / max(width, height)
