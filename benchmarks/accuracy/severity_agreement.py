"""How well a grade from counts agrees with dermatologists'.

    python -m benchmarks.accuracy.severity_agreement ../shared/data/acne04

ACNE04's file names hold the grade (`levle0` mild to `levle3` very severe). Nothing was chosen on the photographs of
`test`. Next to the agreement stands that of the commonest grade, answered always. Then the same for photographs
cut into parts, each given as a region of the face, whose counts are added up.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path

import click
import numpy as np

from acne_runtime.load import load_model
from acne_runtime.model import Model
from acne_runtime.predictors.face_severity import FaceSeverity
from acne_runtime.predictors.severity_model import SeverityModel
from acne_runtime.severity import GRADES
from acne_runtime.sources.image_files import list_images, read_image
from acne_trainer.data.load import read_split
from benchmarks.tables import publish

GRADE = re.compile(r"levle(\d)")
RESAMPLES = 1000
CUTS = {"whole": (1, 1), "2 halves": (2, 1), "3 thirds": (3, 1), "4 quarters": (2, 2)}
"""Rows and columns of the parts."""
PARTS = ("forehead", "left-cheek", "nose", "chin")
MODELS = tuple(f"models/acne-yolov8-lite0/acne-yolov8-lite0{form}" for form in (".onnx", "-int8.tflite"))


@click.command(help=__doc__)
@click.argument("data", type=click.Path(exists=True, path_type=Path))
@click.option("--model", "models", default=MODELS, multiple=True, show_default=True)
@click.option("--split", default="test", show_default=True)
def main(data: Path, models: tuple[str, ...], split: str) -> None:
    """Grades, compares and prints."""
    photos = [photo for photo in list_images(data / split) if GRADE.search(photo.name)]
    truth = np.array([int(GRADE.search(photo.name)[1]) for photo in photos])
    commonest = Counter(truth.tolist()).most_common(1)[0][0]
    columns = {Path(model).name: agreement(load_model(model), photos, truth) for model in models}
    columns[f'always "{GRADES[commonest]}"'] = {
        "the dermatologists' grade": f"{(truth == commonest).mean():.3f}",
        "weighted kappa, quadratic": "0",
        "at most one grade off": f"{(np.abs(truth - commonest) <= 1).mean():.3f}",
    }
    publish(
        "severity_agreement",
        [
            {f"{len(photos)} photographs": what} | {name: column.get(what, "") for name, column in columns.items()}
            for what in next(iter(columns.values()))
        ],
    )
    boxes = {sample.path.name: len(sample.boxes) for sample in read_split(data, split).samples}
    marked = np.array([boxes[photo.name] for photo in photos])
    model = load_model(models[0])
    publish(
        "severity_regions",
        [
            {f"{len(photos)} photographs, cut into": name} | in_parts(model, photos, truth, marked, *grid)
            for name, grid in CUTS.items()
        ],
    )


def agreement(model: Model, photos: Sequence[Path], truth: np.ndarray) -> dict[str, str]:
    """Returns the figures of a model, and prints its confusion matrix."""
    runner = SeverityModel(model)
    found = [runner(read_image(photo)).severity for photo in photos]
    graded = np.array([GRADES.index(severity.grade) for severity in found])
    click.echo("rows: dermatologists; columns: " + ", ".join(GRADES))
    for row, name in enumerate(GRADES):
        cells = [np.sum((truth == row) & (graded == column)) for column in range(len(GRADES))]
        click.echo(f"{name:12}" + "".join(f"{cell:5}" for cell in cells))
    figures = {
        "the dermatologists' grade": _interval(np.mean, graded == truth),
        "weighted kappa, quadratic": _interval(weighted_kappa, truth, graded),
        "at most one grade off": _interval(np.mean, np.abs(graded - truth) <= 1),
    }
    if all(severity.grades_interval for severity in found):  # of a model with calibrated counts
        low, high = np.array([[GRADES.index(grade) for grade in severity.grades_interval] for severity in found]).T
        figures["their grade within the stated 90 % interval"] = _interval(np.mean, (low <= truth) & (truth <= high))
    return figures


def in_parts(
    model: Model, photos: Sequence[Path], truth: np.ndarray, marked: np.ndarray, rows: int, columns: int
) -> dict[str, str]:
    """Returns the figures of grades from photographs cut into parts, each of them a photograph of its own."""
    graded, lesions, held = [], [], []
    for photo, count in zip(photos, marked, strict=True):
        face, image = FaceSeverity(model), read_image(photo)
        parts = [part for row in np.array_split(image, rows) for part in np.array_split(row, columns, axis=1)]
        for name, part in zip(PARTS, parts, strict=False):
            face.add(name, np.ascontiguousarray(part))
        severity = face.severity
        graded.append(GRADES.index(severity.grade))
        lesions.append(severity.lesions)
        held.append(severity.lesions_interval[0] <= count <= severity.lesions_interval[1])
    constant = np.abs(marked - np.median(marked)).mean()
    return {
        "the dermatologists' grade": _interval(np.mean, np.array(graded) == truth),
        "weighted kappa": _interval(weighted_kappa, truth, np.array(graded)),
        f"count error (constant {constant:.1f})": _interval(np.mean, np.abs(np.array(lesions) - marked), digits=1),
        "marked count within the stated 90 % interval": _interval(np.mean, np.array(held)),
    }


def weighted_kappa(truth: np.ndarray, graded: np.ndarray) -> float:
    """Returns Cohen's kappa with quadratic weights (Cohen 1968): 0 for chance, 1 for full agreement."""
    observed = ((truth - graded) ** 2).mean()
    return float(1 - observed / ((truth[:, None] - graded[None]) ** 2).mean())


def _interval(statistic: Callable[..., float], *values: np.ndarray, digits: int = 3) -> str:
    """Returns a statistic of the photographs with its 95 % bootstrap interval."""
    rng, count = np.random.default_rng(0), len(values[0])
    drawn = (rng.integers(count, size=count) for _ in range(RESAMPLES))
    low, high = np.percentile([statistic(*(array[rows] for array in values)) for rows in drawn], [2.5, 97.5])
    return f"{statistic(*values):.{digits}f} ({low:.{digits}f} to {high:.{digits}f})"


if __name__ == "__main__":
    main()
