"""The form every label reader ends in: photographs, each with its boxes."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from acne_runtime.sources.image_files import read_image


@dataclass(frozen=True, slots=True)
class Sample:
    """One photograph and what is marked on it.

    Attributes:
        path: The photograph.
        boxes: `[n, 4]` float32, `xyxy`, pixels of the photograph.
        classes: `[n]` int32, the class of each box, an index into the data set's class names.
        types: `[m]` int32, the classes that the photograph shows, from a table without boxes; `None` where the boxes
            tell.
    """

    path: Path
    boxes: NDArray[np.float32]
    classes: NDArray[np.int32]
    types: NDArray[np.int32] | None = None

    def presence(self, class_count: int) -> NDArray[np.float32]:
        """Returns `[class_count]` float32: 1 for a class that the photograph shows, by its boxes or by the table."""
        present = np.zeros(class_count, np.float32)
        present[self.classes if self.types is None else self.types] = 1
        return present

    def image(self) -> NDArray[np.uint8]:
        """Reads the photograph as the runtime does: `[height, width, 3]` uint8 BGR.

        Raises:
            SourceError: It is missing, empty, truncated, or no picture.
        """
        return read_image(self.path)


@dataclass(frozen=True, slots=True)
class Dataset:
    """One split of a labelled set.

    Attributes:
        path: Where it was read from.
        classes: Class names; their position is the index that boxes carry.
        samples: In the order of the label file.
    """

    path: Path
    classes: tuple[str, ...]
    samples: tuple[Sample, ...]

    @property
    def has_boxes(self) -> bool:
        """Whether lesions are marked one by one, as a detector needs them."""
        return all(sample.types is None for sample in self.samples)

    def fingerprint(self) -> str:
        """Returns a SHA-256 over class names, file names, boxes and classes (not over pixels)."""
        digest = hashlib.sha256("\n".join(self.classes).encode())
        for sample in self.samples:
            digest.update(sample.path.name.encode())
            digest.update(sample.boxes.tobytes())
            digest.update((sample.classes if sample.types is None else sample.types).tobytes())
        return digest.hexdigest()


def names_of(samples: Sequence[Sample]) -> list[str]:
    """Returns what each photograph of a split is called: its file name, or where two share one its path."""
    names = [sample.path.name for sample in samples]
    if len(set(names)) == len(names):
        return names
    common = os.path.commonpath([sample.path.parent for sample in samples])
    return [sample.path.relative_to(common).as_posix() for sample in samples]
