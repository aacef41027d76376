"""Experiment II: photographs in, where each lesion is and of which type out."""

from __future__ import annotations

from collections.abc import Iterable

import keras
import numpy as np
import tensorflow as tf

from acne_runtime.manifest import InputSpec, Manifest, OutputSpec
from acne_runtime.model import Model
from acne_trainer.crops import PAD_VALUE, View, random_crop, whole
from acne_trainer.detection_loss import detection_loss
from acne_trainer.detection_metrics import average_precision
from acne_trainer.detector import BINS, STRIDES, build_detector
from acne_trainer.keras_backend import KerasBackend
from acne_trainer.labels.dataset import Dataset
from acne_trainer.loop import Work
from acne_trainer.settings import Settings

EVALUATION_THRESHOLD = 0.001


def input_spec(size: int) -> InputSpec:
    """Returns the input contract of the detectors: letterboxed, so that lesions keep their shape."""
    return InputSpec("image", size, size, "letterbox", pad_value=PAD_VALUE)


def output_specs() -> tuple[OutputSpec, ...]:
    """Returns the raw heads in the order they are exported."""
    boxes = (OutputSpec(f"box_{stride}", "box", stride) for stride in STRIDES)
    return (*boxes, *(OutputSpec(f"score_{stride}", "score", stride) for stride in STRIDES))


def inference_form(network: keras.Model, size: int) -> keras.Model:
    """Returns the plain model that is exported: static input, sigmoid scores, the network's own layers and weights."""
    image = keras.Input((size, size, 3), name="image")
    heads = network(image)
    for stride in STRIDES:
        heads[f"score_{stride}"] = keras.layers.Activation("sigmoid", name=f"score_{stride}")(heads[f"score_{stride}"])
    return keras.Model(image, heads, name=network.name)


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
        # Every photograph comes equally often: consecutive parts of one shuffled order.
        order = np.random.default_rng([settings.seed, epoch]).permutation(len(samples) * settings.crops_per_photo)
        chosen = order[step * settings.batch_size : (step + 1) * settings.batch_size] % len(samples)
        return [random_crop(samples[i], settings.crop_size, rng) for i in chosen]

    def batch(epoch: int, step: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        made = views(epoch, step)
        boxes = np.zeros((len(made), max(1, *(len(view.boxes) for view in made)), 4), np.float32)
        classes = np.zeros(boxes.shape[:2], np.int32)
        for row, view in enumerate(made):
            boxes[row, : len(view.boxes)], classes[row, : len(view.boxes)] = view.boxes, view.classes
        return np.stack([view.image for view in made]).astype(np.float32), boxes, classes

    def batches(epoch: int) -> Iterable[tuple[tf.Tensor, tuple[tf.Tensor, tf.Tensor]]]:
        def load(step: tf.Tensor) -> tuple[tf.Tensor, ...]:
            images, boxes, classes = tf.numpy_function(
                lambda step: batch(epoch, int(step)), [step], (tf.float32, tf.float32, tf.int32)
            )
            return images, (boxes, classes)

        return tf.data.Dataset.range(steps).map(load, num_parallel_calls=2, deterministic=True).prefetch(2)

    def validate(model: keras.Model) -> dict[str, float]:
        scores = evaluate_boxes(inference_form(model, size), valid, size)
        return {"val_ap50": scores.ap50, "val_ap": scores.ap}

    return Work(
        network=network,
        steps=steps,
        batches=batches,
        loss=lambda heads, truth: detection_loss(heads, *truth, STRIDES, BINS),
        validate=validate,
        monitor="val_ap50",
        higher_is_better=True,
    )


def manifest_for(model_name: str, classes: tuple[str, ...], size: int, threshold: float = 0.25) -> Manifest:
    """Returns a detection manifest with one threshold for all classes."""
    return Manifest(
        name=model_name,
        task="detection",
        classes=classes,
        input=input_spec(size),
        outputs=output_specs(),
        thresholds=(threshold,) * len(classes),
        bins=BINS,
    )


def evaluate_boxes(model: keras.Model, data: Dataset, size: int):
    """Runs the runtime over a split and scores it; see `average_precision`."""
    runtime_model = Model(manifest_for(model.name, data.classes, size), KerasBackend(model), EVALUATION_THRESHOLD)
    results = [runtime_model(sample.image(), source=sample.path.name) for sample in data.samples]
    return average_precision(data.samples, results, data.classes)
