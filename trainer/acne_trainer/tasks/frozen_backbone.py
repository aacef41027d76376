"""Training a head on a frozen backbone, whose answer to each photograph is computed once and kept."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable, Iterable
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from acne_runtime.errors import AcneEdgeError
from acne_trainer.config import Settings
from acne_trainer.tasks.multilabel import LabelledPhotographs, shuffled, validation_scores, work_on_labels
from acne_trainer.training.loop import StoppedError, Work

_AT_ONCE = 8


class Features:
    """A backbone's answers to all photographs of a split: float16, on disk, computed when they are first needed."""

    def __init__(
        self,
        backbone: keras.Model,
        images: NDArray[np.uint8],
        file: Path,
        say: Callable[[str], None],
        stopped: Callable[[], bool] = lambda: False,
    ):
        """Remembers what to compute.

        Args:
            backbone: From photographs to features.
            images: `[n, size, size, 3]` uint8 RGB.
            file: Where to keep the features; one that is there already is taken as it is.
            say: Gets a line at the beginning.
            stopped: Asked after every few photographs; once it says true, the computation ends.
        """
        self._backbone, self._images, self._file, self._say, self._stopped = backbone, images, file, say, stopped
        self._values: NDArray[np.float16] | None = None

    def __getitem__(self, chosen: NDArray[np.int64] | slice) -> NDArray[np.float16]:
        """Returns `[n, h, w, channels]` float16, which TensorFlow widens faster than NumPy.

        Raises:
            AcneEdgeError: The disk is full.
            StoppedError: `stopped` said so.
        """
        if self._values is None:
            if not self._file.exists():
                self._compute()
            self._values = np.load(self._file, mmap_mode="r")
        return np.asarray(self._values[chosen])

    def _compute(self) -> None:
        count, shape = len(self._images), tuple(self._backbone.output.shape[1:])
        self._say(f"computing the frozen features of {count} photographs, once")
        answer = tf.function(lambda images: self._backbone(tf.cast(images, tf.float32), training=False))
        # A name of its own: several machines may compute the same features into one folder.
        part = self._file.with_suffix(f".{socket.gethostname()}-{os.getpid()}.part.npy")
        try:
            self._file.parent.mkdir(parents=True, exist_ok=True)
            kept = np.lib.format.open_memmap(part, "w+", np.float16, (count, *shape))
            for first in range(0, count, _AT_ONCE):
                # float16 reaches to 65,504
                kept[first : first + _AT_ONCE] = np.clip(answer(self._images[first : first + _AT_ONCE]), -65504, 65504)
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


def head_work(
    settings: Settings,
    train: LabelledPhotographs,
    valid: LabelledPhotographs,
    features: tuple[Features, Features],
    head: keras.Model,
) -> Work:
    """Prepares the training of a head on the features of the training and the validation photographs."""
    of_train, of_valid = features

    def batches(epoch: int, first: int = 0) -> Iterable[tuple[NDArray[np.float16], tuple[NDArray[np.float32], ...]]]:
        for chosen in shuffled(settings, epoch, len(train.images))[first:]:
            yield of_train[chosen], train.truth(chosen)

    def validate(model: keras.Model) -> dict[str, float]:
        parts = [slice(first, first + _AT_ONCE) for first in range(0, len(valid.images), _AT_ONCE)]
        predicted = np.concatenate([np.asarray(model(of_valid[part], training=False)) for part in parts])
        return validation_scores(valid, predicted)

    return work_on_labels(settings, len(train.images), head, batches, validate)
