"""One training: labelled photographs in, a run folder out."""

from __future__ import annotations

import dataclasses
import logging
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from acne_runtime.errors import AcneEdgeError, SourceError
from acne_trainer.audit.box_checks import boxes_outside
from acne_trainer.config import BackboneConfig, DetectorConfig, FeaturesConfig, TrainConfig
from acne_trainer.data.dataset import Dataset
from acne_trainer.data.formats.common import upright_size
from acne_trainer.data.mixture import LabelledSet, read_sets
from acne_trainer.data.source_names import source_of
from acne_trainer.distributed import is_chief, make_strategy
from acne_trainer.finalize import finalize_run
from acne_trainer.metrics.multilabel import choose_thresholds_together
from acne_trainer.models.backbones import build_backbone, build_head, join_backbone_and_head, unfreeze_top
from acne_trainer.models.cnn import build_cnn
from acne_trainer.models.logistic_regression import fit_dense_layer
from acne_trainer.models.pooled_features import build_pooled_features, with_classifier
from acne_trainer.models.precision import dtype_policy_scope
from acne_trainer.models.weights import load_matching_weights
from acne_trainer.tasks.detection import DetectionTask
from acne_trainer.tasks.frozen_backbone import FeatureCache, FrozenBackboneTask
from acne_trainer.tasks.in_memory import InMemorySplit
from acne_trainer.tasks.multilabel import MultilabelTask
from acne_trainer.training.checkpoint import write_history
from acne_trainer.training.loop import Trainer
from acne_trainer.training.task import Task

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class ProgressHooks:
    """Who is shown how the training goes, and who may stop it.

    Attributes:
        progress: Gets a line a step, to be shown over the one before.
        stopped: Called after every step; once it returns true, everything is saved and the training ends.
    """

    progress: Callable[[str], None] = lambda _: None
    stopped: Callable[[], bool] = lambda: False


def fit(
    settings: TrainConfig,
    run: Path,
    strategy: tf.distribute.Strategy | None = None,
    hooks: ProgressHooks | None = None,
) -> None:
    """Trains a model, or resumes a training that was stopped, and writes everything the exporter needs.

    Args:
        settings: What to train, and how.
        run: The run folder; docs/training.md lists its files.
        strategy: What `distributed.make_strategy` returned; by default the best devices of this machine.
        hooks: Shows the progress and may stop the training.

    Raises:
        AcneEdgeError: The data or the training is faulty; what was saved before stays.
        StoppedError: A hook stopped it; what was done is saved.
    """
    strategy, hooks = strategy or make_strategy("auto"), hooks or ProgressHooks()
    if settings.batch_size < strategy.num_replicas_in_sync:
        raise AcneEdgeError(
            f"--batch-size {settings.batch_size}: {strategy.num_replicas_in_sync} devices are to share it"
        )
    keras.utils.set_random_seed(settings.seed)
    sets = read_sets(settings.data)
    if len(sets) > 1 and not isinstance(settings, DetectorConfig):
        raise SourceError(
            f"{sets[1].source.path}: {settings.model} learns from one labelled set; detectors take several"
        )
    settings = dataclasses.replace(settings, data=tuple(labelled.source for labelled in sets))  # first typed one first
    chief = is_chief(strategy)
    if chief:
        settings.save(run / "config.toml")
    photographs = " + ".join(f"{len(labelled.train.samples)} of {labelled.name}" for labelled in sets)
    held_out = sum(len(labelled.valid.samples) for labelled in sets)
    logger.info("training %s on %s, %d photographs to validate, in %s", settings.model, photographs, held_out, run)
    if isinstance(settings, DetectorConfig):
        _warn_of_boxes_outside(sets)
    with strategy.scope():
        thresholds = None
        if isinstance(settings, FeaturesConfig):
            network, thresholds = _fit_on_features(settings, run, sets[0].train, hooks)
        elif isinstance(settings, DetectorConfig):
            network = _train_detector(settings, run, sets, hooks)
        elif isinstance(settings, BackboneConfig):
            network = _train_on_backbone(settings, run, sets[0], hooks)
        else:
            network = _train_cnn(settings, run, sets[0], hooks)
    shutil.rmtree(run / "features", ignore_errors=True)
    if not chief:  # the first of several machines finishes
        return
    logger.info("choosing thresholds, scoring and recording activation ranges")
    finalize_run(network, settings, sets, run, thresholds)
    logger.info("wrote %s; its metrics are in %s", run, run / "metrics.json")


def _warn_of_boxes_outside(sets: Sequence[LabelledSet]) -> None:
    """They are trained on, cut off at the edge; many of them mean that labels and photographs do not match."""
    for labelled in sets:
        samples = [sample for sample in labelled.train.samples if len(sample.boxes)]
        outside = sum(len(boxes_outside(sample.boxes, upright_size(sample.path))) for sample in samples)
        if outside:
            logger.warning(
                "%s: %d boxes reach beyond their photograph; acne-train data inspect lists them", labelled.name, outside
            )


