"""Batches for the detector: crops, now and then full images, and what their labels may teach."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from acne_runtime.manifest import InputSpec
from acne_runtime.preprocess import preprocess
from acne_trainer.config import DetectorConfig
from acne_trainer.data.augment import PAD_VALUE, TrainingExample, full_image, random_crop
from acne_trainer.data.mixture import LabelledSet, mix
from acne_trainer.data.partial_labels import unlabeled_mask

_LESIONS_STEP = 16
"""Batches are padded to a multiple of so many lesions a picture: a new shape has the training step traced again."""


def input_spec(size: int) -> InputSpec:
    """Returns the input contract of the detectors: letterboxed, so that lesions keep their shape."""
    return InputSpec("image", size, size, "letterbox", pad_value=PAD_VALUE, shrink="average")


class DetectionBatches:
    """Makes any batch of a training, from nothing but the seed, the epoch and the step.

    Attributes:
        steps: Batches in an epoch.
    """

    def __init__(self, settings: DetectorConfig, sets: Sequence[LabelledSet]):
        self._settings, self._train = settings, mix(sets)
        self._samples = self._train.data.samples
        self._spec = input_spec(settings.input_size)
        self.steps = max(1, len(self._samples) * settings.crops_per_photo // settings.batch_size)
        # A batch of whole photographs has about as many pixels as one of crops, and something for every device.
        photos = round(settings.batch_size * (settings.crop_size / settings.input_size) ** 2)
        self._photos = max(tf.distribute.get_strategy().num_replicas_in_sync, photos)
        self._background = self._train.background
        if settings.absent_unknown:
            self._background = self._background * (1 - unlabeled_mask(self._train.data, settings.absent_unknown))

    def __call__(self, epoch: int, step: int) -> tuple[NDArray[np.float32], tuple[NDArray[Any], ...]]:
        """Returns images `[n, side, side, 3]` float32 RGB and their targets.

        The targets are boxes `[n, lesions, 4]` float32, without area where a photograph has fewer, their classes
        `[n, lesions]` int32, and what `detection_loss` calls `background` `[n, classes]`, `box_weight` `[n, 2]` and
        `possible` `[n, classes]`.
        """
        chosen, made = self._views(epoch, step)
        most = max(len(view.boxes) for view in made)
        lesions = max(1, -(-most // _LESIONS_STEP)) * _LESIONS_STEP
        boxes, classes = np.zeros((len(made), lesions, 4), np.float32), np.zeros((len(made), lesions), np.int32)
        for row, view in enumerate(made):
            boxes[row, : len(view.boxes)], classes[row, : len(view.boxes)] = view.boxes, view.classes
        images = np.stack([view.image for view in made]).astype(np.float32)
        train = self._train
        return images, (boxes, classes, self._background[chosen], train.box_weight[chosen], train.possible[chosen])

    def full_images(self, max_batches: int) -> Iterator[NDArray[np.float32]]:
        """Yields up to `max_batches` batches of full images as the device sees them, always the same."""
        order = self._train.draw(len(self._samples), np.random.default_rng(self._settings.seed))
        for first in range(0, min(len(order), max_batches * self._photos), self._photos):
            chosen = [self._samples[i] for i in order[first : first + self._photos]]
            yield np.concatenate([preprocess(sample.image(), self._spec)[0] for sample in chosen]).astype(np.float32)

    def _views(self, epoch: int, step: int) -> tuple[NDArray[np.int64], list[TrainingExample]]:
        settings, samples = self._settings, self._samples
        rng = np.random.default_rng([settings.seed, epoch, step])
        if settings.whole_every and step % settings.whole_every == settings.whole_every - 1:
            chosen = self._train.draw(self._photos, rng)
            return chosen, [full_image(samples[i], self._spec, rng) for i in chosen]
        # Consecutive parts of one shuffled order, so that photographs come equally often.
        order = self._train.draw(len(samples) * settings.crops_per_photo, np.random.default_rng([settings.seed, epoch]))
        chosen = order[step * settings.batch_size : (step + 1) * settings.batch_size]
        jitter = self._train.scale_jitter
        return chosen, [random_crop(samples[i], settings.crop_size, self._spec, rng, float(jitter[i])) for i in chosen]
