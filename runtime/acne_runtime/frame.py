"""What every source gives."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

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
        size: Width and height of the photograph in pixels, where `image` is it read at 1/2, 1/4 or 1/8.
    """

    image: NDArray[np.uint8]
    source: str
    index: int = 0
    time_s: float = 0.0
    size: tuple[int, int] | None = None

    def full_image(self) -> NDArray[np.uint8]:
        """Returns the picture at its own size, read again from its file where `image` is smaller.

        Raises:
            SourceError: The file has gone.
        """
        if self.size is None:
            return self.image
        from acne_runtime.sources.image_files import read_image

        return read_image(Path(self.source), self.size[0] * self.size[1])
