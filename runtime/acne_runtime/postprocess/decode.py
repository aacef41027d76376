"""Decodes a detector's outputs into candidate boxes: one box per lesion, whatever its type.

A cell has a probability `p` of each type. Its lesion score is the probability that any of them is present, as if they
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

ROUNDING = 1e-5
"""Distance from 0 to 1 within which a probability is rounded, not wrong."""


class Candidates(NamedTuple):
    """Boxes above the threshold.

    Attributes:
        boxes: `[n, 4]` float32 `xyxy`, pixels of the model's input.
        scores: `[n]` float32, 0 to 1: the lesion score, or the class score.
        classes: `[n]` int64, the class index with the largest score.
        types: `[n, classes]` float32, the probability of each type; `None` for models without them (Ultralytics),
            whose boxes are separated by class.
    """

    boxes: NDArray[np.float32]
    scores: NDArray[np.float32]
    classes: NDArray[np.int64]
    types: NDArray[np.float32] | None = None

    def take(self, indices: NDArray[Any]) -> Candidates:
        """Returns the candidates at these indices, in their order, or those of a mask."""
        types = None if self.types is None else self.types[indices]
        return Candidates(self.boxes[indices], self.scores[indices], self.classes[indices], types)


def lesion_scores(types: NDArray[np.float32]) -> NDArray[np.float32]:
    """Returns `[n]`, the probability that a lesion of any type is present, see above; NaN for invalid probabilities.

    Args:
        types: `[n, classes]` float32, the probability of each type.
    """
    absent = 1 - types[:, 0]
    for index in range(1, types.shape[1]):  # in this order on every device; that of `prod` is unspecified
        absent = absent * (1 - types[:, index])
    if are_probabilities(types):
        return 1 - absent
    # Two negative factors of invalid probabilities would give a valid score.
    valid = (types >= 0).all(axis=1) & (types <= 1).all(axis=1)
    return np.where(valid, 1 - absent, np.float32(np.nan))


def clip_rounding(values: NDArray[np.float32]) -> NDArray[np.float32]:
    """Returns values, those outside 0 to 1 by at most `ROUNDING` moved to the limit.

    A sigmoid may return 1.0000001 or -6e-8: ONNX Runtime's does, at large logits, on x86 and on ARM.
    """
    limited = np.clip(values, 0, 1)
    clipped: NDArray[np.float32] = np.where(np.abs(values - limited) <= np.float32(ROUNDING), limited, values)
    return clipped


def are_probabilities(values: NDArray[np.float32]) -> bool:
    """Returns whether all values are within 0 to 1; NaN is not, an empty array is."""
    return bool(values.min(initial=0) >= 0 and values.max(initial=0) <= 1)


def decode(
    outputs: Mapping[str, NDArray[np.float32]], specs: tuple[OutputSpec, ...], threshold: np.float32, bins: int
) -> Candidates:
    """Thresholds the scores first and decodes the boxes of the few cells that pass.

    Args:
        outputs: By output name: `box` `[1, h, w, 4 * bins]` logits, `score` `[1, h, w, classes]` probabilities.
        specs: Kind and stride of each output.
        threshold: Minimum lesion score.
        bins: Bins of the distance distribution of each side (DFL, Li et al. 2020): left, top, right, bottom.

    Returns:
        One box per cell. Cells with a NaN score are included, for the caller to reject.
    """
    scores_by_stride = {spec.stride: outputs[spec.name][0] for spec in specs if spec.kind == "score"}
    class_count = next(iter(scores_by_stride.values())).shape[-1]
    minimum = _min_type_score(float(threshold), class_count)
    heads, passed, types = [], [], []
    for spec in specs:
        if spec.kind != "box":
            continue
        grid = scores_by_stride[spec.stride]
        # A flat comparison first: the score is computed only for the few cells that can reach the threshold.
        (above,) = (~(grid.ravel() < minimum)).nonzero()  # NaN as well
        if above.size:
            cells = above // class_count
            cells = cells[np.append(True, cells[1:] > cells[:-1])]  # each cell once, whatever its number of types
            heads.append((spec, grid.shape))
            passed.append(cells)
            types.append(grid.reshape(-1, class_count)[cells])
    probabilities = clip_rounding(np.concatenate([*types, np.empty((0, class_count), np.float32)]))
    scores = lesion_scores(probabilities)
    kept = ~(scores < threshold)  # NaN as well
    probabilities, scores = probabilities[kept], scores[kept]
    if not len(scores):
        return Candidates(np.empty((0, 4), np.float32), scores, np.empty(0, np.int64), probabilities)
    logits, cell_geometry, start = [], [], 0
    for (spec, shape), cells in zip(heads, passed, strict=True):
        selected = cells[kept[start : start + len(cells)]]
        logits.append(outputs[spec.name].reshape(-1, 4 * bins)[selected])
        cell_geometry.append(_cells(shape[0], shape[1], spec.stride)[selected])
        start += len(cells)
    by_bin = np.ascontiguousarray(
        np.concatenate(logits).reshape(-1, bins).T
    )  # contiguous by bin, for fast sums and maxima
    weights = np.exp(by_bin - by_bin.max(axis=0))
    sides = (weights * np.arange(bins, dtype=np.float32)[:, None]).sum(axis=0) / weights.sum(axis=0)
    geometry = np.concatenate(cell_geometry)
    boxes = geometry[:, :4] + sides.reshape(-1, 4) * geometry[:, 4:]
    return Candidates(boxes, scores, probabilities.argmax(axis=1), probabilities)


def _min_type_score(threshold: float, class_count: int) -> float:
    """Returns a lower bound for the largest type probability of a cell whose lesion score reaches the threshold.

    With all `p` equal to `m`, the score is `1 - (1 - m) ** classes`. The bound is slightly lower, since each float32
    product may be rounded up by half a unit in the last place.
    """
    score = max(0.0, threshold - 1e-6 * class_count)
    largest: float = 1 - (1 - score) ** (1 / class_count)
    return largest - 1e-7


@lru_cache(maxsize=64)
def _cells(rows: int, columns: int, stride: int) -> NDArray[np.float32]:
    """Returns `[rows * columns, 8]`: x, y, x, y of each cell's centre in pixels, then -, -, +, + its stride."""
    y, x = np.indices((rows, columns)).reshape(2, -1) + 0.5
    signs = np.tile([-1, -1, 1, 1], (len(x), 1))
    return np.concatenate([np.stack([x, y, x, y], axis=1), signs], axis=1, dtype=np.float32) * np.float32(stride)


