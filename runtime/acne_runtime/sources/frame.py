"""What every source gives."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class Frame:
    """One picture and where it comes from.

    Attributes:
        image: `[height, width, 3]` uint8 BGR.
        source: A path, or `camera:0`.
        index: From 0 in its source.
        time_s: Seconds from the start of its source.
    """

    image: NDArray[np.uint8]
    source: str
    index: int = 0
    time_s: float = 0.0
