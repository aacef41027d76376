"""Experiment II: photographs in, where each lesion is and of which type out."""

from __future__ import annotations

import itertools
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from acne_runtime.errors import SourceError
from acne_runtime.manifest import InputSpec, Manifest, OutputSpec
from acne_runtime.model import Model
from acne_runtime.preprocess import preprocess
from acne_trainer.config import Settings
from acne_trainer.data.augment import PAD_VALUE, View, random_crop, whole
from acne_trainer.data.mixture import LabelledSet, mix
from acne_trainer.data.partial_labels import unknown_classes
from acne_trainer.keras_backend import KerasBackend
from acne_trainer.losses.detection import detection_loss
from acne_trainer.metrics.detection import SCORE_THRESHOLD, average_precision
from acne_trainer.metrics.thresholds import DEFAULT
from acne_trainer.models.inference_graph import copy_weights, inference_copy, plain_copy
from acne_trainer.models.pretrained import TORCH_ENDINGS
from acne_trainer.models.weights import load_weights
from acne_trainer.models.yolov8 import BINS, STRIDES, backbone_layers, build_detector
from acne_trainer.training.loop import Work
from acne_trainer.training.precise_bn import Statistics

_LOADERS, _AHEAD = 2, 4
"""Threads that make batches while the network trains, and how many batches they may be ahead."""
_STATISTICS_BATCHES = 64
"""Batches of whole photographs from which the statistics of a validated network are computed."""
NMS_IOU = 0.35
"""Boxes that overlap more are one lesion. Sets that draw loosely and tightly teach two boxes for one lesion, with an
IoU below one half: on acne04/valid 0.5, 0.35 and 0.25 gave an F1 of 0.447, 0.491 and 0.502 and an AP50 of 0.159, 0.142
and 0.123."""
_LESIONS_STEP = 16
"""Batches are padded to a multiple of so many lesions a picture: a new shape has the training step traced anew."""


def input_spec(size: int) -> InputSpec:
    """Returns the input contract of the detectors: letterboxed, so that lesions keep their shape."""
    return InputSpec("image", size, size, "letterbox", pad_value=PAD_VALUE, shrink="average")


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
    """Returns the manifest of a detector whose lesion threshold is still to be chosen."""
    return Manifest(
        name=f"acne-{settings.model}",
        task="detection",
        classes=classes,
        input=input_spec(settings.input_size),
        outputs=output_specs(),
        thresholds=(DEFAULT,),
        bins=BINS,
        nms_iou=NMS_IOU,
    )


