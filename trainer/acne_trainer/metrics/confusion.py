"""Confusion matrices."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from acne_trainer.metrics.matching import match
from acne_trainer.metrics.scored_image import ScoredImage

MATCH_IOU = 0.5
"""Minimum IoU of two boxes that match."""


def box_confusion(images: Sequence[ScoredImage], class_count: int) -> NDArray[np.int64]:
    """Counts boxes by ground truth and predicted class, matched one to one whatever their class, best box first.

    Args:
        images: With those predicted boxes only that reach their threshold.
        class_count: The number of classes.

    Returns:
        `[class_count + 1, class_count + 1]`: rows are the ground truth, the last one for false positives; columns are
        the predictions, the last one for missed lesions.
    """
    counts = np.zeros((class_count + 1, class_count + 1), np.int64)
    for image in images:
        gt_index = match(image.gt_boxes, image.pred_boxes, MATCH_IOU)
        matched = gt_index >= 0
        np.add.at(counts, (image.gt_classes[gt_index[matched]], image.pred_classes[matched]), 1)
        counts[-1, :-1] += np.bincount(image.pred_classes[~matched], minlength=class_count)
        counts[:-1, -1] += np.bincount(np.delete(image.gt_classes, gt_index[matched]), minlength=class_count)
    return counts


def class_outcomes(truth: NDArray[np.floating[Any]], predicted: NDArray[np.bool_]) -> NDArray[np.int64]:
    """Counts images by whether they show a class and whether it was predicted.

    Args:
        truth: `[images, classes]`, 0 or 1.
        predicted: `[images, classes]`.

    Returns:
        `[classes, 4]`: true positives, false negatives, false positives, true negatives.
    """
    actual = truth > 0
    parts = (actual & predicted, actual & ~predicted, ~actual & predicted, ~actual & ~predicted)
    return np.stack([part.sum(axis=0) for part in parts], axis=1)


def argmax_confusion(truth: NDArray[np.floating[Any]], scores: NDArray[np.floating[Any]]) -> NDArray[np.int64]:
    """Counts images by first class shown (rows) and highest score (columns), as the argmax agreement does.

    Args:
        truth: `[images, classes]`, 0 or 1.
        scores: `[images, classes]`.
    """
    counts = np.zeros((truth.shape[1],) * 2, np.int64)
    np.add.at(counts, (truth.argmax(axis=1), scores.argmax(axis=1)), 1)
    return counts
