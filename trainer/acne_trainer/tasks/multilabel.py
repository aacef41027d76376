"""Experiment I, multi-label classification: an image in, which lesion types it shows out."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from acne_runtime.manifest import Manifest, OutputSpec
from acne_trainer.config import TrainConfig
from acne_trainer.losses.multilabel import multilabel_loss
from acne_trainer.metrics.thresholds import DEFAULT
from acne_trainer.models.inference_graph import inference_copy
from acne_trainer.tasks.in_memory import InMemorySplit, input_spec


class MultilabelTask:
    """A network trained as a whole on images, its batches, its loss and its validation; see `training.task.Task`."""

    monitor = "val_loss"
    higher_is_better = False
    layer_rates: Mapping[str, float] = MappingProxyType({})

    def __init__(self, settings: TrainConfig, train: InMemorySplit, valid: InMemorySplit, network: keras.Model):
        self._settings, self._train, self._valid = settings, train, valid
        self.network = network
        self.steps = len(shuffled(settings, 0, len(train.images)))

    def batches(self, epoch: int, first: int = 0) -> Iterable[tuple[Any, tuple[NDArray[np.float32], ...]]]:
        """Yields an epoch's batches of augmented images."""
        settings, train = self._settings, self._train
        chosen = shuffled(settings, epoch, len(train.images))
        for step in range(first, len(chosen)):
            # Keras' layers draw from a stateful generator: a new one a step makes any step repeatable by itself.
            augment = _augmentation(int(np.random.default_rng([settings.seed, epoch, step]).integers(2**31)))
            images = train.images[chosen[step]].astype(np.float32)
            yield augment(images, training=True), train.targets_of(chosen[step])

    def loss(self, outputs: tf.Tensor, targets: tuple[tf.Tensor, ...]) -> dict[str, tf.Tensor]:
        """Returns the loss of a batch of probabilities."""
        truth, unknown = targets if len(targets) == 2 else (targets[0], None)
        return multilabel_loss(truth, outputs, unknown, self._settings.focal, self._settings.label_smoothing)

    def validate(self, network: keras.Model) -> dict[str, float]:
        """Returns `validation_scores`."""
        predicted = network.predict(self._valid.images, batch_size=self._settings.batch_size, verbose=0)
        return validation_scores(self._valid, predicted)

    @staticmethod
    def inference_model(network: keras.Model, settings: TrainConfig) -> keras.Model:
        """Returns the plain model that is exported: batch 1, one named output, the network's own weights."""
        image = keras.Input(batch_shape=(1, settings.input_size, settings.input_size, 3), name="image")
        label = inference_copy(network, image)
        return keras.Model(image, {"label": label}, name=network.name)

    @staticmethod
    def manifest(settings: TrainConfig, classes: tuple[str, ...]) -> Manifest:
        """Returns the manifest of a multi-label model whose thresholds are still to be chosen."""
        return Manifest(
            name=f"acne-{settings.model}",
            task="multilabel",
            classes=classes,
            input=input_spec(settings.input_size),
            outputs=(OutputSpec("label", "label"),),
            thresholds=(DEFAULT,) * len(classes),
        )


def validation_scores(split: InMemorySplit, predicted: NDArray[np.float32]) -> dict[str, float]:
    """Returns `val_loss` (plain binary cross-entropy, without what is unknown) and `val_argmax_agreement`.

    The latter is the paper's accuracy.
    """
    agree = np.argmax(predicted, axis=1) == np.argmax(split.targets, axis=1)
    loss = multilabel_loss(split.targets, predicted, split.unknown)["loss"]
    return {"val_loss": float(loss), "val_argmax_agreement": float(agree.mean())}


def shuffled(settings: TrainConfig, epoch: int, count: int) -> list[NDArray[np.int64]]:
    """Returns the epoch's batches of photographs; those that fill no batch come in another epoch."""
    steps = max(1, count // settings.batch_size)
    order = np.random.default_rng([settings.seed, epoch]).permutation(count)[: steps * settings.batch_size]
    return np.array_split(order, steps)


def _augmentation(seed: int) -> keras.Sequential:
    return keras.Sequential(
        [
            keras.layers.RandomFlip("horizontal", seed=seed),
            keras.layers.RandomShear(0.1, 0.1, fill_mode="reflect", data_format="channels_last", seed=seed),
            keras.layers.RandomZoom((-0.15, 0.15), fill_mode="reflect", seed=seed),
        ]
    )
