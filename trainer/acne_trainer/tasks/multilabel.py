"""Experiment I: photographs in, which lesion types they show out."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from acne_runtime.manifest import InputSpec, Manifest, OutputSpec
from acne_runtime.preprocess import preprocess
from acne_trainer.config import Settings
from acne_trainer.data.dataset import Dataset
from acne_trainer.data.partial_labels import unknown_classes
from acne_trainer.distributed import sum_over_replicas
from acne_trainer.metrics.thresholds import DEFAULT
from acne_trainer.models.inference_graph import inference_copy
from acne_trainer.training.loop import Work


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


def inference_form(network: keras.Model, settings: Settings) -> keras.Model:
    """Returns the plain model that is exported: batch 1, one named output, the network's own weights."""
    image = keras.Input(batch_shape=(1, settings.input_size, settings.input_size, 3), name="image")
    label = inference_copy(network, image)
    return keras.Model(image, {"label": label}, name=network.name)


def manifest(settings: Settings, classes: tuple[str, ...]) -> Manifest:
    """Returns the manifest of a multi-label model whose thresholds are still to be chosen."""
    return Manifest(
        name=f"acne-{settings.model}",
        task="multilabel",
        classes=classes,
        input=input_spec(settings.input_size),
        outputs=(OutputSpec("label", "label"),),
        thresholds=(DEFAULT,) * len(classes),
    )


def multilabel_loss(
    targets: tf.Tensor,
    probabilities: tf.Tensor,
    unknown: tf.Tensor | None = None,
    focal: float = 0.0,
    label_smoothing: float = 0.0,
) -> dict[str, tf.Tensor]:
    """Returns `loss`: the mean binary cross-entropy, or this device's summand of it where several share the batch.

    Args:
        targets: `[batch, classes]` float32, 0 or 1.
        probabilities: `[batch, classes]`, 0 to 1.
        unknown: `[batch, classes]` float32, 1 where a class was not looked for: its absence costs nothing.
        focal: Power of 1 - (probability of the truth) that weighs each answer (Lin et al. 2017); 0 weighs all alike.
        label_smoothing: Share of each label that goes to its opposite and itself in equal parts.
    """
    probabilities = tf.clip_by_value(tf.cast(probabilities, tf.float32), 1e-7, 1 - 1e-7)
    wanted = targets * (1.0 - label_smoothing) + 0.5 * label_smoothing
    crossentropy = -wanted * tf.math.log(probabilities) - (1.0 - wanted) * tf.math.log1p(-probabilities)
    if focal:
        crossentropy *= tf.abs(targets - probabilities) ** focal
    if unknown is not None:
        crossentropy *= 1.0 - unknown * (1.0 - targets)
    count = sum_over_replicas(tf.cast(tf.size(targets), tf.float32))
    return {"loss": tf.reduce_sum(crossentropy) / count}


def _augmentation(seed: int) -> keras.Sequential:
    return keras.Sequential(
        [
            keras.layers.RandomFlip("horizontal", seed=seed),
            keras.layers.RandomShear(0.1, 0.1, fill_mode="reflect", data_format="channels_last", seed=seed),
            keras.layers.RandomZoom((-0.15, 0.15), fill_mode="reflect", seed=seed),
        ]
    )


class LabelledPhotographs:
    """A split in memory, as its models see it.

    Attributes:
        images: `[n, size, size, 3]` uint8 RGB; 0.5 MB an image at 416 pixels.
        targets: `[n, classes]` float32, 0 or 1.
        unknown: `[n, classes]` float32, 1 where a class was not looked for; `None` where all were.
    """

    def __init__(self, data: Dataset, settings: Settings, *, to_train: bool):
        """Reads the photographs.

        Raises:
            SourceError: A photograph cannot be read, or an `absent_unknown` does not fit the set; of photographs to
                train on, also one that matches none of them.
        """
        self.images, self.targets = load_arrays(data, settings.input_size)
        rules = settings.absent_unknown
        self.unknown = unknown_classes(data, rules, must_match=to_train) if rules else None

    def truth(self, chosen: NDArray[np.int64]) -> tuple[NDArray[np.float32], ...]:
        """Returns what the loss needs to know of the chosen photographs."""
        if self.unknown is None:
            return (self.targets[chosen],)
        return self.targets[chosen], self.unknown[chosen]


def validation_scores(photographs: LabelledPhotographs, predicted: NDArray[np.float32]) -> dict[str, float]:
    """Returns `val_loss` (plain binary cross-entropy, without what is unknown) and `val_argmax_agreement`.

    The latter is the paper's accuracy.
    """
    agree = np.argmax(predicted, axis=1) == np.argmax(photographs.targets, axis=1)
    loss = multilabel_loss(photographs.targets, predicted, photographs.unknown)["loss"]
    return {"val_loss": float(loss), "val_argmax_agreement": float(agree.mean())}


def shuffled(settings: Settings, epoch: int, count: int) -> list[NDArray[np.int64]]:
    """Returns the epoch's batches of photographs; those that fill no batch come in another epoch."""
    steps = max(1, count // settings.batch_size)
    order = np.random.default_rng([settings.seed, epoch]).permutation(count)[: steps * settings.batch_size]
    return np.array_split(order, steps)


def multilabel_work(
    settings: Settings, train: LabelledPhotographs, valid: LabelledPhotographs, network: keras.Model
) -> Work:
    """Prepares the training of a whole network on photographs: its batches, its loss and its validation."""

    def batches(epoch: int, first: int = 0) -> Iterable[tuple[tf.Tensor, tuple[NDArray[np.float32], ...]]]:
        chosen = shuffled(settings, epoch, len(train.images))
        for step in range(first, len(chosen)):
            # Keras' layers draw from a stateful generator: a new one a step makes any step repeatable by itself.
            augment = _augmentation(int(np.random.default_rng([settings.seed, epoch, step]).integers(2**31)))
            images = train.images[chosen[step]].astype(np.float32)
            yield augment(images, training=True), train.truth(chosen[step])

    def validate(model: keras.Model) -> dict[str, float]:
        return validation_scores(valid, model.predict(valid.images, batch_size=settings.batch_size, verbose=0))

    return work_on_labels(settings, len(train.images), network, batches, validate)


def work_on_labels(
    settings: Settings,
    photographs: int,
    network: keras.Model,
    batches: Callable[[int, int], Iterable[tuple[Any, Any]]],
    validate: Callable[[keras.Model], dict[str, float]],
) -> Work:
    """Returns the training of a network that answers `[batch, classes]` probabilities; see `Work` for the parts."""

    def loss(probabilities: tf.Tensor, truth: tuple[tf.Tensor, ...]) -> dict[str, tf.Tensor]:
        targets, unknown = truth if len(truth) == 2 else (truth[0], None)
        return multilabel_loss(targets, probabilities, unknown, settings.focal, settings.label_smoothing)

    return Work(
        network=network,
        steps=len(shuffled(settings, 0, photographs)),
        batches=batches,
        loss=loss,
        validate=validate,
        monitor="val_loss",
        higher_is_better=False,
    )
