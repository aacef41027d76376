"""Non-maximum suppression: of boxes that show the same lesion, the best stays."""

from __future__ import annotations

import cv2
import numpy as np

from acne_runtime.postprocess.decode import Candidates

MAX_CANDIDATES = 4096
"""Best candidates looked at; the cost grows with their square and no photograph shows that many lesions."""


def non_max_suppression(candidates: Candidates, iou: float, most: int) -> Candidates:
    """Keeps boxes that no better box overlaps by more than `iou`, whatever their types.

    Of models that do not say the probability of each type, only boxes of one class suppress each other, as Ultralytics'
    `predict` has it.

    Args:
        candidates: In any order; scores are numbers.
        iou: Largest intersection over union of two boxes kept, 0 to 1.
        most: Most boxes kept in all.

    Returns:
        The survivors, best score first; equal scores keep the order they came in.
    """
    if not len(candidates.boxes):
        return candidates
    if len(candidates.boxes) > MAX_CANDIDATES:
        candidates = candidates.take(np.argsort(-candidates.scores, kind="stable")[:MAX_CANDIDATES])
    boxes, scores, classes, types = candidates
    # OpenCV tells classes apart by moving each to a place of its own, which holds for coordinates from 0 on only.
    corner = boxes[:, :2] - boxes[:, :2].min(axis=0)
    xywh = np.concatenate([corner, np.maximum(boxes[:, 2:] - boxes[:, :2], 1e-3)], axis=1)
    # All of one class suppress each other. `NMSBoxes`, which knows no classes, would drop scores of 0.
    apart = classes.astype(np.int32) if types is None else np.zeros(len(boxes), np.int32)
    # As a list: OpenCV takes the rows of an array apart three times as slowly.
    kept = cv2.dnn.NMSBoxesBatched(xywh.tolist(), scores, apart, -1.0, iou)  # type: ignore[arg-type]
    return candidates.take(np.asarray(kept, np.int64).ravel()[:most])  # in the order of their scores
