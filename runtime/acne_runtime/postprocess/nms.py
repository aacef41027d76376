"""Non-maximum suppression: of boxes that overlap, the one with the best score is kept."""

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
