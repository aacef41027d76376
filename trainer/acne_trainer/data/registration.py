"""Lays one photograph over another that shows the same skin: a crop, a stretched, turned or mirrored version of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

_RATIO = 0.75
"""A key point's best partner is to be so much nearer than its second best (Lowe 2004, section 7.1, has 0.8)."""
_REACH = 3.0
"""Pixels by which a pair of key points may miss under the transform that explains it."""
MIN_MATCHES, MIN_CORRELATION = 6, 0.85
"""Pairs of key points that agree, and correlation of the two pictures where they overlap, from which on both show the
same skin. Of 38 close-ups of acne4 on their own faces of acne04, 36 reach both, with 6 to 3,300 pairs and a correlation
of 0.88 to 1.00 (one of 0.84 does not); on other people's faces none does: 3 to 7 pairs (16 once, with a correlation of
0.0), correlation at most 0.77."""
_CONTRAST = 0.01
"""SIFT's threshold, a quarter of its usual 0.04: skin has little contrast."""


@dataclass(frozen=True, slots=True)
class Registration:
    """How one photograph lies on another.

    Attributes:
        transform: `[2, 3]` float64, from pixels of the second photograph to pixels of the first.
        mirrored: Whether one shows the other's mirror image.
        matches: Pairs of key points that agree on it.
        correlation: Of the two pictures where they overlap, -1 to 1.
    """

    transform: NDArray[np.float64]
    mirrored: bool
    matches: int
    correlation: float

    @property
    def is_sure(self) -> bool:
        """Whether the two show the same skin beyond doubt."""
        return self.matches >= MIN_MATCHES and self.correlation >= MIN_CORRELATION

    def boxes(self, boxes: NDArray[np.float32]) -> NDArray[np.float32]:
        """Returns the second photograph's boxes `[n, 4]` `xyxy` in the first one's pixels.

        A lesion is rather an ellipse than a rectangle, so the box is that around the ellipse's image.
        """
        linear, shift = self.transform[:, :2], self.transform[:, 2]
        middle = (boxes[:, :2] + boxes[:, 2:]) / 2 @ linear.T + shift
        half = np.sqrt(((boxes[:, 2:] - boxes[:, :2]) / 2) ** 2 @ (linear**2).T)
        return np.concatenate([middle - half, middle + half], axis=1).astype(np.float32)


class KeyPoints:
    """A photograph's SIFT key points (Lowe 2004), as it lies and mirrored."""

    def __init__(self, image: NDArray[np.uint8]):
        """Finds them.

        Args:
            image: `[height, width, 3]` uint8 BGR.
        """
        self.grey = np.asarray(cv2.cvtColor(image, cv2.COLOR_BGR2GRAY), np.uint8)
        sift = cv2.SIFT_create(4000, contrastThreshold=_CONTRAST)  # type: ignore[attr-defined]
        self.upright = sift.detectAndCompute(self.grey, None)
        self.mirrored = sift.detectAndCompute(np.ascontiguousarray(self.grey[:, ::-1]), None)


def register(first: KeyPoints, second: KeyPoints) -> Registration | None:
    """Finds the affine transform that lays the second photograph over the first, mirrored where that fits better.

    Returns:
        The better of upright and mirrored; `None` where hardly any key points pair up.
    """
    width = second.grey.shape[1]
    found = []
    for mirrored, (points, descriptors) in ((False, second.upright), (True, second.mirrored)):
        transform, matches = _fit(first.upright[0], first.upright[1], points, descriptors)
        if transform is not None:
            if mirrored:  # pixel centres: x becomes width - 1 - x
                transform = transform @ np.array([[-1, 0, width - 1], [0, 1, 0], [0, 0, 1]], np.float64)
            found.append(Registration(transform, mirrored, matches, _correlation(first.grey, second.grey, transform)))
    return max(found, key=lambda one: one.matches, default=None)


def _fit(
    points: Sequence[cv2.KeyPoint], descriptors: Any, others: Sequence[cv2.KeyPoint], other_descriptors: Any
) -> tuple[NDArray[np.float64] | None, int]:
    """Returns the transform from `others` to `points`, and how many places agree on it."""
    if min(len(points), len(others)) < MIN_MATCHES:
        return None, 0
    pairs = cv2.BFMatcher(cv2.NORM_L2).knnMatch(other_descriptors, descriptors, k=2)
    good = [pair[0] for pair in pairs if len(pair) == 2 and pair[0].distance < _RATIO * pair[1].distance]
    if len(good) < 4:
        return None, 0
    source = np.array([others[match.queryIdx].pt for match in good], np.float64)
    target = np.array([points[match.trainIdx].pt for match in good], np.float64)
    transform, inliers = cv2.estimateAffine2D(source, target, ransacReprojThreshold=_REACH, maxIters=5000)
    if transform is None:
        return None, 0
    # Several key points at one place are one witness.
    places = {tuple(place) for place in np.round(source[inliers.ravel() > 0]).astype(int).tolist()}
    return np.asarray(transform, np.float64), len(places)


def _correlation(first: NDArray[np.uint8], second: NDArray[np.uint8], transform: NDArray[np.float64]) -> float:
    size = first.shape[1::-1]
    moved = cv2.warpAffine(second, transform, size)
    inside = cv2.warpAffine(np.full_like(second, 255), transform, size, flags=cv2.INTER_NEAREST) > 0
    if inside.sum() < 32 * 32:
        return 0.0
    a, b = first[inside].astype(np.float64), moved[inside].astype(np.float64)
    spread = a.std() * b.std()
    return float(((a - a.mean()) * (b - b.mean())).mean() / spread) if spread > 0 else 0.0
