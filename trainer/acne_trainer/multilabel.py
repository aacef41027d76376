"""Experiment I: photographs in, which lesion types they show out."""

from __future__ import annotations

from collections.abc import Iterable

import keras
import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from acne_runtime.manifest import InputSpec, Manifest, OutputSpec
from acne_runtime.preprocess import preprocess
from acne_trainer.cnn import build_cnn
from acne_trainer.inference import inference_copy
from acne_trainer.labels.dataset import Dataset
from acne_trainer.loop import Work
from acne_trainer.settings import Settings
from acne_trainer.thresholds import DEFAULT


def input_spec(size: int) -> InputSpec:
    """Returns the input contract of the multi-label models: stretched to a square, as the paper did."""
    return InputSpec("image", size, size, "stretch")


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


def _augmentation(seed: int) -> keras.Sequential:
    return keras.Sequential(
        [
            keras.layers.RandomFlip("horizontal", seed=seed),
            keras.layers.RandomShear(0.1, 0.1, fill_mode="reflect", data_format="channels_last", seed=seed),
            keras.layers.RandomZoom((-0.15, 0.15), fill_mode="reflect", seed=seed),
        ]
    )


def multilabel_work(settings: Settings, train: Dataset, valid: Dataset) -> Work:
    """Prepares the CNN, its batches, its loss and its validation."""
    images, targets = load_arrays(train, settings.input_size)
    valid_images, valid_targets = load_arrays(valid, settings.input_size)
    steps = max(1, len(images) // settings.batch_size)
    crossentropy = keras.losses.BinaryCrossentropy()

    def batches(epoch: int) -> Iterable[tuple[tf.Tensor, tf.Tensor]]:
        rng = np.random.default_rng([settings.seed, epoch])
        order = rng.permutation(len(images))[: steps * settings.batch_size]
        augment = _augmentation(int(rng.integers(2**31)))
        for chosen in np.split(order, steps):
            yield augment(images[chosen].astype(np.float32), training=True), tf.constant(targets[chosen])

    def validate(network: keras.Model) -> dict[str, float]:
        predicted = network.predict(valid_images, batch_size=settings.batch_size, verbose=0)
        agree = np.argmax(predicted, axis=1) == np.argmax(valid_targets, axis=1)
        return {
            "val_loss": float(crossentropy(valid_targets, predicted)),
            "val_argmax_agreement": float(agree.mean()),
        }

    return Work(
        network=build_cnn(len(train.classes), settings.input_size),
        steps=steps,
        batches=batches,
        loss=lambda outputs, truth: {"loss": crossentropy(truth, outputs)},
        validate=validate,
        monitor="val_loss",
        higher_is_better=False,
    )
