"""What a training step of the detector costs: `python -m benchmarks.training.step_cost [DATA]`.

Prints the step over the bare forward and backward pass of the same network (batch and crop size alike, the two taken in
turns), the shares of its parts, and how many times faster the input pipeline alone is than the step that it feeds.
"""

from __future__ import annotations

import dataclasses
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import click
import numpy as np
import tensorflow as tf

from acne_trainer.config import DEFAULTS
from acne_trainer.data.load import read_split
from acne_trainer.data.mixture import LabelledSet
from acne_trainer.losses.box_ops import anchor_points
from acne_trainer.losses.task_aligned_assigner import task_aligned_assign
from acne_trainer.models.yolov8 import STRIDES
from acne_trainer.tasks.detection import DetectionTask
from acne_trainer.tasks.detection_batches import DetectionBatches
from acne_trainer.training.loop import Trainer
from benchmarks.tables import publish

WARM_UP = 3


def seconds(calls: dict[str, Callable[[], object]], rounds: int) -> dict[str, float]:
    """Returns the median seconds of each call; the calls take turns, so that a noisy machine troubles all alike."""
    taken: dict[str, list[float]] = {name: [] for name in calls}
    for turn in range(WARM_UP + rounds):
        for name, call in calls.items():
            begun = time.perf_counter()
            call()
            if turn >= WARM_UP:
                taken[name].append(time.perf_counter() - begun)
    return {name: float(np.median(values)) for name, values in taken.items()}


@click.command(help=__doc__)
@click.argument("data", default="../shared/data/acne04", type=click.Path(exists=True, path_type=Path))
@click.option("--rounds", default=15)
@click.option("--jit", is_flag=True, help="As `acne-train fit --jit`.")
def main(data: Path, rounds: int, jit: bool) -> None:
    """Measures and prints."""
    settings = dataclasses.replace(DEFAULTS["yolov8-xs"], data=str(data), jit=jit)
    train = read_split(data, "train")
    sets = (LabelledSet.alone(train, read_split(data, "valid")),)
    work = DetectionTask(settings, sets)
    batch, side, network = settings.batch_size, settings.crop_size, work.network
    images, (boxes, classes, *weights) = DetectionBatches(settings, sets)(0, 0)
    images, boxes, classes = tf.constant(images), tf.constant(boxes), tf.constant(classes)

    @tf.function(jit_compile=jit or None)
    def bare() -> tf.Tensor:
        with tf.GradientTape() as tape:
            total = tf.add_n([tf.reduce_mean(head) for head in network(images, training=True).values()])
        return tf.add_n([tf.reduce_sum(gradient) for gradient in tape.gradient(total, network.trainable_variables)])

    heads = network(images, training=True)

    @tf.function(jit_compile=jit or None)
    def objective() -> tf.Tensor:
        with tf.GradientTape() as tape:
            tape.watch(heads)
            loss = work.loss(heads, (boxes, classes, *weights))["loss"]
        return tf.add_n([tf.reduce_sum(gradient) for gradient in tape.gradient(loss, list(heads.values()))])

    centres, _ = anchor_points(side, side, STRIDES)
    scores = tf.random.uniform((batch, len(centres), len(train.classes)))
    guesses = tf.concat([centres - 12.0, centres + 12.0], axis=-1)[None] + tf.zeros((batch, 1, 1))

    @tf.function(jit_compile=jit or None)
    def assigner() -> tf.Tensor:
        return task_aligned_assign(scores, guesses, centres, boxes, classes, float(STRIDES[0])).scores

    with tempfile.TemporaryDirectory() as run:
        loop = Trainer(work, settings, Path(run))
        took = seconds(
            {
                "step": lambda: float(loop.train_step(images, (boxes, classes, *weights))["loss"]),
                "bare": lambda: float(bare()),
                "objective": lambda: float(objective()),
                "assigner": lambda: assigner().numpy(),
            },
            rounds,
        )

    count = 4 * rounds
    feed = iter(work.batches(0, 0))
    next(feed)
    begun = time.perf_counter()
    made = sum(len(next(feed)[0]) for _ in range(count))
    pipeline = (time.perf_counter() - begun) / made * batch

    step = took["step"]
    parts = {
        "bare forward and backward pass": took["bare"],
        "the whole step": step,
        "its objective": took["objective"],
        "of it the assigner": took["assigner"],
        "augmentation, beside the step": pipeline,
    }
    publish(
        "step_cost",
        [
            {
                f"{batch} crops of {side} px, {'XLA' if jit else 'no XLA'}": name,
                "ms": round(1000 * part),
                "of the bare pass": f"{100 * part / took['bare']:.1f} %",
            }
            for name, part in parts.items()
        ],
    )
    click.echo(f"the input pipeline alone delivers {step / pipeline:.1f} x the images that the step consumes")


if __name__ == "__main__":
    main()
