"""Aligns two photographs of the same skin, or says why they cannot be compared.

Skin has enough texture of its own (pores, furrows, moles) for SIFT features (Lowe 2004, with the square root of
Arandjelovic and Zisserman 2012) and a homography (MAGSAC++, Barath et al. 2020). What expression and perspective leave,
dense optical flow takes (DIS, Kroeger et al. 2016). A wrong alignment would invent healed and new lesions, so the pair
is refused unless many features agree.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from acne_runtime.quality import skin_mask

WORK_SIDE = 1280
"""Longest side in pixels at which photographs are aligned."""
MIN_INLIERS = 20
"""Features that must agree: other people's photographs reached 5, the same person's aligned rightly from 12 on."""
_GRID, _PER_CELL = 8, 2
"""Parts of a photograph's side, and features that count of each: 20 must come from ten parts or more."""
_MIN_LINES = 3
"""Rows and columns of those parts that must hold features."""
_MAX_STRETCH = 2.5
"""Stretch of one direction over the other: more is no view of the same side of a face."""
_RATIO = 0.8
_TOLERANCE_PX = 6.0
_MIN_AREA, _MAX_AREA = 0.15, 6.0
"""Area of the one photograph in the other."""
_FEATURES = 4000
_CONSISTENT = 1 / 32
"""Distance by which the flow forth and back may miss its start, of the longest side. Less would take a healed lesion,
where the skin did change, for one out of view."""
_FLOW_SMOOTHING = 12.0
_MARGIN = 0.01
"""Part of the longest side at the edge of a photograph where lesions may be cut."""


