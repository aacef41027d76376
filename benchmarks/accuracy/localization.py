"""Localization errors of the detector, and how well annotators agree on where a lesion is.

    python -m benchmarks.accuracy.localization ../shared/data

First, average precision if predicted boxes had the size or the centre of the annotated ones that they match by centre:
what is lost to each. Second, lesions that the two annotations of ACNE04 (acne04, acne04v2) mark once each: how far the
centres of their marks and of the predicted box lie apart.
"""

from __future__ import annotations

import dataclasses
import tempfile
from pathlib import Path

import click
import numpy as np
from numpy.typing import NDArray

from acne_runtime.load import DEFAULT_MODEL, load_model
from acne_runtime.model import Model
from acne_trainer.data.dataset import Dataset
from acne_trainer.data.load import read_split
from acne_trainer.data.mixture import UNTYPED_NAME
from acne_trainer.evaluation.evaluate import as_untyped, predict_split
from acne_trainer.metrics.matching import average_precisions, match, match_and_rank
from acne_trainer.metrics.scored_image import ScoredImage, pair_with_ground_truth
from benchmarks.accuracy.whole_faces import with_photographs
from benchmarks.tables import Row, publish

SETS = {"acne04": "whole faces", "acne4": "close-ups"}
CHANGES = {
    "as predicted": (False, False),
    "with the annotated centre": (False, True),
    "with the annotated size": (True, False),
    "with both": (True, True),
}
"""Whether predicted boxes get the annotated size, and the annotated centre."""


@click.command(help=__doc__)
@click.argument("root", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option("--model", "name", default=DEFAULT_MODEL, show_default=True)
@click.option("--split", default="test", show_default=True)
def main(root: Path, name: str, split: str) -> None:
    """Measures and publishes."""
    model = load_model(name)
    sets = {folder: read_split(root / folder, split) for folder in SETS}
    images = {folder: paired(model, data) for folder, data in sets.items()}
    rows: list[dict[str, str | int | float]] = []
    for what, (size, centre) in CHANGES.items():
        changed = {folder: [with_truth(image, size, centre) for image in images[folder]] for folder in SETS}
        rows.append(
            {"boxes": what}
            | {
                f"{title}: AP at IoU {iou}": average_precision(changed[folder], iou)
                for folder, title in SETS.items()
                for iou in (0.5, 0.3)
            }
        )
    publish("localization", rows)
    with tempfile.TemporaryDirectory() as folder:
        _, second = with_photographs(root / "acne04v2", root / "acne04", Path(folder), split)
        marks = {sample.path.name: _centre_and_size(sample.boxes)[:, :2] for sample in second.samples}
    threshold = float(model.thresholds[0])
    pairs = [
        distances(image.reaching(np.array([threshold])), marks[sample.path.name])
        for sample, image in zip(sets["acne04"].samples, images["acne04"], strict=True)
        if sample.path.name in marks
    ]
    publish("annotator_agreement", agreement(np.concatenate(pairs)))


def paired(model: Model, data: Dataset) -> list[ScoredImage]:
    """Returns the photographs with all predicted boxes, all types as one."""
    results = [as_untyped(result) for result in predict_split(model, data)]
    return [image.as_one_class() for image in pair_with_ground_truth(data.samples, results, (UNTYPED_NAME,))]


def average_precision(images: list[ScoredImage], iou: float) -> str:
    """Returns it as text."""
    return f"{average_precisions(match_and_rank(images, 0, iou), np.ones((1, len(images))))[0]:.3f}"


def with_truth(image: ScoredImage, size: bool, centre: bool) -> ScoredImage:
    """Returns the photograph with boxes that take size or centre from the annotated box they match by centre."""
    matched = match(image.gt_boxes, image.pred_boxes, "centre")
    tp = matched >= 0
    boxes, gt = _centre_and_size(image.pred_boxes), _centre_and_size(image.gt_boxes)[matched[tp]]
    if centre:
        boxes[tp, :2] = gt[:, :2]
    if size:
        boxes[tp, 2:] = gt[:, 2:]
    half = boxes[:, 2:] / 2
    return dataclasses.replace(image, pred_boxes=np.hstack([boxes[:, :2] - half, boxes[:, :2] + half]))


def distances(image: ScoredImage, marks: NDArray[np.float64]) -> NDArray[np.float64]:
    """Returns `[n, 3, 2]`: how far centres lie apart, in widths and heights of the annotated box.

    For lesions that are found and that both annotations mark once: from the second mark to the annotated box, from it
    to the predicted box, and from the annotated box to the predicted one.
    """
    matched = match(image.gt_boxes, image.pred_boxes, "centre")
    found = []
    for predicted, index in zip(image.pred_boxes, matched, strict=True):
        if index < 0:
            continue
        gt = image.gt_boxes[index]
        inside = _holds(gt, marks)
        if inside.sum() != 1 or (inside | _holds(predicted, marks)).sum() != 1:
            continue
        mark = marks[inside][0]
        (x, y, width, height), (px, py, _, _) = _centre_and_size(np.stack([gt, predicted]))
        box, own = np.array([x, y]), np.array([px, py])
        found.append(np.array([box - mark, own - mark, own - box]) / (width, height))
    return np.array(found).reshape(-1, 3, 2)


def agreement(found: NDArray[np.float64]) -> list[Row]:
    """Returns the table of `distances`."""
    apart = np.linalg.norm(found, axis=2)
    titles = ("annotated box to second mark", "predicted box to second mark", "predicted box to annotated box")
    return [
        {
            f"{len(found)} lesions, centres, in box sides": title,
            "median": f"{np.median(column):.3f}",
            "90 % within": f"{np.quantile(column, 0.9):.3f}",
        }
        for title, column in zip(titles, apart.T, strict=True)
    ]


def _centre_and_size(boxes: NDArray[np.floating]) -> NDArray[np.float64]:
    boxes = np.asarray(boxes, np.float64)
    return np.hstack([(boxes[:, :2] + boxes[:, 2:]) / 2, boxes[:, 2:] - boxes[:, :2]])


def _holds(box: NDArray[np.float64], points: NDArray[np.float64]) -> NDArray[np.bool_]:
    inside: NDArray[np.bool_] = ((points > box[:2]) & (points < box[2:])).all(axis=1)
    return inside


if __name__ == "__main__":
    main()
