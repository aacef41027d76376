"""How fast the detector learns: `acne-train` against KerasCV's own `YOLOV8Detector.fit`, minute by minute.

    python -m benchmarks.training.convergence_vs_kerascv blobs --minutes 10 --epochs 18
    python -m benchmarks.training.convergence_vs_kerascv ../shared/data/acne04 --minutes 40 --epochs 38

Both train the same network (xs) from scratch, each in a process of its own, one after the other; both are scored on
`valid` through the same decoding, suppression and evaluator. Ours pays for its validations out of its minutes, KerasCV
does not. KerasCV gets what its guide gives it: whole photographs, batches of 4, Adam at 1e-3 with clipped gradients.
Writes `convergence-SET.json` and `convergence-SET.png`; nothing else should run meanwhile.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import logging
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import click

from benchmarks.tables import publish

Curve = list[tuple[float, float]]
"""(minutes, AP50 on valid)."""

SIDES = {"acne-train": "#1f77b4", "KerasCV": "#d62728"}


@click.command(help=__doc__)
@click.argument("data")
@click.option("--minutes", default=40.0, help="For each side.")
@click.option("--input-size", default=640)
@click.option("--crop-size", default=256, help="Of our training crops.")
@click.option("--epochs", default=36, help="Length of our learning-rate schedule; the minutes end it early if need be.")
@click.option("--out", default="benchmarks/results", type=click.Path(path_type=Path))
@click.option("--side", type=click.Choice(list(SIDES)), help="Run this side only and print its curve.")
def main(data: str, minutes: float, input_size: int, crop_size: int, epochs: int, out: Path, side: str | None) -> None:
    """Runs both sides, or one."""
    if side:
        curve = _learn(side, Path(data), minutes, (input_size, crop_size, epochs))
        click.echo(json.dumps(curve))
        return
    name = Path(data).name
    with tempfile.TemporaryDirectory() as folder:
        if data == "blobs":
            from benchmarks.training.synthetic_blobs import write_set

            data = str(Path(folder) / "blobs")
            write_set(Path(data))
        command = [sys.executable, "-m", "benchmarks.training.convergence_vs_kerascv", data]
        command += f"--minutes {minutes} --input-size {input_size}".split()
        command += f"--crop-size {crop_size} --epochs {epochs}".split()
        curves: dict[str, Curve] = {}
        for each in SIDES:
            click.echo(f"{each}: {minutes:g} minutes on {data}")
            done = subprocess.run([*command, "--side", each], check=True, stdout=subprocess.PIPE, text=True)
            curves[each] = json.loads(done.stdout.splitlines()[-1])
            click.echo(f"{each}: best AP50 on valid {max(score for _, score in curves[each]):.3f}")
    out.mkdir(parents=True, exist_ok=True)
    rows = [
        {
            f"{name}, {input_size} px, {minutes:g} minutes each": side,
            "best AP50": round(max(score for _, score in curve), 3),
            "last": round(curve[-1][1], 3),
            "half of the best after, minutes": next(m for m, score in curve if score >= max(s for _, s in curve) / 2),
        }
        for side, curve in curves.items()
    ]
    publish(f"convergence-{name}", rows, details=curves)
    _draw(curves, f"{name}, {input_size} px, from scratch, 2 cores", out / f"convergence-{name}.png")
    click.echo(f"wrote {out / f'convergence-{name}.png'}")


def _learn(side: str, data: Path, minutes: float, sizes: tuple[int, int, int]) -> Curve:
    import keras

    from acne_trainer.config import DEFAULTS
    from acne_trainer.data.load import read_split

    input_size, crop_size, epochs = sizes
    settings = dataclasses.replace(
        DEFAULTS["yolov8-xs"],
        data=str(data),
        input_size=input_size,
        crop_size=crop_size,
        epochs=epochs,
        patience=epochs,
    )
    keras.utils.set_random_seed(settings.seed)
    train, valid = read_split(data, "train"), read_split(data, "valid")
    curve: Curve = []

    def record(minute: float, ap50: float) -> None:
        curve.append((round(minute, 2), round(ap50, 4)))
        click.echo(f"{side}: {minute:.1f} min  AP50 {ap50:.3f}", err=True)

    learn = _learn_ours if side == "acne-train" else _learn_kerascv
    learn(settings, train, valid, minutes, record)
    return curve


def _learn_ours(settings, train, valid, minutes: float, record: Callable[[float, float], None]) -> None:
    from acne_trainer.data.mixture import LabelledSet
    from acne_trainer.tasks.detection import DetectionTask
    from acne_trainer.training.errors import StoppedError
    from acne_trainer.training.loop import Trainer

    begun = time.monotonic()

    class Recorded(DetectionTask):
        def validate(self, network):
            scores = super().validate(network)
            record((time.monotonic() - begun) / 60, scores["val_ap50"])
            return scores

    logging.basicConfig(level=logging.INFO, format="%(message)s")
    with tempfile.TemporaryDirectory() as run:
        trainer = Trainer(Recorded(settings, (LabelledSet.alone(train, valid),)), settings, Path(run))
        with contextlib.suppress(StoppedError):
            trainer.fit(stopped=lambda: time.monotonic() - begun > 60 * minutes)


def _learn_kerascv(settings, train, valid, minutes: float, record: Callable[[float, float], None]) -> None:
    import keras
    import numpy as np
    from keras_cv.models import YOLOV8Backbone, YOLOV8Detector

    from acne_runtime.backends.keras import KerasBackend
    from acne_runtime.model import Model
    from acne_trainer.data.augment import whole
    from acne_trainer.metrics.detection_report import SCORE_THRESHOLD, average_precision
    from acne_trainer.models.yolov8 import build_detector
    from acne_trainer.tasks.detection import DetectionTask, input_spec, manifest

    batch_size, spec = 4, input_spec(settings.input_size)
    most = max(len(sample.boxes) for sample in train.samples)

    class Photographs(keras.utils.PyDataset):
        def __len__(self) -> int:
            return len(train.samples) // batch_size

        def __getitem__(self, step: int):
            rng = np.random.default_rng([step, time.monotonic_ns()])
            views = [whole(train.samples[i], spec, rng) for i in rng.integers(len(train.samples), size=batch_size)]
            boxes, classes = -np.ones((batch_size, most, 4), np.float32), -np.ones((batch_size, most), np.float32)
            for row, view in enumerate(views):
                boxes[row, : len(view.boxes)], classes[row, : len(view.boxes)] = view.boxes, view.classes
            return np.stack([view.image for view in views]).astype(np.float32), {"boxes": boxes, "classes": classes}

    side = settings.input_size
    backbone = YOLOV8Backbone(
        stackwise_channels=[32, 64, 128, 256],
        stackwise_depth=[1, 2, 2, 1],
        include_rescaling=True,
        activation="swish",
        input_shape=(side, side, 3),
    )
    detector = YOLOV8Detector(
        backbone=backbone, num_classes=len(train.classes), bounding_box_format="xyxy", fpn_depth=1
    )
    optimizer = keras.optimizers.Adam(1e-3, global_clipnorm=10.0)
    detector.compile(optimizer=optimizer, classification_loss="binary_crossentropy", box_loss="ciou")

    scored = DetectionTask.inference_model(build_detector(settings.model, len(train.classes), side), settings)
    runner = Model(manifest(settings, train.classes), KerasBackend(scored), SCORE_THRESHOLD)
    trained = {layer.name: layer for layer in detector._flatten_layers() if layer.weights}

    def score() -> float:
        for layer in scored.layers:
            if layer.weights:
                layer.set_weights(trained[layer.name].get_weights())
        return average_precision(
            valid.samples, [runner(sample.image()) for sample in valid.samples], valid.classes
        ).ap50

    class Clock(keras.callbacks.Callback):
        def __init__(self):
            super().__init__()
            self.begun = time.monotonic()

        def _record(self) -> None:
            now = time.monotonic()
            record((now - self.begun) / 60, score())
            self.begun += time.monotonic() - now  # its scoring is free

        def on_train_batch_end(self, batch, logs=None):
            if time.monotonic() - self.begun > 60 * minutes:
                self.model.stop_training = True

        def on_epoch_end(self, epoch, logs=None):
            self._record()

    detector.fit(Photographs(workers=2), epochs=10_000, callbacks=[Clock()], verbose=0)


def _draw(curves: dict[str, Curve], title: str, file: Path) -> None:
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(figsize=(7, 4), layout="constrained")
    for side, curve in curves.items():
        minutes, scores = zip(*curve, strict=True)
        axes.plot(minutes, scores, marker="o", color=SIDES[side], label=f"{side}: best {max(scores):.3f}")
    axes.set(title=title, xlabel="minutes of training", ylabel="AP50 on valid", ylim=0, xlim=0)
    axes.grid(alpha=0.3)
    axes.legend()
    figure.savefig(file, dpi=110)


if __name__ == "__main__":
    main()
