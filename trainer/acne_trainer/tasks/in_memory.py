"""A labelled split of which all images lie in memory, as the multi-label models see it."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from acne_runtime.manifest import InputSpec
from acne_runtime.preprocess import preprocess
from acne_trainer.config import TrainConfig
from acne_trainer.data.dataset import Dataset
from acne_trainer.data.partial_labels import unlabeled_mask


def input_spec(size: int) -> InputSpec:
    """Returns the input contract of the multi-label models: stretched to a square, as the paper did."""
    return InputSpec("image", size, size, "stretch", shrink="average")


def load_arrays(data: Dataset, size: int) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
    """Reads a split through the runtime's own preprocessing.

    Returns:
        Images `[n, size, size, 3]` uint8 RGB and presence `[n, classes]` float32. All stay in memory: 0.5 MB an
        image at 416 pixels.
    """
    images = np.concatenate([preprocess(sample.image(), input_spec(size))[0] for sample in data.samples])
    return images, np.stack([sample.presence(len(data.classes)) for sample in data.samples])


class InMemorySplit:
    """A split in memory, as its models see it.

    Attributes:
        images: `[n, size, size, 3]` uint8 RGB; 0.5 MB an image at 416 pixels.
        targets: `[n, classes]` float32, 0 or 1.
        unknown: `[n, classes]` float32, 1 where a class was not looked for; `None` where all were.
    """

    def __init__(self, data: Dataset, settings: TrainConfig, *, to_train: bool):
        """Reads the photographs.

        Raises:
            SourceError: A photograph cannot be read, or an `absent_unknown` does not fit the set; of photographs to
                train on, also one that matches none of them.
        """
        self.images, self.targets = load_arrays(data, settings.input_size)
        rules = settings.absent_unknown
        self.unknown = unlabeled_mask(data, rules, must_match=to_train) if rules else None

    def targets_of(self, chosen: NDArray[np.int64]) -> tuple[NDArray[np.float32], ...]:
        """Returns what the loss needs to know of the chosen images."""
        if self.unknown is None:
            return (self.targets[chosen],)
        return self.targets[chosen], self.unknown[chosen]
