"""A photograph with the boxes that a label file gives it, held to what every form has in common."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike

from acne_runtime.errors import SourceError
from acne_trainer.data.dataset import Sample


def boxed_sample(path: Path, boxes: ArrayLike, classes: ArrayLike, count: int, where: Callable[[int], str]) -> Sample:
    """Makes a sample.

    Args:
        path: The photograph.
        boxes: `[n, 4]`, `xyxy`, pixels.
        classes: `[n]`, index of each box's class.
        count: How many classes there are.
        where: Says file and line of a box, by its index.

    Raises:
        SourceError: A box has no area or a class that is not there.
    """
    xyxy = np.array(boxes, np.float32).reshape(-1, 4)
    labels = np.array(classes, np.int32).reshape(-1)
    for index, (x1, y1, x2, y2) in enumerate(xyxy):
        if not (np.isfinite(xyxy[index]).all() and x2 > x1 and y2 > y1):
            raise SourceError(f"{where(index)}: the box {x1:g},{y1:g},{x2:g},{y2:g} (x1,y1,x2,y2) has no area")
        if not 0 <= labels[index] < count:
            raise SourceError(f"{where(index)}: class {labels[index]} is not within 0 to {count - 1}")
    return Sample(path, xyxy, labels)
