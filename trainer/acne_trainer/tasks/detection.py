"""Experiment II, object detection: an image in, where each lesion is and of which type out."""

from __future__ import annotations

import itertools
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from acne_runtime.backends.keras import KerasBackend, copy_weights
from acne_runtime.errors import SourceError
from acne_runtime.manifest import Manifest, OutputSpec
from acne_runtime.model import Model
from acne_trainer.config import DetectorConfig, PretrainedDetectorConfig, TrainConfig
from acne_trainer.data.mixture import LabelledSet
from acne_trainer.losses.detection import detection_loss
from acne_trainer.metrics.detection_report import SCORE_THRESHOLD, average_precision
from acne_trainer.metrics.thresholds import DEFAULT
from acne_trainer.models.inference_graph import inference_clone, inference_copy
from acne_trainer.models.pretrained import TORCH_ENDINGS
from acne_trainer.models.weights import load_matching_weights
from acne_trainer.models.yolov8 import BINS, STRIDES, backbone_layers, build_detector
from acne_trainer.tasks.detection_batches import DetectionBatches, input_spec
from acne_trainer.training.precise_bn import PreciseBatchNorm

_LOADERS, _AHEAD = 2, 4
"""Threads that make batches while the network trains, and how many batches they may be ahead."""
_STATISTICS_BATCHES = 64
"""Batches of full images from which the batch-norm statistics of a validated network are computed."""
NMS_IOU = 0.35
"""Boxes that overlap more are one lesion. Sets that draw loosely and tightly teach two boxes for one lesion, with an
IoU below one half; see docs/experiments.md, "Box voting", for what other values gave."""
NMS_CONTAINMENT = 0.8
"""A larger box around a better one is a lesion's second box; see docs/experiments.md, "Box voting"."""
BOX_VOTING_SCORE = 0.1
"""Calibrated score above which a candidate votes on a lesion's box; from 0.02 to 0.25 it makes little difference."""


class DetectionTask:
    """A detector, its batches, its loss and its validation; see `training.task.Task`."""

    higher_is_better = True

    def __init__(self, settings: DetectorConfig, sets: Sequence[LabelledSet]):
        """Builds the detector and loads what it starts from.

        Args:
            settings: The training's.
            sets: The labelled sets; the detector is validated on each one's validation images.

        Raises:
            SourceError: The images come without boxes, or `absent_unknown` names no class of theirs.
        """
        _check_boxes(settings, sets)
        self._settings, self._sets = settings, sets
        classes = sets[0].train.classes
        pretrained = settings if isinstance(settings, PretrainedDetectorConfig) else None
        self.network = build_detector(
            settings.model,
            len(classes),
            settings.input_size,
            settings.precision,
            settings.weights,
            pretrained.freeze_stages if pretrained else 0,
        )
        if not (pretrained and settings.weights.endswith(TORCH_ENDINGS)):  # are in it already
            load_matching_weights(self.network, settings.weights)
        self.layer_rates: Mapping[str, float] = {}
        if pretrained and settings.weights != "none":
            self.layer_rates = dict.fromkeys(backbone_layers(self.network), pretrained.backbone_rate)
        self.monitor = "val_ap50" if len(sets) == 1 else "val_mean_ap50"
        self._batches = DetectionBatches(settings, sets)
        self.steps = self._batches.steps
        self._inference = self.inference_model(self.network, settings)
        self._runner = Model(self.manifest(settings, classes), KerasBackend(self._inference), SCORE_THRESHOLD)
        self._plain = inference_clone(self.network)
        self._statistics = PreciseBatchNorm(self._plain)

    def batches(self, epoch: int, first: int = 0) -> Iterator[tuple[NDArray[np.float32], tuple[NDArray[Any], ...]]]:
        """Yields an epoch's batches, made ahead by threads."""
        with ThreadPoolExecutor(_LOADERS) as pool:
            steps = iter(range(first, self.steps))
            pending = deque(pool.submit(self._batches, epoch, step) for step in itertools.islice(steps, _AHEAD))
            while pending:
                batch = pending.popleft().result()
                pending.extend(pool.submit(self._batches, epoch, step) for step in itertools.islice(steps, 1))
                yield batch

    def loss(self, outputs: dict[str, tf.Tensor], targets: tuple[tf.Tensor, ...]) -> dict[str, tf.Tensor]:
        """Returns the losses of a batch."""
        settings = self._settings
        boxes, classes, background, box_weight, possible = targets
        return detection_loss(
            outputs,
            boxes,
            classes,
            STRIDES,
            BINS,
            background,
            box_weight,
            possible,
            settings.focal,
            settings.label_smoothing,
        )

    def validate(self, network: keras.Model) -> dict[str, float]:
        """Returns `val_ap50` and `val_ap` of each labelled set, through the runtime; and the mean of `val_ap50`.

        The network's batch-norm statistics are recomputed first, from full images.
        """
        copy_weights(network, self._plain)
        self._statistics.recompute(self._batches.full_images(_STATISTICS_BATCHES))
        copy_weights(self._plain, network)
        copy_weights(self._plain, self._inference)
        scores: dict[str, float] = {}
        monitored = []
        for labelled in self._sets:
            valid = labelled.valid
            results = [self._runner(sample.image()) for sample in valid.samples]
            score = average_precision(
                valid.samples, results, self._sets[0].train.classes, one_class=labelled.is_untyped
            )
            suffix = "" if labelled is self._sets[0] else f"_{labelled.name}"
            scores |= {f"val_ap50{suffix}": score.ap50, f"val_ap{suffix}": score.ap}
            monitored.append(score.ap50)
        return scores | ({"val_mean_ap50": float(np.mean(monitored))} if len(self._sets) > 1 else {})

    @staticmethod
    def inference_model(network: keras.Model, settings: TrainConfig) -> keras.Model:
        """Returns the plain model that is exported: static input, batch 1, sigmoid scores, the network's weights."""
        image = keras.Input(batch_shape=(1, settings.input_size, settings.input_size, 3), name="image")
        heads = inference_copy(network, image)
        for name in [f"score_{stride}" for stride in STRIDES]:
            heads[name] = keras.layers.Activation("sigmoid", name=name)(heads[name])
        return keras.Model(image, heads, name=network.name)

    @staticmethod
    def manifest(settings: TrainConfig, classes: tuple[str, ...]) -> Manifest:
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
            nms_containment=NMS_CONTAINMENT,
            box_voting_score=SCORE_THRESHOLD,  # until its scores are calibrated
        )


def output_specs() -> tuple[OutputSpec, ...]:
    """Returns the raw heads in the order they are exported."""
    boxes = (OutputSpec(f"box_{stride}", "box", stride) for stride in STRIDES)
    return (*boxes, *(OutputSpec(f"score_{stride}", "score", stride) for stride in STRIDES))


def _check_boxes(settings: TrainConfig, sets: Sequence[LabelledSet]) -> None:
    for data in (data for labelled in sets for data in (labelled.train, labelled.valid)):
        if not data.has_boxes:
            raise SourceError(f"{data.path}: its photographs come without boxes, which {settings.model} learns from")
        if not any(len(sample.boxes) for sample in data.samples):
            raise SourceError(f"{data.path}: no lesion is marked on any of its photographs")
