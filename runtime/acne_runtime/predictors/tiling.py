"""Tiled inference for large images: shrunk to the model's input, small lesions would vanish."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from time import perf_counter
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from acne_runtime.errors import ModelError
from acne_runtime.frame import Frame
from acne_runtime.model import Model, Predictor, to_lesions
from acne_runtime.postprocess.decode import Candidates
from acne_runtime.postprocess.nms import non_max_suppression, overlap_areas
from acne_runtime.result import Lesion, Result, Timing

OVERLAP = 96
"""Pixels by which tiles overlap. Nearly every lesion is smaller, so that one of the tiles holds all of it."""
BORDER = 2.0
"""Pixels from a tile's inner border within which a box counts as cut by it."""
INSIDE = 0.7
"""Intersection over the smaller box's area above which a cut box and another are the same lesion."""


def tiles(width: int, height: int, side: int, overlap: int = OVERLAP) -> Iterator[tuple[int, int]]:
    """Yields left and top of evenly spread square tiles that cover an image.

    An image not larger than a tile has one tile, at 0, 0.

    Args:
        width: Width of the image in pixels.
        height: Height of the image in pixels.
        side: Side of a tile in pixels.
        overlap: Minimum overlap of neighbours in pixels, below `side`.
    """
    for top in _starts(height, side, overlap):
        for left in _starts(width, side, overlap):
            yield left, top


def _starts(length: int, side: int, overlap: int) -> list[int]:
    if length <= side:
        return [0]
    count = -(-(length - overlap) // (side - overlap))
    return [round(index * (length - side) / (count - 1)) for index in range(count)]


class _Region(NamedTuple):
    """The result for a part of an image, and where that part is."""

    result: Result
    left: int
    top: int
    right: int
    bottom: int


class TiledModel(Predictor):
    """A detector that processes an image tile by tile, and once as a whole for lesions larger than a tile.

    Its memory, beyond that of the image, is that of one tile.
    """

    def __init__(self, model: Model, overlap: int = OVERLAP, on_tile: Callable[[int, int], None] | None = None):
        """Wraps a detector.

        Args:
            model: The detector; tiles have the size of its input.
            overlap: Minimum overlap of neighbouring tiles in pixels.
            on_tile: Called after each tile with the number of tiles done and their total.

        Raises:
            ModelError: The model is not a detector, or the overlap is not smaller than a tile.
        """
        if model.manifest.task != "detection":
            raise ModelError(f"{model.manifest.name}: not a detector, which tiled inference needs")
        self._side = min(model.manifest.input.width, model.manifest.input.height)
        if not 0 <= overlap < self._side:
            raise ModelError(f"`overlap` {overlap}: not within 0 to {self._side - 1}", parameter="overlap")
        self.model, self.manifest, self._overlap, self._on_tile = model, model.manifest, overlap, on_tile

    def predict(self, frame: Frame) -> Result:
        """Processes one frame; see `Predictor.predict`. `timing` is the sum over all tiles.

        At most `acne_runtime.postprocess.nms.MAX_CANDIDATES` lesions are kept of all tiles together, the best ones.

        Raises:
            ModelError: The image was not read at full size.
        """
        image = frame.image
        if frame.size is not None and frame.size != (image.shape[1], image.shape[0]):
            raise ModelError("tiled inference needs the image at full size; read it without a reading scale")
        full = self.model.predict(Frame(image, frame.source, frame.index, frame.time_s))
        regions = [_Region(full, 0, 0, full.width, full.height), *self._predict_tiles(image)]
        begun = perf_counter()
        lesions = self._merge(regions)
        merging = 1e3 * (perf_counter() - begun)
        timings = [region.result.timing for region in regions]
        timing = Timing(
            sum(timing.preprocess for timing in timings),
            sum(timing.inference for timing in timings),
            sum(timing.postprocess for timing in timings) + merging,
        )
        return Result(
            source=frame.source,
            frame_index=frame.index,
            time_s=frame.time_s,
            width=full.width,
            height=full.height,
            model=full.model,
            classes=full.classes,
            lesions=lesions,
            labels=None,
            timing=timing,
        )

    def _predict_tiles(self, image: NDArray[np.uint8]) -> Iterator[_Region]:
        height, width = image.shape[:2]
        corners = list(tiles(width, height, self._side, self._overlap))
        if len(corners) == 1:  # the full image
            return
        for done, (left, top) in enumerate(corners, start=1):
            right, bottom = min(left + self._side, width), min(top + self._side, height)
            tile = np.ascontiguousarray(image[top:bottom, left:right])
            yield _Region(self.model.predict(Frame(tile, "")), left, top, right, bottom)
            if self._on_tile:
                self._on_tile(done, len(corners))

    def _merge(self, regions: Sequence[_Region]) -> tuple[Lesion, ...]:
        """Returns each lesion once, best score first, in pixels of the full image (that of the first region)."""
        manifest = self.model.manifest
        _, _, _, width, height = regions[0]
        boxes: list[tuple[float, ...]] = []
        lesions: list[Lesion] = []
        cut: list[bool] = []
        for result, left, top, right, bottom in regions:
            for lesion in result.lesions or ():
                x1, y1, x2, y2 = lesion.box
                box = (x1 + left, y1 + top, x2 + left, y2 + top)
                boxes.append(box)
                lesions.append(lesion)
                cut.append(
                    (left > 0 and box[0] < left + BORDER)
                    or (top > 0 and box[1] < top + BORDER)
                    or (right < width and box[2] > right - BORDER)
                    or (bottom < height and box[3] > bottom - BORDER)
                )
        types = [lesion.types or () for lesion in lesions] if manifest.one_box_per_lesion else None
        candidates = Candidates(
            np.array(boxes, np.float32).reshape(-1, 4),
            np.array([lesion.score for lesion in lesions], np.float32),
            np.array([manifest.classes.index(lesion.name) for lesion in lesions], np.int64),
            None if types is None else np.array(types, np.float32).reshape(-1, len(manifest.classes)),
        )
        kept = non_max_suppression(
            _merge_cut_boxes(candidates, np.array(cut, bool)),
            manifest.nms_iou,
            manifest.max_detections * max(1, len(regions) - 1),
        )
        return to_lesions(kept, kept.boxes, manifest.classes)


def _merge_cut_boxes(candidates: Candidates, cut: NDArray[np.bool_]) -> Candidates:
    """Returns the candidates without cut boxes that are part of another one.

    A cut box never replaces the whole lesion, whatever its score; of cut boxes alone, the best is kept. A part of a
    lesion may look like another type, so types are compared only for models without type probabilities.

    Args:
        candidates: Boxes in pixels of the image.
        cut: `[n]`, whether a tile's border cuts the box.
    """
    order = np.lexsort([-candidates.scores, cut])
    kept = ~cut
    for index in order[np.count_nonzero(kept) :]:
        others = kept if candidates.types is not None else kept & (candidates.classes == candidates.classes[index])
        overlaps = _intersection_over_smaller(candidates.boxes[index], candidates.boxes[others])
        kept[index] = not (overlaps > INSIDE).any()
    return candidates.take(order[kept[order]])


def _intersection_over_smaller(box: NDArray[np.float32], others: NDArray[np.float32]) -> NDArray[np.float32]:
    """Returns `[n]`, the intersection of `box` `[4]` with each of `others` `[n, 4]` over the smaller area."""
    intersection = overlap_areas(box[None], others)[0]
    areas = (others[:, 2:] - others[:, :2]).prod(axis=1)
    ratio: NDArray[np.float32] = intersection / np.maximum(np.minimum(areas, (box[2:] - box[:2]).prod()), 1e-9)
    return ratio
