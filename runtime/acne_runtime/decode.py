"""From a detector's raw heads to candidate boxes."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from acne_runtime.errors import ModelError
from acne_runtime.manifest import InputSpec, Manifest, OutputSpec


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
    scores_by_stride = {spec.stride: outputs[spec.name][0] for spec in specs if spec.kind == "score"}
    least = min(thresholds.tolist())
    passed, scores, logits, places = [], [], [], []
    for spec in specs:
        if spec.kind != "box":
            continue
        grid = scores_by_stride[spec.stride]
        # One flat comparison first: against a row of thresholds numpy takes ten times as long.
        flat = grid.ravel()
        (above,) = (flat >= least).nonzero()
        if above.size:
            cells = above // len(thresholds)
            passed.append(above)
            scores.append(flat[above])
            logits.append(outputs[spec.name].reshape(-1, 4 * bins)[cells])
            places.append(_cells(grid.shape[0], grid.shape[1], spec.stride)[cells])
    if not passed:
        return Candidates(np.empty((0, 4), np.float32), np.empty(0, np.float32), np.empty(0, np.int64))
    found, classes = np.concatenate(scores), np.concatenate(passed) % len(thresholds)
    by_bin = np.ascontiguousarray(np.concatenate(logits).reshape(-1, bins).T)  # whose sums and maxima are quick
    weights = np.exp(by_bin - by_bin.max(axis=0))
    sides = (weights * np.arange(bins, dtype=np.float32)[:, None]).sum(axis=0) / weights.sum(axis=0)
    place = np.concatenate(places)
    boxes = place[:, :4] + sides.reshape(-1, 4) * place[:, 4:]
    kept = found >= thresholds[classes]
    return Candidates(boxes[kept], found[kept], classes[kept])


@lru_cache(maxsize=64)
def _cells(rows: int, columns: int, stride: int) -> NDArray[np.float32]:
    """Returns `[rows * columns, 8]`: x, y, x, y of each cell's centre in pixels, and -, -, + and + its stride."""
    y, x = np.indices((rows, columns)).reshape(2, -1) + 0.5
    outwards = np.tile([-1, -1, 1, 1], (len(x), 1))
    return np.concatenate([np.stack([x, y, x, y], axis=1), outwards], axis=1, dtype=np.float32) * np.float32(stride)


def suppressed_inside(
    outputs: Mapping[str, NDArray[np.float32]], manifest: Manifest, thresholds: NDArray[np.float32]
) -> Candidates:
    """Reads what a graph with its own decoding and suppression found, best score first.

    Args:
        outputs: By output name, as `OutputSpec.kind` says.
        manifest: Says which output is what.
        thresholds: `[classes]`, the least score of each class; at least those inside the file.

    Raises:
        ModelError: What should be a count or a class is none.
    """
    box, score, kind, count = (
        next(outputs[spec.name][0] for spec in manifest.outputs if spec.kind == f"lesion_{part}")
        for part in ("box", "score", "class", "count")
    )
    if not (count[0] >= 0 and count[0] % 1 == 0):  # nor NaN or infinity, whose remainder is NaN
        raise ModelError(f"{manifest.name}: its graph gives a lesion_count of {count[0]}")
    found = slice(0, int(count[0]))
    if not np.isin(kind[found], np.arange(len(thresholds))).all():
        raise ModelError(f"{manifest.name}: its graph gives a lesion_class that is none of 0 to {len(thresholds) - 1}")
    classes = kind[found].astype(np.int64)
    kept = score[found] >= thresholds[classes]
    return Candidates(box[found][kept], score[found][kept], classes[kept])


def decode_rows(
    outputs: Mapping[str, NDArray[np.float32]], spec: OutputSpec, given: InputSpec, thresholds: NDArray[np.float32]
) -> Candidates:
    """Reads the joined output of an Ultralytics detector; as its `predict` does, each box under its best class only.

    Args:
        outputs: By output name.
        spec: Of kind `row` or `unit_row`.
        given: The model's input, whose sides `unit_row` counts in.
        thresholds: `[classes]`, the least score of each class.
    """
    rows = outputs[spec.name][0]
    classes = rows[4:].argmax(axis=0)
    scores = rows[4:].max(axis=0)
    cells = np.flatnonzero(scores >= thresholds[classes])
    x, y, width, height = rows[:4, cells]
    boxes = np.stack([x - width / 2, y - height / 2, x + width / 2, y + height / 2], axis=1)
    if spec.kind == "unit_row":
        boxes = boxes * np.array([given.width, given.height] * 2, np.float32)
    return Candidates(boxes.astype(np.float32), scores[cells], classes[cells])
