"""From a detector's raw heads to candidate boxes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from acne_runtime.manifest import OutputSpec


class Candidates(NamedTuple):
    """Boxes that passed their class's threshold; one box may stand here under several classes.

    Attributes:
        boxes: `[n, 4]` float32 `xyxy`, pixels of the model's input.
        scores: `[n]` float32, 0 to 1.
        classes: `[n]` int64 class indices.
    """

    boxes: NDArray[np.float32]
    scores: NDArray[np.float32]
    classes: NDArray[np.int64]


def decode(
    outputs: Mapping[str, NDArray[np.float32]],
    specs: tuple[OutputSpec, ...],
    thresholds: NDArray[np.float32],
    bins: int,
) -> Candidates:
    """Thresholds the scores first, and works out the boxes of the few cells that survive.

    Args:
        outputs: By output name: `box` `[1, h, w, 4 * bins]` logits, `score` `[1, h, w, classes]` probabilities.
        specs: Which output is what, with its stride.
        thresholds: `[classes]`, the least score of each class.
        bins: Bins of each side's distance distribution (DFL, Li et al. 2020): left, top, right, bottom.
    """
    found = []
    scores_by_stride = {spec.stride: outputs[spec.name] for spec in specs if spec.kind == "score"}
    for spec in specs:
        if spec.kind != "box":
            continue
        score = scores_by_stride[spec.stride][0]
        rows, columns, classes = np.nonzero(score >= thresholds)
        if not rows.size:
            continue
        distances = outputs[spec.name][0, rows, columns].reshape(-1, 4, bins)
        weights = np.exp(distances - distances.max(axis=-1, keepdims=True))
        weights /= weights.sum(axis=-1, keepdims=True)
        sides = weights @ np.arange(bins, dtype=np.float32)
        centres = np.stack([columns, rows], axis=1).astype(np.float32) + np.float32(0.5)
        boxes = np.concatenate([centres - sides[:, :2], centres + sides[:, 2:]], axis=1) * np.float32(spec.stride)
        found.append(Candidates(boxes, score[rows, columns, classes], classes))
    if not found:
        return Candidates(np.empty((0, 4), np.float32), np.empty(0, np.float32), np.empty(0, np.int64))
    return Candidates(*(np.concatenate(parts) for parts in zip(*found, strict=True)))


def suppressed_inside(
    outputs: Mapping[str, NDArray[np.float32]], specs: tuple[OutputSpec, ...], thresholds: NDArray[np.float32]
) -> Candidates:
    """Reads what a graph with its own decoding and suppression found, best score first.

    Args:
        outputs: By output name, as `OutputSpec.kind` says.
        specs: Which output is what.
        thresholds: `[classes]`, the least score of each class; at least those inside the file.
    """
    box, score, kind, count = (
        next(outputs[spec.name][0] for spec in specs if spec.kind == f"lesion_{part}")
        for part in ("box", "score", "class", "count")
    )
    found = slice(0, int(count[0]))
    classes = kind[found].astype(np.int64)
    kept = score[found] >= thresholds[classes]
    return Candidates(box[found][kept], score[found][kept], classes[kept])
