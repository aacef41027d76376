"""Scores a model on a labelled split, through the runtime: what is measured is what a device answers."""

from __future__ import annotations

import dataclasses
import math
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from acne_runtime.errors import SourceError
from acne_runtime.manifest import Manifest
from acne_runtime.model import Model
from acne_runtime.result import Lesion, Result
from acne_trainer.data.dataset import Dataset, names_of
from acne_trainer.data.mixture import UNTYPED_NAME
from acne_trainer.data.source_names import source_of
from acne_trainer.metrics.baselines import ConstantClassifier, ConstantDetector
from acne_trainer.metrics.detection_report import SCORE_THRESHOLD, average_precision, detection_report
from acne_trainer.metrics.multilabel import choose_thresholds, multilabel_report
from acne_trainer.metrics.thresholds import match_positive_count


def predict_split(model: Model, data: Dataset) -> list[Result]:
    """Returns the model's answer for each photograph, in the split's order; `source` is its name by `names_of`.

    A detector gives all boxes from `SCORE_THRESHOLD` on, as average precision needs them; its own thresholds would cut
    them off.

    Raises:
        SourceError: A photograph cannot be decoded.
    """
    threshold = SCORE_THRESHOLD if model.manifest.task == "detection" else None
    runner = Model(model.manifest, model.backend, threshold)
    return [
        runner(sample.image(), source=name) for name, sample in zip(names_of(data.samples), data.samples, strict=True)
    ]


def with_best_thresholds(manifest: Manifest, valid: Dataset, results: Sequence[Result]) -> Manifest:
    """Returns the manifest with its thresholds set where F1 is highest, to four digits, rounded down.

    A threshold is the score of a photograph or box, which rounding up would lose. A detector with a box a lesion has
    one threshold, where lesions of whatever type are found best; all others have one for each class.

    Args:
        manifest: The model's.
        valid: The validation photographs.
        results: What `predict_split` gave for them.
    """
    if manifest.task == "detection":
        chosen = average_precision(valid.samples, results, valid.classes, manifest.one_box_per_lesion).thresholds
        thresholds = tuple(chosen[name] for name in manifest.threshold_names)
    else:
        thresholds = choose_thresholds(_truth(valid), _scores(results))
    return with_thresholds(manifest, thresholds)


def with_matching_thresholds(
    manifest: Manifest, results: Sequence[Result], like: Manifest, exact: Sequence[Result]
) -> Manifest:
    """Returns the manifest of a reduced model with thresholds by which it decides as its source does.

    Args:
        manifest: The reduced model's.
        results: What `predict_split` gave for it.
        like: The source's.
        exact: What `predict_split` gave for the source on the same photographs.
    """
    # Of a detector with a box a lesion, all of them are held against its one threshold.
    names: Iterable[str | None] = [None] if like.one_box_per_lesion else like.classes
    thresholds = [
        match_positive_count(threshold, _scores_of(name, exact), _scores_of(name, results))
        for name, threshold in zip(names, like.thresholds, strict=True)
    ]
    return with_thresholds(manifest, thresholds)


def with_thresholds(manifest: Manifest, thresholds: Iterable[float]) -> Manifest:
    """Returns the manifest with these thresholds, to four digits, rounded down."""
    return dataclasses.replace(manifest, thresholds=tuple(math.floor(value * 1e4) / 1e4 for value in thresholds))


def _scores_of(name: str | None, results: Sequence[Result]) -> NDArray[np.float64]:
    """Returns all scores of a class, or of all lesions."""
    return np.array(
        [
            lesion.score
            for result in results
            for lesion in result.lesions or result.labels or ()
            if name in (lesion.name, None)
        ]
    )


def apply_thresholds(manifest: Manifest, results: Sequence[Result]) -> list[Result]:
    """Returns results of `predict_split` as they are under the manifest's thresholds; boxes stay, all of them."""
    if manifest.task == "detection":
        return list(results)
    limits = dict(zip(manifest.classes, np.asarray(manifest.thresholds, np.float32), strict=True))
    return [
        dataclasses.replace(
            result,
            labels=result.labels
            and tuple(
                dataclasses.replace(label, present=bool(label.score >= limits[label.name])) for label in result.labels
            ),
        )
        for result in results
    ]


def evaluate(model: Model, train: Dataset, data: Dataset, results: Sequence[Result] | None = None) -> dict[str, Any]:
    """Returns all metrics of a model on one split.

    Args:
        model: The model, with its own thresholds.
        train: What it was trained on, from which the trivial baseline takes its predictions.
        data: The split to score. Where its one class is `lesion`, a detector is scored on lesions of whatever type.
        results: What `predict_split` gave for the split, where it was called already.

    Raises:
        SourceError: A split has other classes than the model, or no boxes for a detector; a photograph cannot be
            decoded.
    """
    manifest = model.manifest
    untyped = manifest.task == "detection" and data.classes == (UNTYPED_NAME,) != manifest.classes
    for split in (train, data):
        if not untyped and split.classes != manifest.classes:
            raise SourceError(
                f"{split.path}: its classes {list(split.classes)} are not those of {manifest.name}, "
                f"{list(manifest.classes)}"
            )
        if manifest.task == "detection" and not split.has_boxes:
            raise SourceError(f"{split.path}: its labels have no boxes, which a detector is scored on")
    results = predict_split(model, data) if results is None else results
    if untyped:
        results = [as_untyped(result) for result in results]
    if manifest.task == "detection":
        baseline = ConstantDetector.of(train.samples, len(train.classes))
        report = detection_report(data.samples, results, data.classes, manifest.thresholds, manifest.input, baseline)
    else:
        seen = _truth(train)
        constant = ConstantClassifier(seen.mean(axis=0), Counter(map(tuple, seen)).most_common(1)[0][0])
        groups = [source_of(name) for name in names_of(data.samples)]
        report = multilabel_report(groups, _truth(data), _scores(results), data.classes, manifest.thresholds, constant)
    return {name: _json(value) for name, value in report.items()}


def as_untyped(result: Result) -> Result:
    """Returns a result whose lesions are of the one class `lesion`."""
    lesions = tuple(Lesion(UNTYPED_NAME, lesion.score, lesion.box) for lesion in result.lesions or ())
    return dataclasses.replace(result, classes=(UNTYPED_NAME,), lesions=lesions)


def _json(value: Any) -> Any:
    """Returns the value with `None` for metrics that cannot be computed: JSON knows no NaN."""
    if isinstance(value, dict):
        return {name: _json(one) for name, one in value.items()}
    if isinstance(value, list):
        return [_json(item) for item in value]
    return None if isinstance(value, float) and math.isnan(value) else value


def _truth(data: Dataset) -> NDArray[np.float32]:
    return np.stack([sample.presence(len(data.classes)) for sample in data.samples])


def _scores(results: Sequence[Result]) -> NDArray[np.float32]:
    return np.array([[label.score for label in result.labels or ()] for result in results], np.float32)
