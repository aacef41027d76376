"""What was taken for what."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from acne_trainer.metrics.matching import match
from acne_trainer.metrics.scored_image import MarkedAndFound

OVERLAP = 0.5
"""Least intersection over union of two boxes that mean one lesion."""


def box_confusion(photographs: Sequence[MarkedAndFound], class_count: int) -> NDArray[np.int64]:
    """Counts boxes by what is marked and what was said, matched one to one whatever their class, best box first.

    Args:
        photographs: With those found boxes only that are said.
        class_count: The number of classes.

    Returns:
        `[class_count + 1, class_count + 1]`: rows are what is marked, the last one nothing; columns are what was said,
        the last one nothing.
    """
    counts = np.zeros((class_count + 1, class_count + 1), np.int64)
    for one in photographs:
        partner = match(one.marked, one.found, OVERLAP)
        matched = partner >= 0
        np.add.at(counts, (one.marked_classes[partner[matched]], one.found_classes[matched]), 1)
        counts[-1, :-1] += np.bincount(one.found_classes[~matched], minlength=class_count)
        counts[:-1, -1] += np.bincount(np.delete(one.marked_classes, partner[matched]), minlength=class_count)
    return counts


def class_outcomes(truth: NDArray[np.floating[Any]], said: NDArray[np.bool_]) -> NDArray[np.int64]:
    """Counts photographs by whether a class is on them and whether it was said.

    Args:
        truth: `[photographs, classes]`, 0 or 1.
        said: `[photographs, classes]`.

    Returns:
        `[classes, 4]`: there and said, there but not said, not there but said, neither.
    """
    there = truth > 0
    parts = (there & said, there & ~said, ~there & said, ~there & ~said)
    return np.stack([part.sum(axis=0) for part in parts], axis=1)


def argmax_confusion(truth: NDArray[np.floating[Any]], scores: NDArray[np.floating[Any]]) -> NDArray[np.int64]:
    """Counts photographs by first class shown (rows) and highest score (columns), as the argmax agreement does.

    Args:
        truth: `[photographs, classes]`, 0 or 1.
        scores: `[photographs, classes]`.
    """
    counts = np.zeros((truth.shape[1],) * 2, np.int64)
    np.add.at(counts, (truth.argmax(axis=1), scores.argmax(axis=1)), 1)
    return counts
