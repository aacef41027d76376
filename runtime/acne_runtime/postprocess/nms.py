"""Non-maximum suppression: of boxes that overlap, the one with the best score is kept; and of boxes in each other."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from acne_runtime.postprocess.decode import Candidates

MAX_CANDIDATES = 4096
"""Candidates considered, the best ones; the cost is quadratic, and no image has that many lesions."""


def non_max_suppression(candidates: Candidates, iou_threshold: float, max_detections: int) -> Candidates:
    """Keeps the boxes that no better box overlaps by more than the threshold, across types.

    For models without type probabilities it works class by class, as Ultralytics' `predict` does.

    Args:
        candidates: In any order; scores are not NaN.
        iou_threshold: Maximum intersection over union of two boxes that are kept, 0 to 1.
        max_detections: Maximum number of boxes kept.

    Returns:
        The boxes kept, best score first; equal scores keep their order.
    """
    if not len(candidates.boxes):
        return candidates
    if len(candidates.boxes) > MAX_CANDIDATES:
        candidates = candidates.take(np.argsort(-candidates.scores, kind="stable")[:MAX_CANDIDATES])
    boxes, scores, classes, types = candidates
    # OpenCV separates classes by an offset per class, which works for coordinates from 0 on only.
    corner = boxes[:, :2] - boxes[:, :2].min(axis=0)
    xywh = np.concatenate([corner, np.maximum(boxes[:, 2:] - boxes[:, :2], 1e-3)], axis=1)
    # With types, all are one class. `NMSBoxes`, which has no classes, would drop scores of 0.
    labels = classes.astype(np.int32) if types is None else np.zeros(len(boxes), np.int32)
    # As a list: converting an array takes OpenCV three times as long.
    kept = cv2.dnn.NMSBoxesBatched(xywh.tolist(), scores, labels, -1.0, iou_threshold)  # type: ignore[arg-type]
    return candidates.take(np.asarray(kept, np.int64).ravel()[:max_detections])  # sorted by score


def drop_surrounding(kept: Candidates, containment: float) -> Candidates:
    """Drops larger boxes around a better one: a lesion's second box, of too low an IoU to be suppressed.

    A smaller box inside a better one stays: it is often a lesion on a larger one.

    Args:
        kept: What `non_max_suppression` kept, best score first.
        containment: Share of a box's area that lies in a worse, larger one, above which the larger one is dropped, 0 to
            1; at 1 none is.

    Returns:
        The others, in their order.
    """
    if containment >= 1 or len(kept.boxes) < 2:
        return kept
    x1, y1, x2, y2 = kept.boxes.T
    area = (x2 - x1) * (y2 - y1)
    overlap = overlap_areas(kept.boxes, kept.boxes)
    inside = (overlap > np.float32(containment) * area[:, None]) & (area > area[:, None])
    return kept.take(~np.triu(inside, 1).any(axis=0))  # rows are the better ones


def overlap_areas(boxes: NDArray[np.float32], others: NDArray[np.float32]) -> NDArray[np.float32]:
    """Returns `[n, m]` float32, the area in square pixels that each box shares with each other one.

    Args:
        boxes: `[n, 4]` float32 `xyxy`, pixels.
        others: `[m, 4]` float32 `xyxy`, pixels.
    """
    left, top, right, bottom = boxes.T[:, :, None]
    x1, y1, x2, y2 = np.ascontiguousarray(others.T)  # columns of four are slow to compute with
    width = np.maximum(np.minimum(right, x2) - np.maximum(left, x1), 0)
    height = np.maximum(np.minimum(bottom, y2) - np.maximum(top, y1), 0)
    area: NDArray[np.float32] = width * height
    return area
