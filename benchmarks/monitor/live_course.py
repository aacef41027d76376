"""Steady counts against the truth on a minute of rendered skin, on which lesions appear and heal.

python samples/render_course.py course.mp4
python -m benchmarks.monitor.live_course course.mp4
"""

from __future__ import annotations

import csv
import json
from pathlib import Path

import click
import matplotlib.pyplot as plt
import numpy as np

from acne_runtime.load import DEFAULT_MODEL, load_model
from acne_runtime.predictors.tracked_model import TrackedModel
from acne_runtime.sources.open_source import open_source

PICTURE = Path(__file__).parents[1] / "results" / "live-course.png"


@click.command(help=__doc__)
@click.argument("video", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--model", "name", default=DEFAULT_MODEL, show_default=True)
def main(video, name):
    """Follows, compares, draws."""
    with video.with_suffix(".csv").open(newline="") as stream:
        truth = np.array([int(row["lesions"]) for row in csv.DictReader(stream)])
    model = load_model(name)
    tracked = TrackedModel(model)
    times, single, steady = [], [], []
    for frame in open_source(str(video)).frames:
        times.append(frame.time_s)
        steady.append(sum(tracked.predict(frame).stable_counts.values()))
        single.append(len(model.predict(frame).lesions))
    times, single, steady = np.array(times), np.array(single), np.array(steady)
    expected = truth[np.minimum(times.astype(int), len(truth) - 1)]
    report = {
        "frames": len(times),
        "mean_lesions": {"true": expected.mean(), "single": single.mean(), "tracked": steady.mean()},
        "mean_absolute_error": {
            "single": np.abs(single - expected).mean(),
            "tracked": np.abs(steady - expected).mean(),
            "always_the_mean": np.abs(expected - round(expected.mean())).mean(),
        },
        "correlation": {
            "single": np.corrcoef(single, expected)[0, 1],
            "tracked": np.corrcoef(steady, expected)[0, 1],
        },
        "changes_per_second": {
            "true": np.count_nonzero(np.diff(expected)) / times[-1],
            "single": np.count_nonzero(np.diff(single)) / times[-1],
            "tracked": np.count_nonzero(np.diff(steady)) / times[-1],
        },
    }
    click.echo(json.dumps(report, indent=2, default=lambda value: round(float(value), 3)))
    figure, axes = plt.subplots(figsize=(8, 3.6), layout="constrained")
    axes.plot(times, single, color="#bbbbbb", linewidth=0.8, label="each frame alone")
    axes.plot(times, steady, color="#0072b2", linewidth=2, label="tracked")
    axes.step(
        np.arange(len(truth)), truth, where="post", color="#d55e00", linewidth=2, linestyle="--", label="on the skin"
    )
    axes.set(xlabel="seconds", ylabel="lesions", ylim=(0, max(*truth, *steady, *single) + 2))
    axes.legend(frameon=False, ncols=3, loc="upper left")
    axes.spines[["top", "right"]].set_visible(False)
    figure.savefig(PICTURE, dpi=100)


if __name__ == "__main__":
    main()
