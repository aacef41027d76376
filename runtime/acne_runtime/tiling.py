"""Large photographs, tile by tile at their own resolution: shrunk to the model's input, small lesions would vanish."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from time import perf_counter

import numpy as np
from numpy.typing import NDArray

from acne_runtime.errors import ModelError
from acne_runtime.model import Model, to_lesions
from acne_runtime.postprocess.decode import Candidates
from acne_runtime.postprocess.nms import non_max_suppression
from acne_runtime.result import Lesion, Result, Timing

OVERLAP = 96
"""Pixels by which tiles overlap: the side of nearly every lesion, so that one of them sees it whole."""
BORDER = 2.0
"""Pixels from a tile's inner border within which a box counts as cut off by it."""
INSIDE = 0.7
"""Share of a smaller box inside a larger one from which both are the same lesion."""


def tiles(width: int, height: int, side: int, overlap: int = OVERLAP) -> Iterator[tuple[int, int]]:
    """Returns left and top of tiles of `side` pixels that cover a photograph, spread evenly, overlapping at least so.

    A photograph not larger than a tile has one tile, at 0, 0.

    Args:
        width: Of the photograph in pixels.
        height: The same.
        side: Of a tile.
        overlap: Least overlap of neighbours, below `side`.
    """
    for top in _starts(height, side, overlap):
        for left in _starts(width, side, overlap):
            yield left, top


def _starts(length: int, side: int, overlap: int) -> list[int]:
    if length <= side:
        return [0]
    count = -(-(length - overlap) // (side - overlap))
    return [round(place * (length - side) / (count - 1)) for place in range(count)]


class TiledModel:
    """A detector that looks at a photograph's tiles, and at the whole for what no tile holds.

    It is called as a `Model` is. Memory beyond the photograph is that of one tile.
    """

    def __init__(self, model: Model, overlap: int = OVERLAP, on_tile: Callable[[int, int], None] | None = None):
        """Wraps a detector.

        Args:
            model: The detector; its input's size is the tiles'.
            overlap: Pixels by which tiles overlap at least.
            on_tile: Is called after each tile with how many are done, and of how many.

        Raises:
            ModelError: The model finds no boxes, or the overlap leaves no step from tile to tile.
        """
        if model.manifest.task != "detection":
            raise ModelError(f"--tile: {model.manifest.name} finds no boxes")
        self._side = min(model.manifest.input.width, model.manifest.input.height)
        if not 0 <= overlap < self._side:
            raise ModelError(f"--tile-overlap {overlap}: not within 0 to {self._side - 1}")
        self.model, self.manifest, self._overlap, self._on_tile = model, model.manifest, overlap, on_tile

    def __call__(
        self,
        image: NDArray[np.uint8],
        *,
        source: str = "",
        frame: int = 0,
        time_s: float = 0.0,
        size: tuple[int, int] | None = None,
    ) -> Result:
        """Looks at one photograph; see `Model.__call__`. `timing` sums over all tiles.

        Of all tiles together, at most `acne_runtime.postprocess.nms.MAX_CANDIDATES` lesions are kept, the best ones.

        Raises:
            ModelError: The photograph was read at less than its size: `size` is not that of `image`.
        """
        if size is not None and size != (image.shape[1], image.shape[0]):
            raise ModelError("tiles are cut from a photograph at its own size; read it without a reading scale")
        whole = self.model(image, source=source, frame=frame, time_s=time_s)
        height, width = whole.height, whole.width
        places = list(tiles(width, height, self._side, self._overlap))
        results = [(whole, 0, 0, width, height)]
        if len(places) > 1:
            for done, (left, top) in enumerate(places, start=1):
                right, bottom = min(left + self._side, width), min(top + self._side, height)
                tile = np.ascontiguousarray(image[top:bottom, left:right])
                results.append((self.model(tile), left, top, right, bottom))
                if self._on_tile:
                    self._on_tile(done, len(places))
        begun = perf_counter()
        lesions = self._merged(results, width, height)
        merging = 1e3 * (perf_counter() - begun)
        spent = [one.timing for one, *_ in results]
        timing = Timing(
            sum(one.preprocess for one in spent),
            sum(one.inference for one in spent),
            sum(one.postprocess for one in spent) + merging,
        )
        return Result(source, frame, time_s, width, height, whole.model, whole.classes, lesions, None, timing)

    def _merged(self, results: list[tuple[Result, int, int, int, int]], width: int, height: int) -> tuple[Lesion, ...]:
        """Returns each lesion once, best first: boxes cut off by an inner border give way to the whole ones."""
        manifest = self.model.manifest
        names = manifest.classes
        boxes: list[tuple[float, ...]] = []
        lesions: list[Lesion] = []
        cut: list[bool] = []
        for result, left, top, right, bottom in results:
            for one in result.lesions or ():
                x1, y1, x2, y2 = one.box
                box = (x1 + left, y1 + top, x2 + left, y2 + top)
                boxes.append(box)
                lesions.append(one)
                cut.append(
                    (left > 0 and box[0] < left + BORDER)
                    or (top > 0 and box[1] < top + BORDER)
                    or (right < width and box[2] > right - BORDER)
                    or (bottom < height and box[3] > bottom - BORDER)
                )
        types = [one.types or () for one in lesions] if manifest.one_box_per_lesion else None
        found = Candidates(
            np.array(boxes, np.float32).reshape(-1, 4),
            np.array([one.score for one in lesions], np.float32),
            np.array([names.index(one.name) for one in lesions], np.int64),
            None if types is None else np.array(types, np.float32).reshape(-1, len(names)),
        )
        chosen = non_max_suppression(
            _merge_cut_boxes(found, np.array(cut, bool)),
            manifest.nms_iou,
            manifest.max_detections * max(1, len(results) - 1),
        )
        return to_lesions(chosen, chosen.boxes, names)


def _merge_cut_boxes(found: Candidates, cut: NDArray[np.bool_]) -> Candidates:
    """Returns the boxes that are no cut-off piece of another: whole ones first, whatever their score.

    A piece never wins over the lesion that it is a piece of; of pieces alone, the best stays. A piece may look like a
    lesion of another type than the whole; only models that do not say the types are taken class by class.
    """
    order = np.lexsort([-found.scores, cut])
    kept = ~cut
    for one in order[np.count_nonzero(kept) :]:
        others = kept if found.types is not None else kept & (found.classes == found.classes[one])
        kept[one] = not (_intersection_over_smaller(found.boxes[one], found.boxes[others]) > INSIDE).any()
    return found.at(order[kept[order]])


def _intersection_over_smaller(box: NDArray[np.float32], others: NDArray[np.float32]) -> NDArray[np.float32]:
    """Returns how much of the smaller of two boxes lies in the other, for each of the others."""
    overlap = np.minimum(box[2:], others[:, 2:]) - np.maximum(box[:2], others[:, :2])
    shared = np.clip(overlap, 0, None).prod(axis=1)
    areas = (others[:, 2:] - others[:, :2]).prod(axis=1)
    share: NDArray[np.float32] = shared / np.maximum(np.minimum(areas, (box[2:] - box[:2]).prod()), 1e-9)
    return share
