"""One training: labelled photographs in, a run folder out."""

from __future__ import annotations

import dataclasses
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
from acne_trainer.config import Settings
from acne_trainer.data.dataset import Dataset
from acne_trainer.data.mixture import LabelledSet, read_sets
from acne_trainer.data.source_names import source_of
from acne_trainer.distributed import is_chief
from acne_trainer.finalize import finish
from acne_trainer.metrics.multilabel import choose_thresholds_together
from acne_trainer.models.backbones import build_backbone, build_head, joined, unfreeze_top
from acne_trainer.models.cnn import build_cnn
from acne_trainer.models.logistic_regression import fit_dense_layer
from acne_trainer.models.pooled_features import build_pooled_features, with_classifier
from acne_trainer.models.precision import built_in
from acne_trainer.models.weights import load_weights
from acne_trainer.reports.plots import plot_history
from acne_trainer.tasks import detection, multilabel
from acne_trainer.tasks.frozen_backbone import Features, head_work
from acne_trainer.tasks.multilabel import LabelledPhotographs
from acne_trainer.training.loop import Loop, Work, write_history


@dataclass(frozen=True, slots=True)
class Watch:
    """Who is told how the training goes, and who may stop it.

    Attributes:
        say: Gets lines of progress.
        progress: Gets a line a step, to be shown over the one before.
        stopped: Asked after every step whether to save and stop.
    """

    say: Callable[[str], None]
    progress: Callable[[str], None]
    stopped: Callable[[], bool]


def fit(settings: Settings, run: Path, strategy: tf.distribute.Strategy, watch: Watch) -> None:
    """Trains a model, or goes on with a training that was stopped, and writes everything the exporter needs.

    Args:
        settings: What to train, and how.
        run: The run folder; see the README's "Run folder".
        strategy: What `choose_devices` returned.
        watch: Who looks on.

    Raises:
        AcneEdgeError: The data or the training is faulty; what was saved before stays.
        StoppedError: The watch stopped it; what was done is saved.
    """
    if settings.batch_size < strategy.num_replicas_in_sync:
        raise AcneEdgeError(
            f"--batch-size {settings.batch_size}: {strategy.num_replicas_in_sync} devices are to share it"
        )
    keras.utils.set_random_seed(settings.seed)
    sets = read_sets(settings.data)
    if len(sets) > 1 and not settings.is_detector:
        raise SourceError(
            f"{sets[1].source.path}: {settings.model} learns from one labelled set; detectors take several"
        )
    settings = dataclasses.replace(settings, data=tuple(one.source for one in sets))  # the first typed one first
    chief = is_chief(strategy)
    if chief:
        settings.save(run / "config.toml")
    photographs = " + ".join(f"{len(one.train.samples)} of {one.name}" for one in sets)
    held_out = sum(len(one.valid.samples) for one in sets)
    watch.say(f"training {settings.model} on {photographs}, {held_out} photographs to validate, in {run}")
    with strategy.scope():
        thresholds = None
        if settings.is_on_features:
            network, thresholds = _fitted_on_features(settings, run, sets[0].train, watch)
        else:
            network = _trained(settings, run, sets, watch)
    shutil.rmtree(run / "features", ignore_errors=True)
    if not chief:  # the first of several machines finishes
        return
    watch.say("choosing thresholds, scoring and recording activation ranges")
    finish(network, settings, sets, run, thresholds)
    watch.say(f"wrote {run}; its figures are in {run / 'metrics.json'}")


def _fitted_on_features(
    settings: Settings, run: Path, train: Dataset, watch: Watch
) -> tuple[keras.Model, tuple[float, ...]]:
    """Fits a classifier on frozen features, and chooses its thresholds by its out-of-fold answers.

    It needs no epochs and no validation photographs, and there are many more training photographs to choose on.
    """
    photographs = LabelledPhotographs(train, settings, to_train=True)
    backbone = build_pooled_features(settings.model, settings.input_size, settings.weights, watch.say)
    features = Features(backbone, photographs.images, run / "features" / "train.npy", watch.say, watch.stopped)
    groups = [source_of(sample.path.name) for sample in train.samples]
    layer, out_of_fold = fit_dense_layer(
        features[:].astype(np.float32), photographs.targets, photographs.unknown, groups, watch.say
    )
    thresholds = choose_thresholds_together(photographs.targets, out_of_fold)
    return with_classifier(backbone, layer.kernel, layer.bias), thresholds


