"""From a detector's raw heads to candidate boxes: one box a lesion, whatever its type.

A cell has a probability `p` of each type. Its lesion score is the probability that any of them is there, as if they
were independent: `1 - (1 - p_1) * (1 - p_2) * ... * (1 - p_K)`, in float32, multiplied in the order of the classes.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from acne_runtime.errors import ModelError
from acne_runtime.manifest import InputSpec, Manifest, OutputSpec


class Candidates(NamedTuple):
    """Boxes that passed the threshold.

    Attributes:
        boxes: `[n, 4]` float32 `xyxy`, pixels of the model's input.
        scores: `[n]` float32, 0 to 1: the lesion score, or that of the class.
        classes: `[n]` int64 class indices, each that of the largest score.
        types: `[n, classes]` float32, the probability of each type; `None` for models that do not say (Ultralytics'),
            whose boxes are told apart by class.
    """

    boxes: NDArray[np.float32]
    scores: NDArray[np.float32]
    classes: NDArray[np.int64]
    types: NDArray[np.float32] | None = None

    def take(self, chosen: NDArray[Any]) -> Candidates:
        """Returns some of them, in the order of the indices, or those of a mask."""
        types = None if self.types is None else self.types[chosen]
        return Candidates(self.boxes[chosen], self.scores[chosen], self.classes[chosen], types)


def lesion_scores(types: NDArray[np.float32]) -> NDArray[np.float32]:
    """Returns `[n]`, the probability that a lesion of any type is there, see above; NaN where a `types` is none.

    Args:
        types: `[n, classes]` float32, the probability of each type.
    """
    absent = 1 - types[:, 0]
    for index in range(1, types.shape[1]):  # in this order on every device: `prod` may take another
        absent = absent * (1 - types[:, index])
    if are_probabilities(types):
        return 1 - absent
    # Two factors below 0 would make a sound score of two probabilities that are none.
    sound = (types >= 0).all(axis=1) & (types <= 1).all(axis=1)
    return np.where(sound, 1 - absent, np.float32(np.nan))


def are_probabilities(values: NDArray[np.float32]) -> bool:
    """Returns whether all values, if there are any, lie within 0 to 1; NaN does not."""
    return bool(values.min(initial=0) >= 0 and values.max(initial=0) <= 1)


def decode(
    outputs: Mapping[str, NDArray[np.float32]], specs: tuple[OutputSpec, ...], threshold: np.float32, bins: int
) -> Candidates:
    """Thresholds the scores first, and works out the boxes of the few cells that survive.

    Args:
        outputs: By output name: `box` `[1, h, w, 4 * bins]` logits, `score` `[1, h, w, classes]` probabilities.
        specs: Which output is what, with its stride.
        threshold: The least lesion score.
        bins: Bins of each side's distance distribution (DFL, Li et al. 2020): left, top, right, bottom.

    Returns:
        One box a cell. Cells whose score is no number are among them, for the caller to refuse.
    """
    scores_by_stride = {spec.stride: outputs[spec.name][0] for spec in specs if spec.kind == "score"}
    class_count = next(iter(scores_by_stride.values())).shape[-1]
    least = _least_largest(float(threshold), class_count)
    heads, passed, types = [], [], []
    for spec in specs:
        if spec.kind != "box":
            continue
        grid = scores_by_stride[spec.stride]
        # One flat comparison first: the score itself is worked out for the few cells that can reach the threshold.
        (above,) = (grid.ravel() >= least).nonzero()
        if above.size:
            cells = above // class_count
            cells = cells[np.append(True, cells[1:] > cells[:-1])]  # a cell passes once, under however many types
            heads.append((spec, grid.shape))
            passed.append(cells)
            types.append(grid.reshape(-1, class_count)[cells])
    found = np.concatenate([*types, np.empty((0, class_count), np.float32)])
    scores = lesion_scores(found)
    kept = ~(scores < threshold)  # NaN as well
    found, scores = found[kept], scores[kept]
    if not len(scores):
        return Candidates(np.empty((0, 4), np.float32), scores, np.empty(0, np.int64), found)
    logits, places, start = [], [], 0
    for (spec, shape), cells in zip(heads, passed, strict=True):
        chosen = cells[kept[start : start + len(cells)]]
        logits.append(outputs[spec.name].reshape(-1, 4 * bins)[chosen])
        places.append(_cells(shape[0], shape[1], spec.stride)[chosen])
        start += len(cells)
    by_bin = np.ascontiguousarray(np.concatenate(logits).reshape(-1, bins).T)  # whose sums and maxima are quick
    weights = np.exp(by_bin - by_bin.max(axis=0))
    sides = (weights * np.arange(bins, dtype=np.float32)[:, None]).sum(axis=0) / weights.sum(axis=0)
    place = np.concatenate(places)
    boxes = place[:, :4] + sides.reshape(-1, 4) * place[:, 4:]
    return Candidates(boxes, scores, found.argmax(axis=1), found)


def _least_largest(threshold: float, class_count: int) -> float:
    """Returns what the largest of a cell's probabilities is at least, where its lesion score reaches the threshold.

    With all `p` equal to `m`, the score is `1 - (1 - m) ** classes`. A hair less is taken: the score, in float32, may
    come out higher than it is by half a step a product.
    """
    reached = max(0.0, threshold - 1e-6 * class_count)
    largest: float = 1 - (1 - reached) ** (1 / class_count)
    return largest - 1e-7


@lru_cache(maxsize=64)
def _cells(rows: int, columns: int, stride: int) -> NDArray[np.float32]:
    """Returns `[rows * columns, 8]`: x, y, x, y of each cell's centre in pixels, and -, -, + and + its stride."""
    y, x = np.indices((rows, columns)).reshape(2, -1) + 0.5
    outwards = np.tile([-1, -1, 1, 1], (len(x), 1))
    return np.concatenate([np.stack([x, y, x, y], axis=1), outwards], axis=1, dtype=np.float32) * np.float32(stride)


def read_nms_outputs(
    outputs: Mapping[str, NDArray[np.float32]], manifest: Manifest, threshold: np.float32
) -> Candidates:
    """Reads what a graph with its own decoding and suppression found, best score first.

    Args:
        outputs: By output name, as `OutputSpec.kind` says.
        manifest: Says which output is what.
        threshold: The least lesion score; at least that inside the file.

    Raises:
        ModelError: What should be a count is none.
    """
    box, score, types, count = (
        next(outputs[spec.name][0] for spec in manifest.outputs if spec.kind == f"lesion_{part}")
        for part in ("box", "score", "types", "count")
    )
    if not (count[0] >= 0 and count[0] % 1 == 0):  # nor NaN or infinity, whose remainder is NaN
        raise ModelError(f"{manifest.name}: its graph gives a lesion_count of {count[0]}")
    found = slice(0, int(count[0]))
    inside = Candidates(box[found], score[found], types[found].argmax(axis=1), types[found])
    return inside.take(~(inside.scores < threshold))


def decode_ultralytics(
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