@dataclass(frozen=True, slots=True)
class Alignment:
    """Where points of the earlier photograph are on the later one.

    Attributes:
        inliers: Number of features that agree.
        refused: Why the photographs cannot be compared, in words; `None` if they can.
        residual_px: Median distance of the agreeing features after the homography, in pixels of the later photograph.
        homography: `[3, 3]`, from pixels of the earlier to pixels of the later photograph.
    """

    inliers: int
    refused: str | None
    residual_px: float | None = None
    homography: NDArray[np.float64] | None = None
    _flow: NDArray[np.float32] | None = None
    _consistent: NDArray[np.bool_] | None = None
    _scales: tuple[float, float] = (1.0, 1.0)
    _size: tuple[int, int] = (0, 0)

    def map(self, points: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
        """Returns points of the earlier photograph on the later one, and which of them are in view.

        Args:
            points: `[n, 2]` in pixels of the earlier photograph.

        Returns:
            `[n, 2]` in pixels of the later photograph, and `[n]`: inside it, where the flow forth and back agree.
        """
        assert self.homography is not None and self._flow is not None and self._consistent is not None
        if not len(points):
            return np.zeros((0, 2)), np.zeros(0, bool)
        height, width = self._flow.shape[:2]
        pixels = np.rint(points * self._scales[0]).astype(int)
        x, y = np.clip(pixels[:, 0], 0, width - 1), np.clip(pixels[:, 1], 0, height - 1)
        moved = points + self._flow[y, x] / self._scales[0]
        mapped = cv2.perspectiveTransform(moved[None].astype(np.float64), self.homography)[0]
        right, bottom = self._size
        margin = _MARGIN * max(self._size)
        inside = ((mapped >= margin) & (mapped <= (right - margin, bottom - margin))).all(axis=1)
        return np.asarray(mapped, np.float64), inside & self._consistent[y, x]

    def map_back(self, points: NDArray[np.float64]) -> NDArray[np.float64]:
        """Returns points of the later photograph on the earlier one, `[n, 2]` in pixels, in view or not."""
        assert self.homography is not None and self._flow is not None
        if not len(points):
            return np.zeros((0, 2))
        straight = cv2.perspectiveTransform(points[None].astype(np.float64), np.linalg.inv(self.homography))[0]
        height, width = self._flow.shape[:2]
        pixels = np.rint(straight * self._scales[0]).astype(int)
        x, y = np.clip(pixels[:, 0], 0, width - 1), np.clip(pixels[:, 1], 0, height - 1)
        return np.asarray(straight - self._flow[y, x] / self._scales[0], np.float64)

    @property
    def scale(self) -> float:
        """Length on the later photograph over length on the earlier one."""
        assert self.homography is not None
        return math.sqrt(abs(np.linalg.det(self.homography[:2, :2])))

    def warp(self, later: NDArray[np.uint8], width: int, height: int) -> NDArray[np.uint8]:
        """Returns the later photograph as the earlier one shows the skin.

        Args:
            later: `[h, w, 3]` uint8 BGR.
            width: Width of the earlier photograph in pixels.
            height: Height of the earlier photograph in pixels.
        """
        assert self.homography is not None and self._flow is not None
        flow = np.asarray(cv2.resize(self._flow, (width, height)), np.float32) / self._scales[0]
        y, x = np.indices((height, width), np.float32)
        points = np.stack([x, y], axis=-1) + flow
        target = cv2.perspectiveTransform(points.reshape(1, -1, 2).astype(np.float64), self.homography)
        target = np.asarray(target, np.float32).reshape(height, width, 2)
        return np.asarray(cv2.remap(later, target[..., 0], target[..., 1], cv2.INTER_LINEAR), np.uint8)


def align(earlier: NDArray[np.uint8], later: NDArray[np.uint8]) -> Alignment:
    """Aligns two photographs of the same view.

    Args:
        earlier: `[height, width, 3]` uint8 BGR.
        later: The same; the size may differ.
    """
    first, second = _prepare(earlier), _prepare(later)
    homography, inliers, residual = _homography(first, second)
    if homography is None:
        return Alignment(inliers, _too_few(inliers))
    if not _is_sane(homography, first.gray.shape, second.gray.shape):
        return Alignment(inliers, "the features that agree do not lie as on one face; take the same view again")
    if inliers < MIN_INLIERS:
        return Alignment(inliers, _too_few(inliers))
    flow, consistent = _flow(first.gray, second.gray, homography)
    to_work, from_work = np.diag([first.scale, first.scale, 1]), np.diag([1 / second.scale, 1 / second.scale, 1])
    full = from_work @ homography @ to_work
    return Alignment(
        inliers,
        None,
        residual / second.scale,
        full / full[2, 2],
        flow,
        consistent,
        (first.scale, second.scale),
        (later.shape[1], later.shape[0]),
    )


def _too_few(inliers: int) -> str:
    return (
        f"only {inliers} points of the skin agree, {MIN_INLIERS} are needed: another view, pose or person, or not "
        "sharp; take the same view again"
    )


@dataclass(frozen=True, slots=True)
class _Prepared:
    gray: NDArray[np.uint8]
    scale: float
    points: NDArray[np.float32]
    features: NDArray[np.float32] | None


def _prepare(image: NDArray[np.uint8]) -> _Prepared:
    scale = min(1.0, WORK_SIDE / max(image.shape[:2]))
    if scale < 1:
        size = (round(image.shape[1] * scale), round(image.shape[0] * scale))
        image = np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_AREA), np.uint8)
    # Green: haemoglobin absorbs it most, so that the skin's own pattern has most contrast there.
    gray = np.asarray(cv2.createCLAHE(3.0, (8, 8)).apply(image[..., 1]), np.uint8)
    skin = np.asarray(cv2.dilate(skin_mask(image).astype(np.uint8), np.ones((15, 15), np.uint8)), np.uint8)
    keypoints, features = cv2.SIFT.create(_FEATURES, contrastThreshold=0.01).detectAndCompute(gray, skin)
    points = np.array([keypoint.pt for keypoint in keypoints], np.float32).reshape(-1, 2)
    if features is not None:
        features = np.sqrt(features / (features.sum(axis=1, keepdims=True) + 1e-7))
    return _Prepared(gray, scale, points, features)