def read_nms_outputs(
    outputs: Mapping[str, NDArray[np.float32]], manifest: Manifest, threshold: np.float32
) -> Candidates:
    """Reads the outputs of a graph that includes decoding and NMS, best score first.

    Args:
        outputs: By output name, as `OutputSpec.kind` says.
        manifest: Gives the kind of each output.
        threshold: Minimum lesion score; at least the one inside the file.

    Raises:
        ModelError: The count is invalid.
    """
    box, score, types, count = (
        next(outputs[spec.name][0] for spec in manifest.outputs if spec.kind == f"lesion_{part}")
        for part in ("box", "score", "types", "count")
    )
    if not (count[0] >= 0 and count[0] % 1 == 0):  # NaN and infinity fail too: their remainder is NaN
        raise ModelError(f"{manifest.name}: the model returned an invalid lesion_count, {count[0]}")
    valid = slice(0, int(count[0]))
    scores, probabilities = clip_rounding(score[valid]), clip_rounding(types[valid])
    candidates = Candidates(box[valid], scores, probabilities.argmax(axis=1), probabilities)
    return candidates.take(~(candidates.scores < threshold))


def decode_ultralytics(
    outputs: Mapping[str, NDArray[np.float32]], spec: OutputSpec, input_spec: InputSpec, thresholds: NDArray[np.float32]
) -> Candidates:
    """Decodes the output of an Ultralytics detector; as in its `predict`, each box has its best class only.

    Args:
        outputs: By output name.
        spec: Of kind `row` or `unit_row`.
        input_spec: The model's input; boxes of `unit_row` are fractions of its sides.
        thresholds: `[classes]`, minimum score of each class.
    """
    rows = outputs[spec.name][0]
    classes = rows[4:].argmax(axis=0)
    scores = clip_rounding(rows[4:].max(axis=0))
    cells = np.flatnonzero(~(scores < thresholds[classes]))  # NaN as well
    x, y, width, height = rows[:4, cells]
    width, height = (np.where((side < 0) & (side >= -ROUNDING), 0, side) for side in (width, height))  # rounded too
    boxes = np.stack([x - width / 2, y - height / 2, x + width / 2, y + height / 2], axis=1)
    if spec.kind == "unit_row":
        boxes = boxes * np.array([input_spec.width, input_spec.height] * 2, np.float32)
    return Candidates(boxes.astype(np.float32), scores[cells], classes[cells])
