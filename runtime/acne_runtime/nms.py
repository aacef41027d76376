"""Non-maximum suppression: of boxes that show the same lesion, the best stays."""

from __future__ import annotations

import cv2
import numpy as np

from acne_runtime.decode import Candidates

MOST_CANDIDATES = 4096
"""Best candidates looked at; the cost grows with their square and no photograph shows that many lesions."""


def suppress(candidates: Candidates, iou: float, most: int) -> Candidates:
    """Keeps, class by class, boxes that no better box of that class overlaps by more than `iou`.

    Args:
        candidates: In any order.
        iou: Largest intersection over union of two boxes kept, 0 to 1.
        most: Most boxes kept over all classes.

    Returns:
        The survivors, best score first; equal scores keep the order they came in.
    """
    boxes, scores, classes = candidates
    if not len(boxes):
        return candidates
    if len(boxes) > MOST_CANDIDATES:
        order = np.argsort(-scores, kind="stable")[:MOST_CANDIDATES]
        boxes, scores, classes = boxes[order], scores[order], classes[order]
    # OpenCV tells classes apart by moving each to a place of its own, which holds for coordinates from 0 on only.
    corner = boxes[:, :2] - boxes[:, :2].min(axis=0)
    xywh = np.concatenate([corner, np.maximum(boxes[:, 2:] - boxes[:, :2], 1e-3)], axis=1)
    # As a list: OpenCV takes the rows of an array apart three times as slowly.
    kept = cv2.dnn.NMSBoxesBatched(xywh.tolist(), scores, classes.astype(np.int32), -1.0, iou)  # type: ignore[arg-type]
    chosen = np.asarray(kept, np.int64).ravel()[:most]  # in the order of their scores
    return Candidates(boxes[chosen], scores[chosen], classes[chosen])