def _trained(settings: Settings, run: Path, sets: Sequence[LabelledSet], watch: Watch) -> keras.Model:
    """Runs the one stage, or the two stages, of a training and draws its course."""
    if settings.is_detector:
        work = detection.detection_work(settings, sets, watch.say)
        start = work.network.get_weights()
        network, history = _run_loop(run, work, settings, watch)
        if settings.start_share:
            network.set_weights(_between(start, network.get_weights(), settings.start_share))
            # Statistics of batch normalisation are computed anew for the weights in between.
            watch.say(f"with {settings.start_share:g} of the starting weights: {_figures(work.validate(network))}")
    else:
        train, valid = sets[0].train, sets[0].valid
        photographs = (
            LabelledPhotographs(train, settings, to_train=True),
            LabelledPhotographs(valid, settings, to_train=False),
        )
        if settings.is_backbone:
            network, history = _backbone_trained(settings, run, photographs, len(train.classes), watch)
        else:
            with built_in(settings.precision):
                network = build_cnn(len(train.classes), settings.input_size)
            load_weights(network, settings.weights, watch.say)
            work = multilabel.multilabel_work(settings, *photographs, network)
            network, history = _run_loop(run, work, settings, watch)
    if is_chief(tf.distribute.get_strategy()):
        plot_history(history, run / "history.png")
    return network


def _between(start: Sequence[NDArray[Any]], end: Sequence[NDArray[Any]], share: float) -> list[NDArray[Any]]:
    """Returns the weights at `share` of the way back from `end` to `start`; counters stay."""
    return [share * a + (1 - share) * b if b.dtype.kind == "f" else b for a, b in zip(start, end, strict=True)]


def _figures(scores: Mapping[str, float]) -> str:
    return "  ".join(f"{name} {value:.4g}" for name, value in scores.items())


def _run_loop(folder: Path, work: Work, settings: Settings, watch: Watch) -> tuple[keras.Model, list[dict[str, float]]]:
    loop = Loop(work, settings, folder)
    return loop.fit(watch.say, watch.progress, watch.stopped), loop.history


def _backbone_trained(
    settings: Settings,
    run: Path,
    photographs: tuple[LabelledPhotographs, LabelledPhotographs],
    class_count: int,
    watch: Watch,
) -> tuple[keras.Model, list[dict[str, float]]]:
    """Trains a new head on frozen features, then the backbone's top where that is wanted and helps."""
    with built_in(settings.precision):
        backbone = build_backbone(
            settings.model, settings.input_size, settings.weights, settings.input_scaling, watch.say
        )
        head = build_head(backbone.output.shape[1:], class_count)
    features = (
        Features(backbone, photographs[0].images, run / "features" / "train.npy", watch.say, watch.stopped),
        Features(backbone, photographs[1].images, run / "features" / "valid.npy", watch.say, watch.stopped),
    )
    head, history = _run_loop(run, head_work(settings, *photographs, features, head), settings, watch)
    network = joined(backbone, head)
    if not settings.fine_tune_epochs:
        return network, history
    watch.say(f"fine-tuning the top {settings.fine_tune_layers} layers of {settings.model}")
    unfreeze_top(backbone, settings.fine_tune_layers)
    second = dataclasses.replace(settings, epochs=settings.fine_tune_epochs, learning_rate=settings.fine_tune_rate)
    frozen = network.get_weights()
    work = multilabel.multilabel_work(second, *photographs, network)
    network, more = _run_loop(run / "fine-tune", work, second, watch)
    if _best_loss(more) >= _best_loss(history):
        watch.say("fine-tuning did not lower the validation loss: the frozen model stays")
        network.set_weights(frozen)
    history = history + [row | {"epoch": row["epoch"] + len(history)} for row in more]
    if is_chief(tf.distribute.get_strategy()):
        write_history(history, run)
    return network, history


def _best_loss(history: list[dict[str, float]]) -> float:
    return min(row["val_loss"] for row in history if "val_loss" in row)
