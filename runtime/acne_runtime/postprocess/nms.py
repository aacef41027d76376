"""Non-maximum suppression: of boxes that overlap, the one with the best score is kept; and of boxes in each other."""

from __future__ import annotations

import cv2
import numpy as np

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
        containment: Share of a box's area that lies in a worse, larger one, above which the larger one is dropped; at 1
            none is.
    """
    if containment >= 1 or len(kept.boxes) < 2:
        return kept
    x1, y1, x2, y2 = kept.boxes.T
    width = np.maximum(np.minimum(x2[:, None], x2) - np.maximum(x1[:, None], x1), 0)
    height = np.maximum(np.minimum(y2[:, None], y2) - np.maximum(y1[:, None], y1), 0)
    area = (x2 - x1) * (y2 - y1)
    inside = (width * height > np.float32(containment) * area[:, None]) & (area > area[:, None])
    return kept.take(~np.triu(inside, 1).any(axis=0))  # rows are the better ones
