"""Costs of training a head, over the frozen backbone alone: `python -m benchmarks.training.feature_cache [DATA]`.

A frozen backbone answers each photograph once; its answers are kept. Prints the time of a whole head training, features
and all epochs, over one bare forward pass of the backbone over the same photographs.
"""

from __future__ import annotations

import dataclasses
import tempfile
import time
from pathlib import Path

import click
import numpy as np
import tensorflow as tf

from acne_trainer.config import DEFAULTS
from acne_trainer.data.load import read_split
from acne_trainer.model_names import BACKBONES
from acne_trainer.models.backbones import build_backbone, build_head
from acne_trainer.tasks.frozen_backbone import FeatureCache, FrozenBackboneTask
from acne_trainer.tasks.in_memory import InMemorySplit
from acne_trainer.training.loop import Trainer
from benchmarks.tables import publish

BATCH = 8


@click.command(help=__doc__)
@click.argument("data", default="../shared/data/acne4", type=click.Path(exists=True, path_type=Path))
@click.option("--model", type=click.Choice(BACKBONES), default="resnet50", show_default=True)
@click.option("--photographs", default=640, show_default=True, help="Most of train, and a quarter as many of valid.")
def main(data: Path, model: str, photographs: int) -> None:
    """Measures and prints."""
    settings = dataclasses.replace(DEFAULTS[model], data=str(data), weights="none", patience=99)
    splits = []
    for name, most in (("train", photographs), ("valid", photographs // 4)):
        split = read_split(data, name)
        split = dataclasses.replace(split, samples=split.samples[:most])
        splits.append(InMemorySplit(split, settings, to_train=name == "train"))
    train, valid = splits
    backbone = build_backbone(model, settings.input_size, "none", "own")
    answer = tf.function(lambda images: backbone(tf.cast(images, tf.float32), training=False))
    answer(train.images[:BATCH])  # traced before the clock runs

    begun = time.perf_counter()
    for images in (train.images, valid.images):
        for first in range(0, len(images), BATCH):
            np.asarray(answer(images[first : first + BATCH]))
    bare = time.perf_counter() - begun

    with tempfile.TemporaryDirectory() as folder:
        begun = time.perf_counter()
        features = tuple(
            FeatureCache(backbone, part.images, Path(folder) / f"{place}.npy") for place, part in enumerate(splits)
        )
        head = build_head(backbone.output.shape[1:], train.targets.shape[1])
        Trainer(FrozenBackboneTask(settings, train, valid, features, head), settings, Path(folder)).fit()
        whole = time.perf_counter() - begun

    publish(
        "feature_cache",
        [
            {
                "photographs": f"{len(train.images)} + {len(valid.images)} of {settings.input_size} px",
                f"one forward pass of {model}, s": round(bare, 1),
                f"features and {settings.epochs} epochs of the head, s": round(whole, 1),
                "ratio": round(whole / bare, 2),
            }
        ],
    )


if __name__ == "__main__":
    main()
