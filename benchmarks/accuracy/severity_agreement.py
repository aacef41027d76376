"""How well a grade from counts agrees with dermatologists'.

    python benchmarks/accuracy/severity_agreement.py ../shared/data/acne04

ACNE04's file names hold the grade (`levle0` mild to `levle3` very severe). Nothing was chosen on the photographs of
`test`. Next to the agreement stands that of the commonest grade, answered always.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path

import click
import numpy as np

from acne_runtime.load import DEFAULT_MODEL, load_model
from acne_runtime.predictors.severity_model import SeverityModel
from acne_runtime.severity import GRADES
from acne_runtime.sources.image_files import list_images, read_image

GRADE = re.compile(r"levle(\d)")
RESAMPLES = 1000


@click.command(help=__doc__)
@click.argument("data", type=click.Path(exists=True, path_type=Path))
@click.option("--model", default=DEFAULT_MODEL, show_default=True)
@click.option("--split", default="test", show_default=True)
def main(data: Path, model: str, split: str) -> None:
    """Grades, compares and prints."""
    runner = SeverityModel(load_model(model))
    truth, graded, covered = [], [], []
    for photo in list_images(data / split):
        stated = GRADE.search(photo.name)
        if stated is None:
            continue
        found = runner(read_image(photo)).severity
        assert found is not None
        truth.append(int(stated[1]))
        graded.append(GRADES.index(found.grade))
        if found.grades_interval is not None:
            low, high = (GRADES.index(grade) for grade in found.grades_interval)
            covered.append(low <= truth[-1] <= high)
    right = np.array(graded) == np.array(truth)
    near = np.abs(np.array(graded) - np.array(truth)) <= 1
    commonest, count = Counter(truth).most_common(1)[0]
    click.echo(f"{len(truth)} photographs of {data.name}/{split}; {runner.manifest.name}")
    click.echo(f"grade as the dermatologists'   {_told(right)}")
    click.echo(f"weighted kappa, quadratic      {_interval(weighted_kappa, truth, graded)}")
    click.echo(f"at most one grade off          {_told(near)}")
    click.echo(f"always {GRADES[commonest]!r}: {count / len(truth):.3f}; within one: ", nl=False)
    click.echo(f"{np.mean(np.abs(np.array(truth) - commonest) <= 1):.3f}")
    if covered:
        click.echo(f"dermatologists' grade within the stated 90 % interval  {_told(np.array(covered))}")
    click.echo("rows: dermatologists; columns: " + ", ".join(GRADES))
    for row, name in enumerate(GRADES):
        cells = [sum(t == row and g == column for t, g in zip(truth, graded, strict=True)) for column in range(4)]
        click.echo(f"{name:12}" + "".join(f"{cell:5}" for cell in cells))


def weighted_kappa(truth: np.ndarray, graded: np.ndarray) -> float:
    """Returns Cohen's kappa with quadratic weights (Cohen 1968): 0 for chance, 1 for full agreement."""
    observed = ((truth - graded) ** 2).mean()
    return float(1 - observed / ((truth[:, None] - graded[None]) ** 2).mean())


def _told(hits: np.ndarray) -> str:
    return _interval(np.mean, hits)


def _interval(statistic: Callable[..., float], *values: Sequence[int] | np.ndarray) -> str:
    """Returns a statistic of the photographs with its 95 % bootstrap interval."""
    arrays = [np.asarray(value) for value in values]
    rng, count = np.random.default_rng(0), len(arrays[0])
    drawn = (rng.integers(count, size=count) for _ in range(RESAMPLES))
    low, high = np.percentile([statistic(*(array[rows] for array in arrays)) for rows in drawn], [2.5, 97.5])
    return f"{statistic(*arrays):.3f} ({low:.3f} to {high:.3f})"


if __name__ == "__main__":
    main()