def _fit_on_features(
    settings: TrainConfig, run: Path, train: Dataset, hooks: ProgressHooks
) -> tuple[keras.Model, tuple[float, ...]]:
    """Fits a classifier on frozen features, and chooses its thresholds by its out-of-fold predictions.

    It needs no epochs and no validation photographs, and there are many more training photographs to choose on.
    """
    split = InMemorySplit(train, settings, to_train=True)
    backbone = build_pooled_features(settings.model, settings.input_size, settings.weights)
    features = FeatureCache(backbone, split.images, run / "features" / "train.npy", hooks.stopped)
    groups = [source_of(sample.path.name) for sample in train.samples]
    layer, out_of_fold = fit_dense_layer(features[:].astype(np.float32), split.targets, split.unknown, groups)
    thresholds = choose_thresholds_together(split.targets, out_of_fold)
    return with_classifier(backbone, layer.kernel, layer.bias), thresholds


def _train_detector(
    settings: DetectorConfig, run: Path, sets: Sequence[LabelledSet], hooks: ProgressHooks
) -> keras.Model:
    task = DetectionTask(settings, sets)
    start = task.network.get_weights()
    network, _ = _train(run, task, settings, hooks)
    if settings.start_share:
        network.set_weights(_between(start, network.get_weights(), settings.start_share))
        # Validation computes the batch-norm statistics of the weights in between.
        logger.info("with %g of the starting weights: %s", settings.start_share, _text_of(task.validate(network)))
    return network


def _train_cnn(settings: TrainConfig, run: Path, labelled: LabelledSet, hooks: ProgressHooks) -> keras.Model:
    train, valid = _in_memory(settings, labelled)
    with dtype_policy_scope(settings.precision):
        network = build_cnn(len(labelled.train.classes), settings.input_size)
    load_matching_weights(network, settings.weights)
    network, _ = _train(run, MultilabelTask(settings, train, valid, network), settings, hooks)
    return network


def _between(start: Sequence[NDArray[Any]], end: Sequence[NDArray[Any]], share: float) -> list[NDArray[Any]]:
    """Returns the weights at `share` of the way back from `end` to `start`; counters stay."""
    return [share * a + (1 - share) * b if b.dtype.kind == "f" else b for a, b in zip(start, end, strict=True)]


def _text_of(scores: Mapping[str, float]) -> str:
    return "  ".join(f"{name} {value:.4g}" for name, value in scores.items())


def _train(
    folder: Path, task: Task, settings: TrainConfig, hooks: ProgressHooks
) -> tuple[keras.Model, list[dict[str, float]]]:
    trainer = Trainer(task, settings, folder)
    return trainer.fit(hooks.progress, hooks.stopped), trainer.history


def _in_memory(settings: TrainConfig, labelled: LabelledSet) -> tuple[InMemorySplit, InMemorySplit]:
    train = InMemorySplit(labelled.train, settings, to_train=True)
    return train, InMemorySplit(labelled.valid, settings, to_train=False)


def _train_on_backbone(settings: BackboneConfig, run: Path, labelled: LabelledSet, hooks: ProgressHooks) -> keras.Model:
    """Trains a new head on frozen features, then fine-tunes the backbone's top where that is wanted and helps."""
    train, valid = _in_memory(settings, labelled)
    with dtype_policy_scope(settings.precision):
        backbone = build_backbone(settings.model, settings.input_size, settings.weights, settings.input_scaling)
        head = build_head(backbone.output.shape[1:], len(labelled.train.classes))
    features = (
        FeatureCache(backbone, train.images, run / "features" / "train.npy", hooks.stopped),
        FeatureCache(backbone, valid.images, run / "features" / "valid.npy", hooks.stopped),
    )
    head, history = _train(run, FrozenBackboneTask(settings, train, valid, features, head), settings, hooks)
    network = join_backbone_and_head(backbone, head)
    if not settings.fine_tune_epochs:
        return network
    logger.info("fine-tuning the top %d layers of %s", settings.fine_tune_layers, settings.model)
    unfreeze_top(backbone, settings.fine_tune_layers)
    second = dataclasses.replace(settings, epochs=settings.fine_tune_epochs, learning_rate=settings.fine_tune_rate)
    frozen = network.get_weights()
    network, more = _train(run / "fine-tune", MultilabelTask(second, train, valid, network), second, hooks)
    if _best_loss(more) >= _best_loss(history):
        logger.info("fine-tuning did not lower the validation loss: the frozen model stays")
        network.set_weights(frozen)
    if is_chief(tf.distribute.get_strategy()):
        write_history(history + [row | {"epoch": row["epoch"] + len(history)} for row in more], run)
    return network


def _best_loss(history: list[dict[str, float]]) -> float:
    return min(row["val_loss"] for row in history if "val_loss" in row)
