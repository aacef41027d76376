"""What a detector finds on whole faces.

    python -m benchmarks.accuracy.whole_faces ../shared/data [--model NAME|FILE] [--split test]

All types as one lesion, on the photographs of acne04, against two sets of marks: the dermatologists' loose boxes
(acne04), and the second, tighter marks, three times as many (acne04v2), which are compared by centre only.
"""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path
from typing import Any

import click

from acne_runtime.load import DEFAULT_MODEL, load_model
from acne_trainer.data.dataset import Dataset
from acne_trainer.data.load import read_split
from acne_trainer.evaluation.evaluate import evaluate
from acne_trainer.metrics.catalog import METRICS, Metric
from acne_trainer.reports.tables import overall_text

BY_CENTRE = ("ap_centre_one_class", "count_error", "count_rho")


@click.command(help=__doc__)
@click.argument("root", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option("--model", default=DEFAULT_MODEL, show_default=True)
@click.option("--split", default="test", show_default=True)
def main(root: Path, model: str, split: str) -> None:
    """Measures and prints."""
    runner = load_model(model)
    with tempfile.TemporaryDirectory() as folder:
        second = with_photographs(root / "acne04v2", root / "acne04", Path(folder), split)
        sets = {
            "acne04": (read_split(root / "acne04", "train"), read_split(root / "acne04", split), METRICS["detection"]),
            "acne04v2": (*second, tuple(metric for metric in METRICS["detection"] if metric.key in BY_CENTRE)),
        }
        for name, (train, data, metrics) in sets.items():
            show(f"{name}/{split}", evaluate(runner, train, data), metrics)


def show(title: str, report: dict[str, Any], metrics: tuple[Metric, ...]) -> None:
    """Prints a table of metrics with the trivial baseline next to them."""
    click.echo(f"\n{title}: {report['images']} photographs, {report['boxes']} lesions\n")
    click.echo(overall_text(metrics, report["model"], report["baseline"]))


def with_photographs(marks: Path, photographs: Path, folder: Path, split: str) -> tuple[Dataset, Dataset]:
    """Returns `train` and a split of a set whose photographs lie in another one, under the same names."""
    read = []
    for part in ("train", split):
        (folder / part).mkdir(exist_ok=True)
        for file in (marks / part).glob("_*.txt"):
            shutil.copy(file, folder / part)
        for photograph in (photographs / part).glob("*.jpg"):
            (folder / part / photograph.name).symlink_to(photograph.resolve())
        read.append(read_split(folder, part))
    return read[0], read[1]


if __name__ == "__main__":
    main()
