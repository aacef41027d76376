"""Training a head on a frozen backbone, whose features of each image are computed once and cached."""

from __future__ import annotations

import logging
import os
import socket
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from acne_runtime.errors import AcneEdgeError
from acne_trainer.config import TrainConfig
from acne_trainer.tasks.in_memory import InMemorySplit
from acne_trainer.tasks.multilabel import MultilabelTask, shuffled, validation_scores
from acne_trainer.training.errors import StoppedError

logger = logging.getLogger(__name__)

_AT_ONCE = 8


class FeatureCache:
    """A backbone's features of all images of a split: float16, on disk, computed when they are first needed."""

    def __init__(
        self,
        backbone: keras.Model,
        images: NDArray[np.uint8],
        file: Path,
        stopped: Callable[[], bool] = lambda: False,
    ):
        """Remembers what to compute.

        Args:
            backbone: From images to features.
            images: `[n, size, size, 3]` uint8 RGB.
            file: Where to keep the features; one that is there already is taken as it is.
            stopped: Called after every few images; once it returns true, the computation ends.
        """
        self._backbone, self._images, self._file, self._stopped = backbone, images, file, stopped
        self._values: NDArray[np.float16] | None = None

    def __getitem__(self, chosen: NDArray[np.int64] | slice) -> NDArray[np.float16]:
        """Returns `[n, h, w, channels]` float16, which TensorFlow widens faster than NumPy.

        Raises:
            AcneEdgeError: The disk is full.
            StoppedError: `stopped` returned true.
        """
        if self._values is None:
            if not self._file.exists():
                self._compute()
            self._values = np.load(self._file, mmap_mode="r")
        return np.asarray(self._values[chosen])

    def _compute(self) -> None:
        count, shape = len(self._images), tuple(self._backbone.output.shape[1:])
        logger.info("computing the frozen features of %d photographs, once", count)
        features_of = tf.function(lambda images: self._backbone(tf.cast(images, tf.float32), training=False))
        # A name of its own: several machines may compute the same features into one folder.
        part = self._file.with_suffix(f".{socket.gethostname()}-{os.getpid()}.part.npy")
        try:
            self._file.parent.mkdir(parents=True, exist_ok=True)
            kept = np.lib.format.open_memmap(part, "w+", np.float16, (count, *shape))
            for first in range(0, count, _AT_ONCE):
                # float16 reaches to 65,504
                kept[first : first + _AT_ONCE] = np.clip(
                    features_of(self._images[first : first + _AT_ONCE]), -65504, 65504
                )
                if self._stopped():
                    raise StoppedError(f"stopped after the features of {min(first + _AT_ONCE, count)} photographs")
            kept.flush()
            part.replace(self._file)
        except OSError as error:
            raise AcneEdgeError(
                f"{part}: {error.strerror}; the features take {count * np.prod(shape) * 2:,} bytes"
            ) from error
        finally:
            part.unlink(missing_ok=True)


class FrozenBackboneTask(MultilabelTask):
    """A head trained on the cached features of a frozen backbone."""

    def __init__(
        self,
        settings: TrainConfig,
        train: InMemorySplit,
        valid: InMemorySplit,
        features: tuple[FeatureCache, FeatureCache],
        head: keras.Model,
    ):
        """Remembers the features of the training and of the validation images with their labels."""
        super().__init__(settings, train, valid, head)
        self._of_train, self._of_valid = features

    def batches(self, epoch: int, first: int = 0) -> Iterable[tuple[Any, tuple[NDArray[np.float32], ...]]]:
        """Yields an epoch's batches of features."""
        for chosen in shuffled(self._settings, epoch, len(self._train.images))[first:]:
            yield self._of_train[chosen], self._train.targets_of(chosen)

    def validate(self, network: keras.Model) -> dict[str, float]:
        """Returns `validation_scores` of a head."""
        parts = [slice(first, first + _AT_ONCE) for first in range(0, len(self._valid.images), _AT_ONCE)]
        predicted = np.concatenate([np.asarray(network(self._of_valid[part], training=False)) for part in parts])
        return validation_scores(self._valid, predicted)