def _homography(first: _Prepared, second: _Prepared) -> tuple[NDArray[np.float64] | None, int, float]:
    """Returns the homography, the number of features that agree, and their median distance after it."""
    if first.features is None or second.features is None or min(len(first.points), len(second.points)) < 8:
        return None, 0, math.inf
    one, other = _match(first.features, second.features)
    if len(one) < 6:
        return None, len(one), math.inf
    source, target = first.points[one], second.points[other]
    homography, mask = cv2.findHomography(
        source, target, cv2.USAC_MAGSAC, _TOLERANCE_PX, maxIters=5000, confidence=0.999
    )
    if homography is None:
        return None, 0, math.inf
    agreed = mask.ravel() > 0
    if not agreed.any():
        return None, 0, math.inf
    mapped = cv2.perspectiveTransform(source[agreed][None], homography)[0]
    inliers = _count_spread(source[agreed], first.gray.shape)
    return (
        np.asarray(homography, np.float64),
        inliers,
        float(np.median(np.linalg.norm(mapped - target[agreed], axis=1))),
    )


def _count_spread(points: NDArray[np.float32], shape: tuple[int, ...]) -> int:
    """Returns the number of features, those of one spot once, and at most `_PER_CELL` of each part of the picture.

    A watermark or a date in the corner agrees on the photographs of all people, with a hundred features in few places.
    """
    height, width = shape[:2]
    spots = np.unique(points.astype(int) // 4, axis=0) * 4
    cells = spots * _GRID // (width, height)
    places, counts = np.unique(cells, axis=0, return_counts=True)
    count = int(np.minimum(counts, _PER_CELL).sum())
    if min(len(np.unique(places[:, axis])) for axis in (0, 1)) < _MIN_LINES:  # a caption or a frame, not a face
        return min(count, _PER_CELL * _GRID)
    return count


def _match(first: NDArray[np.float32], second: NDArray[np.float32]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Returns indices of features whose nearest neighbour is clearly nearer than the second (Lowe's ratio)."""
    similarity = first @ second.T  # of unit vectors: distance**2 = 2 - 2 * similarity
    best = similarity.argmax(axis=1)
    rows = np.arange(len(first))
    nearest = similarity[rows, best].copy()
    similarity[rows, best] = -1
    second_nearest = similarity.max(axis=1)
    distance, other = (np.sqrt(np.clip(2 - 2 * value, 0, None)) for value in (nearest, second_nearest))
    kept = distance < _RATIO * other
    return rows[kept], best[kept]


def _is_sane(homography: NDArray[np.float64], size: Any, other: Any) -> bool:
    """Returns whether a homography maps a photograph on a convex one of a similar size, without a mirror."""
    height, width = size[:2]
    corners = np.array([[[0, 0], [width, 0], [width, height], [0, height]]], np.float64)
    mapped = cv2.perspectiveTransform(corners, homography)[0].astype(np.float32)
    if not np.isfinite(mapped).all() or not cv2.isContourConvex(mapped):
        return False
    area = cv2.contourArea(mapped) / (other[0] * other[1])
    longest, shortest = np.linalg.svd(homography[:2, :2])[1]
    alike = _MIN_AREA < area < _MAX_AREA and longest < _MAX_STRETCH * shortest
    return bool(alike and np.linalg.det(homography[:2, :2]) > 0)


def _flow(
    first: NDArray[np.uint8], second: NDArray[np.uint8], homography: NDArray[np.float64]
) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """Returns `[h, w, 2]`, what the homography leaves, and `[h, w]`, where the flow back agrees with it."""
    height, width = first.shape
    warped = cv2.warpPerspective(second, np.linalg.inv(homography), (width, height), borderMode=cv2.BORDER_REPLICATE)
    dis = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
    smooth = [
        np.asarray(
            cv2.GaussianBlur(dis.calc(one, other, np.zeros((*one.shape, 2), np.float32)), (0, 0), _FLOW_SMOOTHING),
            np.float32,
        )
        for one, other in ((first, warped), (warped, first))
    ]
    forth, back = smooth
    y, x = np.indices((height, width), np.float32)
    returned = cv2.remap(back, x + forth[..., 0], y + forth[..., 1], cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    return forth, np.linalg.norm(forth + returned, axis=2) < _CONSISTENT * max(width, height)
