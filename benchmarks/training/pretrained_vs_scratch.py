"""ImageNet features against random ones under the same detector, equal CPU minutes, learning from the same two sets.

    python -m benchmarks.training.pretrained_vs_scratch ../shared/data [--minutes 10]

`acne-train`'s yolov8-lite0 from ImageNet weights and from random ones, and yolov8-xs from random ones; typed lesions
(acne4) and untyped ones (acne04) in one training. Minutes are the process' own on all cores, so that a busy machine
costs none of the three anything; validations are not counted. The curve: AP50 of all types as one lesion, acne04/valid.
"""

from __future__ import annotations

import contextlib
import dataclasses
import tempfile
import time
from pathlib import Path

import click

from benchmarks.tables import publish

CONTENDERS = {
    "lite0, ImageNet": ("yolov8-lite0", "imagenet"),
    "lite0, from scratch": ("yolov8-lite0", "none"),
    "xs, from scratch": ("yolov8-xs", "none"),
}
POINTS = 4
"""Validations of each, evenly spread over its minutes."""

Curve = list[tuple[float, float]]


@click.command(help=__doc__)
@click.argument("root", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option("--minutes", default=10.0, show_default=True)
@click.option("--out", default=Path("benchmarks/results"), show_default=True, type=click.Path(path_type=Path))
def main(root: Path, minutes: float, out: Path) -> None:
    """Trains one after the other, draws and prints."""
    curves: dict[str, Curve] = {}
    for name, (model, weights) in CONTENDERS.items():
        curves[name] = _learn(model, weights, root, minutes)
        click.echo(f"{name}: " + ", ".join(f"{minute:.1f} min {score:.3f}" for minute, score in curves[name]))
    out.mkdir(parents=True, exist_ok=True)
    publish(
        "pretrained",
        [
            {"AP50 after CPU minutes": name}
            | {f"{minutes * (place + 1) / POINTS:g}": round(score, 3) for place, (_, score) in enumerate(curve)}
            for name, curve in curves.items()
        ],
        details=curves,
    )
    _draw(curves, out / "pretrained.png")
    click.echo(f"wrote {out / 'pretrained.png'}")


def _learn(model: str, weights: str, root: Path, minutes: float) -> Curve:
    import keras

    from acne_trainer.config import DEFAULTS, PretrainedDetectorConfig
    from acne_trainer.data.mixture import read_sets
    from acne_trainer.data.source import DataSource
    from acne_trainer.tasks.detection import DetectionTask
    from acne_trainer.training.errors import StoppedError
    from acne_trainer.training.loop import Trainer

    sources = tuple(DataSource(str(root / name)) for name in ("acne4", "acne04"))
    settings = dataclasses.replace(
        DEFAULTS[model], data=sources, weights=weights, crops_per_photo=1, crop_size=256, warmup_steps=60, batch_size=8
    )
    # The minutes end it, and the curve's points validate it.
    settings = dataclasses.replace(settings, epochs=1000, validate_every=1000, final_rate=1.0)
    if weights == "none" and isinstance(settings, PretrainedDetectorConfig):
        settings = dataclasses.replace(settings, freeze_stages=0, backbone_rate=1.0)
    keras.utils.set_random_seed(settings.seed)
    # Only acne04/valid is scored: it has every inflamed lesion marked.
    typed, untyped = read_sets(settings.data)
    few = dataclasses.replace(typed.valid, samples=typed.valid.samples[:1])
    work = DetectionTask(settings, (dataclasses.replace(typed, valid=few), untyped))
    curve: Curve = []
    with tempfile.TemporaryDirectory() as run:
        loop = Trainer(work, settings, Path(run))
        spent, mark = 0.0, time.process_time()

        def stopped() -> bool:
            nonlocal spent, mark
            spent, mark = spent + time.process_time() - mark, time.process_time()
            if spent >= 60 * minutes * (len(curve) + 1) / POINTS:
                curve.append((round(spent / 60, 2), round(work.validate(loop.average)["val_ap50_acne04"], 4)))
                click.echo(f"  {model} {weights}: {curve[-1]}", err=True)
                mark = time.process_time()
            return len(curve) == POINTS

        with contextlib.suppress(StoppedError):
            loop.fit(stopped=stopped)
    return curve


def _draw(curves: dict[str, Curve], file: Path) -> None:
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(figsize=(7, 4), layout="constrained")
    for name, curve in curves.items():
        minutes, scores = zip(*curve, strict=True)
        axes.plot([0, *minutes], [0, *scores], marker="o", label=f"{name}: {scores[-1]:.3f}")
    axes.set(
        title="acne04/valid, all types as one lesion, 640 px",
        xlabel="CPU minutes of training",
        ylabel="AP50",
        ylim=0,
        xlim=0,
    )
    axes.grid(alpha=0.3)
    axes.legend()
    figure.savefig(file, dpi=110)


if __name__ == "__main__":
    main()
