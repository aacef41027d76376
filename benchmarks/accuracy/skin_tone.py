"""What a detector finds on light and on dark skin, as a rough estimate.

    python -m benchmarks.accuracy.skin_tone ../shared/data/acne04 ../shared/data/acne4 [--model NAME|FILE]

Nobody noted skin tones, so a proxy stands for them: the individual typology angle, ITA = atan((L* - 50) / b*), of the
median skin pixel outside of marked lesions (Chardon et al. 1991; names of the ranges after Del Bino and Bernerd 2013).
Light and camera change it as much as skin does: the ranges sort photographs, not people. All types are one lesion.
"""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import click
import cv2
import numpy as np
from numpy.typing import NDArray

from acne_runtime.load import DEFAULT_MODEL, load_model
from acne_trainer.data.dataset import Sample
from acne_trainer.data.load import read_split
from acne_trainer.evaluation.evaluate import evaluate, predict_split

RANGES = {"very light": 55.0, "light": 41.0, "intermediate": 28.0, "tan": 10.0, "brown": -30.0, "dark": -90.0}
"""Angle above which skin is called so, in degrees."""
SHOWN = ("ap30_one_class", "precision_one_class", "recall_one_class", "count_error")
MIN_PHOTOGRAPHS = 5
"""With fewer, an interval says nothing."""


def typology_angle(sample: Sample) -> float:
    """Returns the ITA of a photograph's skin in degrees, -90 to 90; NaN where hardly any skin is left to measure."""
    image = sample.image()
    luma, cr, cb = cv2.split(cv2.cvtColor(image, cv2.COLOR_BGR2YCrCb))
    # Skin of all tones lies in this range of chroma (Chai and Ngan 1999); walls in warm light and red skin, at its
    # edges, are left out, and so are shadows and reflections.
    skin = (cr >= 138) & (cr <= 168) & (cb >= 77) & (cb <= 120) & (luma >= 50) & (luma <= 245)
    for x1, y1, x2, y2 in sample.boxes:
        margin = 0.25 * max(x2 - x1, y2 - y1)
        left, top = (int(max(0, side - margin)) for side in (x1, y1))
        skin[top : int(y2 + margin) + 1, left : int(x2 + margin) + 1] = False
    if skin.mean() < 0.02:
        return float("nan")
    lab: NDArray[Any] = cv2.cvtColor(image.astype(np.float32) / 255, cv2.COLOR_BGR2Lab)[skin]
    lightness, _, yellow = np.median(lab, axis=0)
    return float(np.degrees(np.arctan2(lightness - 50, max(yellow, 1e-6))))


@click.command(help=__doc__)
@click.argument("sets", nargs=-1, required=True, type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option("--model", default=DEFAULT_MODEL, show_default=True)
@click.option("--split", default="test", show_default=True)
def main(sets: tuple[Path, ...], model: str, split: str) -> None:
    """Sorts, measures and prints."""
    runner = load_model(model)
    for folder in sets:
        train, data = read_split(folder, "train"), read_split(folder, split)
        results = predict_split(runner, data)
        angles = np.array([typology_angle(sample) for sample in data.samples])
        click.echo(f"\n{folder.name}/{split}: {len(angles)} photographs, {np.isnan(angles).sum()} without enough skin")
        click.echo("| skin by ITA | photographs | lesions | " + " | ".join(SHOWN) + " |")
        click.echo("|---" * (3 + len(SHOWN)) + "|")
        upper = np.inf
        for name, lower in RANGES.items():
            (chosen,) = np.nonzero((angles > lower) & (angles <= upper))
            upper = lower
            if len(chosen) < MIN_PHOTOGRAPHS:
                click.echo(f"| {name} | {len(chosen)} |" + " |" * (1 + len(SHOWN)))
                continue
            part = dataclasses.replace(data, samples=tuple(data.samples[index] for index in chosen))
            report = evaluate(runner, train, part, [results[index] for index in chosen])
            cells = [told(report["model"], key) for key in SHOWN]
            click.echo(f"| {name} | {len(chosen)} | {report['boxes']} | " + " | ".join(cells) + " |")


def told(metrics: dict[str, Any], key: str) -> str:
    """Returns a metric with its 95 % interval."""
    low, high = metrics[f"{key}_interval_95"]
    return f"{metrics[key]:.2f} ({low:.2f} to {high:.2f})"


if __name__ == "__main__":
    main()
