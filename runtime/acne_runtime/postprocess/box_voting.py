"""Box voting: the box of a lesion is the mean of the candidates that show it, not that of the best one alone.

Many cells see the same lesion, each with a box of its own that is off by a few pixels; their mean is off by less
(Gidaris & Komodakis 2015, section 5). Weights here fall to zero where a candidate stops counting, so that another
device's rounding moves a box by as little as it changes an IoU or a score:

    weight = max(0, IoU with the kept box - nms_iou) * max(0, score - box_voting_score)
"""

from __future__ import annotations

import numpy as np

from acne_runtime.postprocess.decode import Candidates

MAX_VOTERS = 1024
"""Candidates that may vote, the best ones, so that a graph with NMS inside can do it in little time."""


def vote_on_boxes(kept: Candidates, candidates: Candidates, iou_threshold: float, min_score: float) -> Candidates:
    """Returns the kept candidates with the weighted means of the boxes they suppressed, and of their own.

    Args:
        kept: What `non_max_suppression` kept; one below `min_score` keeps its box.
        candidates: All candidates with a score above `min_score`, whatever the threshold: what a lesion's box is must
            not depend on it. More do no harm.
        iou_threshold: That of the suppression.
        min_score: Score above which a candidate votes; at 1 none does.
    """
    (voting,) = np.nonzero(candidates.scores > np.float32(min_score))
    if not len(voting) or not len(kept.boxes):
        return kept
    if len(voting) > MAX_VOTERS:
        voting = voting[np.argsort(-candidates.scores[voting], kind="stable")[:MAX_VOTERS]]
    # Side by side: columns of four are slow to compute with.
    boxes = np.ascontiguousarray(candidates.boxes[voting].T)
    x1, y1, x2, y2 = boxes
    left, top, right, bottom = kept.boxes.T[:, :, None]
    width = np.maximum(np.minimum(right, x2) - np.maximum(left, x1), 0)
    height = np.maximum(np.minimum(bottom, y2) - np.maximum(top, y1), 0)
    overlap = width * height
    union = (right - left) * (bottom - top) + (x2 - x1) * (y2 - y1) - overlap
    iou = overlap / np.maximum(union, np.float32(1e-9))
    weights = np.maximum(iou - np.float32(iou_threshold), 0) * (candidates.scores[voting] - np.float32(min_score))
    total = weights.sum(axis=1, dtype=np.float64)[:, None]
    voted = np.divide(weights @ boxes.T.astype(np.float64), total, out=kept.boxes.astype(np.float64), where=total > 0)
    return kept._replace(boxes=voted.astype(np.float32))