def detection_work(
    settings: Settings, sets: Sequence[LabelledSet], say: Callable[[str], None] = lambda _: None
) -> Work:
    """Prepares the detector, its batches, its loss and its validation.

    Args:
        settings: The training's.
        sets: The labelled sets; each epoch's model is scored on the validation photographs of each.
        say: Is told which layers start anew where others start from a file.

    Raises:
        SourceError: The photographs come without boxes, or `absent_unknown` names no class of theirs.
    """
    for data in (data for one in sets for data in (one.train, one.valid)):
        if not data.has_boxes:
            raise SourceError(f"{data.path}: its photographs come without boxes, which {settings.model} learns from")
        if not any(len(sample.boxes) for sample in data.samples):
            raise SourceError(f"{data.path}: no lesion is marked on any of its photographs")
    classes = sets[0].train.classes
    network = build_detector(
        settings.model,
        len(classes),
        settings.input_size,
        settings.precision,
        settings.weights,
        settings.freeze_stages,
    )
    if not (settings.is_pretrained_detector and settings.weights.endswith(TORCH_ENDINGS)):  # those are in it already
        load_weights(network, settings.weights, say)
    make_batch = BatchMaker(settings, sets)

    def batches(epoch: int, first: int = 0) -> Iterator[tuple[NDArray[np.float32], tuple[NDArray[Any], ...]]]:
        with ThreadPoolExecutor(_LOADERS) as pool:
            steps = iter(range(first, make_batch.steps))
            made = deque(pool.submit(make_batch, epoch, step) for step in itertools.islice(steps, _AHEAD))
            while made:
                batch = made.popleft().result()
                made.extend(pool.submit(make_batch, epoch, step) for step in itertools.islice(steps, 1))
                yield batch

    inference = inference_form(network, settings)
    runner = Model(manifest(settings, classes), KerasBackend(inference), SCORE_THRESHOLD)
    plain = plain_copy(network)
    statistics = Statistics(plain)

    def validate(model: keras.Model) -> dict[str, float]:
        copy_weights(model, plain)
        statistics.recompute(make_batch.whole_photographs(_STATISTICS_BATCHES))
        copy_weights(plain, model)
        copy_weights(plain, inference)
        scores: dict[str, float] = {}
        monitored = []
        for one in sets:
            results = [runner(sample.image()) for sample in one.valid.samples]
            score = average_precision(one.valid.samples, results, classes, one_class=one.is_untyped)
            suffix = "" if one is sets[0] else f"_{one.name}"
            scores |= {f"val_ap50{suffix}": score.ap50, f"val_ap{suffix}": score.ap}
            monitored.append(score.ap50)
        return scores | ({"val_mean_ap50": float(np.mean(monitored))} if len(sets) > 1 else {})

    def loss(heads: dict[str, tf.Tensor], truth: tuple[tf.Tensor, ...]) -> dict[str, tf.Tensor]:
        boxes, lesion_classes, background, box_weight, possible = truth
        return detection_loss(
            heads,
            boxes,
            lesion_classes,
            STRIDES,
            BINS,
            background,
            box_weight,
            possible,
            settings.focal,
            settings.label_smoothing,
        )

    return Work(
        network=network,
        steps=make_batch.steps,
        batches=batches,
        loss=loss,
        validate=validate,
        monitor="val_ap50" if len(sets) == 1 else "val_mean_ap50",
        higher_is_better=True,
        backbone=backbone_layers(network) if settings.weights != "none" else frozenset(),
    )


class BatchMaker:
    """Makes any batch of a training, from nothing but the seed, the epoch and the step.

    Attributes:
        steps: Batches in an epoch.
    """

    def __init__(self, settings: Settings, sets: Sequence[LabelledSet]):
        self._settings, self._train = settings, mix(sets)
        self._samples = self._train.data.samples
        self._spec = input_spec(settings.input_size)
        self.steps = max(1, len(self._samples) * settings.crops_per_photo // settings.batch_size)
        # A batch of whole photographs has about as many pixels as one of crops, and something for every device.
        photos = round(settings.batch_size * (settings.crop_size / settings.input_size) ** 2)
        self._photos = max(tf.distribute.get_strategy().num_replicas_in_sync, photos)
        self._background = self._train.background
        if settings.absent_unknown:
            self._background = self._background * (1 - unknown_classes(self._train.data, settings.absent_unknown))

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

    def whole_photographs(self, most: int) -> Iterator[NDArray[np.float32]]:
        """Yields up to `most` batches of whole photographs as the device sees them, always the same."""
        order = self._train.draw(len(self._samples), np.random.default_rng(self._settings.seed))
        for first in range(0, min(len(order), most * self._photos), self._photos):
            chosen = [self._samples[i] for i in order[first : first + self._photos]]
            yield np.concatenate([preprocess(one.image(), self._spec)[0] for one in chosen]).astype(np.float32)

    def _views(self, epoch: int, step: int) -> tuple[NDArray[np.int64], list[View]]:
        settings, samples = self._settings, self._samples
        rng = np.random.default_rng([settings.seed, epoch, step])
        if settings.whole_every and step % settings.whole_every == settings.whole_every - 1:
            chosen = self._train.draw(self._photos, rng)
            return chosen, [whole(samples[i], self._spec, rng) for i in chosen]
        # Consecutive parts of one shuffled order, so that photographs come equally often.
        order = self._train.draw(len(samples) * settings.crops_per_photo, np.random.default_rng([settings.seed, epoch]))
        chosen = order[step * settings.batch_size : (step + 1) * settings.batch_size]
        jitter = self._train.scale_jitter
        return chosen, [random_crop(samples[i], settings.crop_size, self._spec, rng, float(jitter[i])) for i in chosen]
