"""Box voting: the box of a lesion is the mean of the candidates that show it, not that of the best one alone.

Many cells see the same lesion, each with a box of its own that is off by a few pixels; their mean is off by less
(Gidaris & Komodakis 2015, section 5). Weights here fall to zero where a candidate stops counting, so that another
device's rounding moves a box by as little as it changes an IoU or a score:

    weight = max(0, IoU with the kept box - nms_iou) * max(0, score - box_voting_score)
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from acne_runtime.postprocess.decode import Candidates
from acne_runtime.postprocess.nms import overlap_areas

MAX_VOTERS = 1024
"""Candidates that may vote, the best ones, so that a graph with NMS inside can do it in little time."""


def vote_on_boxes(kept: Candidates, candidates: Candidates, iou_threshold: float, min_score: float) -> Candidates:
    """Moves the box of each kept candidate to the weighted mean of the boxes of the same lesion, its own included.

    Args:
        kept: What `non_max_suppression` kept; one with a score of at most `min_score` keeps its box.
        candidates: All candidates with a score above `min_score`, also those below the threshold for lesions, so that a
            box does not depend on that threshold. Others are ignored.
        iou_threshold: IoU from which a candidate shows the same lesion, that of the suppression, 0 to 1.
        min_score: Score above which a candidate votes, 0 to 1; at 1 none does.

    Returns:
        The kept candidates with their new boxes, in pixels of the model's input; `kept` itself where nobody votes.
    """
    (voting,) = np.nonzero(candidates.scores > np.float32(min_score))
    if not len(voting) or not len(kept.boxes):
        return kept
    if len(voting) > MAX_VOTERS:
        voting = voting[np.argsort(-candidates.scores[voting], kind="stable")[:MAX_VOTERS]]
    boxes, scores = candidates.boxes[voting], candidates.scores[voting]
    overlap = overlap_areas(kept.boxes, boxes)
    iou = overlap / np.maximum(_areas(kept.boxes)[:, None] + _areas(boxes) - overlap, np.float32(1e-9))
    weights = np.maximum(iou - np.float32(iou_threshold), 0) * (scores - np.float32(min_score))
    total = weights.sum(axis=1, dtype=np.float64)[:, None]
    voted = np.divide(weights @ boxes.astype(np.float64), total, out=kept.boxes.astype(np.float64), where=total > 0)
    return kept._replace(boxes=voted.astype(np.float32))


def _areas(boxes: NDArray[np.float32]) -> NDArray[np.float32]:
    x1, y1, x2, y2 = boxes.T
    area: NDArray[np.float32] = (x2 - x1) * (y2 - y1)
    return area
