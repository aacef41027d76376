"""Experiment II: photographs in, where each lesion is and of which type out."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import keras
import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from acne_runtime.manifest import InputSpec, Manifest, OutputSpec
from acne_runtime.model import Model
from acne_trainer.crops import PAD_VALUE, View, random_crop, whole
from acne_trainer.detection_loss import detection_loss
from acne_trainer.detection_metrics import SCORE_THRESHOLD, average_precision
from acne_trainer.detector import BINS, STRIDES, build_detector
from acne_trainer.inference import inference_copy
from acne_trainer.keras_backend import KerasBackend
from acne_trainer.labels.dataset import Dataset
from acne_trainer.loop import Work
from acne_trainer.settings import Settings
from acne_trainer.thresholds import DEFAULT

_LOADERS, _AHEAD = 2, 4
"""Threads that make batches while the network trains, and how many batches they may be ahead."""


def input_spec(size: int) -> InputSpec:
    """Returns the input contract of the detectors: letterboxed, so that lesions keep their shape."""
    return InputSpec("image", size, size, "letterbox", pad_value=PAD_VALUE)


def output_specs() -> tuple[OutputSpec, ...]:
    """Returns the raw heads in the order they are exported."""
    boxes = (OutputSpec(f"box_{stride}", "box", stride) for stride in STRIDES)
    return (*boxes, *(OutputSpec(f"score_{stride}", "score", stride) for stride in STRIDES))


def inference_form(network: keras.Model, settings: Settings) -> keras.Model:
    """Returns the plain model that is exported: static input, batch 1, sigmoid scores, the network's own weights."""
    image = keras.Input(batch_shape=(1, settings.input_size, settings.input_size, 3), name="image")
    heads = inference_copy(network, image)
    for name in [f"score_{stride}" for stride in STRIDES]:
        heads[name] = keras.layers.Activation("sigmoid", name=name)(heads[name])
    return keras.Model(image, heads, name=network.name)


def manifest(settings: Settings, classes: tuple[str, ...]) -> Manifest:
    """Returns the manifest of a detector whose thresholds are still to be chosen."""
    return Manifest(
        name=f"acne-{settings.model}",
        task="detection",
        classes=classes,
        input=input_spec(settings.input_size),
        outputs=output_specs(),
        thresholds=(DEFAULT,) * len(classes),
        bins=BINS,
    )


def detection_work(settings: Settings, train: Dataset, valid: Dataset) -> Work:
    """Prepares the detector, its batches, its loss and its validation."""
    network = build_detector(settings.model, len(train.classes), settings.input_size)
    samples, size = train.samples, settings.input_size
    spec = input_spec(size)
    steps = max(1, len(samples) * settings.crops_per_photo // settings.batch_size)
    photos_per_batch = max(1, round(settings.batch_size * (settings.crop_size / size) ** 2))

    def views(epoch: int, step: int) -> list[View]:
        """Makes one batch, from nothing but the seed, the epoch and the step."""
        rng = np.random.default_rng([settings.seed, epoch, step])
        if settings.whole_every and step % settings.whole_every == settings.whole_every - 1:
            return [whole(samples[i], spec, rng) for i in rng.integers(len(samples), size=photos_per_batch)]
        # Consecutive parts of one shuffled order, so that photographs come equally often.
        order = np.random.default_rng([settings.seed, epoch]).permutation(len(samples) * settings.crops_per_photo)
        chosen = order[step * settings.batch_size : (step + 1) * settings.batch_size] % len(samples)
        return [random_crop(samples[i], settings.crop_size, rng) for i in chosen]

    def batch(epoch: int, step: int) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.int32]]:
        made = views(epoch, step)
        boxes = np.zeros((len(made), max(1, *(len(view.boxes) for view in made)), 4), np.float32)
        classes = np.zeros(boxes.shape[:2], np.int32)
        for row, view in enumerate(made):
            boxes[row, : len(view.boxes)], classes[row, : len(view.boxes)] = view.boxes, view.classes
        return np.stack([view.image for view in made]).astype(np.float32), boxes, classes

    def batches(epoch: int) -> Iterator[tuple[NDArray[np.float32], tuple[NDArray[np.float32], NDArray[np.int32]]]]:
        with ThreadPoolExecutor(_LOADERS) as pool:
            made = deque(pool.submit(batch, epoch, step) for step in range(min(_AHEAD, steps)))
            for step in range(steps):
                images, boxes, classes = made.popleft().result()
                if step + _AHEAD < steps:
                    made.append(pool.submit(batch, epoch, step + _AHEAD))
                yield images, (boxes, classes)

    description = manifest(settings, train.classes)

    inference = inference_form(network, settings)
    runner = Model(description, KerasBackend(inference), SCORE_THRESHOLD)

    def validate(model: keras.Model) -> dict[str, float]:
        for layer in model.layers:  # by name: the two graphs do not order their layers alike
            inference.get_layer(layer.name).set_weights(layer.get_weights())
        results = [runner(sample.image()) for sample in valid.samples]
        scores = average_precision(valid.samples, results, valid.classes)
        return {"val_ap50": scores.ap50, "val_ap": scores.ap}

    def loss(heads: dict[str, tf.Tensor], truth: tuple[tf.Tensor, tf.Tensor]) -> dict[str, tf.Tensor]:
        boxes, classes = truth
        return detection_loss(heads, boxes, classes, STRIDES, BINS)

    return Work(
        network=network,
        steps=steps,
        batches=batches,
        loss=loss,
        validate=validate,
        monitor="val_ap50",
        higher_is_better=True,
    )
