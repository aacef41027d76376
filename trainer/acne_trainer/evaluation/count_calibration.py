"""How a detector counts papules and pustules: a severity grade is to be right in the middle and say how sure it is."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

from acne_runtime.atomic_write import write_atomically
from acne_runtime.backends.keras import KerasBackend
from acne_runtime.errors import AcneEdgeError
from acne_runtime.manifest import Manifest
from acne_runtime.model import Model
from acne_runtime.result import Result
from acne_runtime.run_folder import INFERENCE_MODEL, MANIFEST
from acne_runtime.severity import COUNTED, COUNTING, NOT_INFLAMMATORY, counted_types, supports_severity
from acne_trainer.data.dataset import Dataset
from acne_trainer.data.load import read_split
from acne_trainer.evaluation.evaluate import predict_split
from acne_trainer.run_folder import read_run

_LEVEL = 0.9


def calibrate_counts(
    manifest: Manifest, labelled: Dataset, results: Sequence[Result], untyped_as: Sequence[str] = ()
) -> dict[str, Any] | None:
    """Chooses from which score on a lesion counts, and returns how far the counts are off then.

    Lesions of the types that count (`severity.counted_types`) are counted once, as their most probable type.

    The score is that from which counts follow the labelled ones best: the ratio (labelled + 1) / (counted + 1) deviates
    least, by the mean of |log(ratio / median ratio)|. The interval is split conformal prediction (Vovk et al. 2005; Lei
    et al. 2018): the quantiles of that ratio, taken one rank further out than a sample's own, hold 90 % of the
    photographs to come, if those are like these.

    Args:
        manifest: The model's.
        labelled: Photographs that it did not learn from, with all lesions of these types marked; where the set has one
            class only, all lesions.
        results: What `predict_split` gave for them.
        untyped_as: Of labels with one class, the types that those lesions may be of; none for any.

    Returns:
        `threshold`, rounded down to four digits; `ratio_50`, the median, and `ratio_90`, the two quantiles, to three
        digits; `photographs`; `types`, where they are not `COUNTED`. `None` for a model or labels without these types.
    """
    if not supports_severity(manifest) or not labelled.samples:
        return None
    if len(labelled.classes) == 1:  # it does not say which types are marked: those that the counts follow best
        candidates = _of_interest(untyped_as or manifest.classes)
        measured = [_measured(types, labelled, labelled.classes, results) for types in candidates]
        return min(measured, key=lambda one: one[0])[1]
    types = counted_types(manifest)
    return _measured(types, labelled, types, results)[1] if set(types) <= set(labelled.classes) else None


def _of_interest(possible: Sequence[str]) -> list[tuple[str, ...]]:
    """Returns the sets of types that may be what people counted: Hayashi's, all inflammatory ones, all."""
    inflammatory = tuple(name for name in possible if name != NOT_INFLAMMATORY)
    hayashi = tuple(name for name in COUNTED if name in possible)
    return list(dict.fromkeys(types for types in (hayashi, inflammatory, tuple(possible)) if types))


def _measured(
    types: Sequence[str], labelled: Dataset, names: Sequence[str], results: Sequence[Result]
) -> tuple[float, dict[str, Any]]:
    """Returns how far counts of some types are off, and what `counting` returns for them."""
    classes = [labelled.classes.index(name) for name in names]
    marked = np.array([np.isin(sample.classes, classes).sum() for sample in labelled.samples])
    scores = [np.sort([lesion.score for lesion in result.lesions or () if lesion.name in types]) for result in results]

    def ratios(threshold: float) -> NDArray[np.float64]:
        counted = np.array([len(photo_scores) - np.searchsorted(photo_scores, threshold) for photo_scores in scores])
        ratio: NDArray[np.float64] = (marked + 1) / (counted + 1)
        return ratio

    tried = np.unique(np.floor(np.concatenate([*scores, [1.0]]) * 1e4) / 1e4)
    errors = [_deviation(ratios(candidate)) for candidate in tried]
    threshold = float(tried[int(np.argmin(errors))])
    ordered, tail = np.sort(ratios(threshold)), (1 - _LEVEL) / 2
    high = min(math.ceil((1 - tail) * (len(ordered) + 1)), len(ordered)) - 1
    low = max(math.floor(tail * (len(ordered) + 1)), 1) - 1
    return min(errors), {
        "threshold": threshold,
        "ratio_50": float(f"{np.median(ordered):.3g}"),
        "ratio_90": [float(f"{ordered[place]:.3g}") for place in (low, high)],
        "photographs": len(ordered),
    } | ({} if set(types) == set(COUNTED) else {"types": list(types)})


def _deviation(ratios: NDArray[np.float64]) -> float:
    logs = np.log(ratios)
    return float(np.abs(logs - np.median(logs)).mean())


def measure_counting(run: Path, data: Path, split: str) -> dict[str, Any]:
    """Measures how a finished detector counts on a labelled split, and writes it into the run's manifest.

    Raises:
        AcneEdgeError: The model or the labels have no papules and pustules.
    """
    manifest, labelled = read_run(run).manifest, read_split(data, split)
    results: list[Result] = []
    if supports_severity(manifest):
        network = keras.models.load_model(run / INFERENCE_MODEL, compile=False)
        results = predict_split(Model(manifest, KerasBackend(network)), labelled)
    measured = calibrate_counts(manifest, labelled, results, _untyped_as(manifest, data.name))
    if measured is None:
        names = " and ".join(counted_types(manifest))
        raise AcneEdgeError(f"{run} on {data / split}: the model or the labels have no {names}")
    measured["data"] = f"{data.name}/{split}"
    changed = dataclasses.replace(manifest, validation=manifest.validation | {COUNTING: measured})
    write_atomically(run / MANIFEST, changed.to_json().encode())
    return measured


def _untyped_as(manifest: Manifest, name: str) -> Sequence[str]:
    """Returns the types that the training took a set's lesions of unknown type for."""
    sets = manifest.provenance.get("settings", {}).get("data")
    if not isinstance(sets, list):  # one set, by its name
        return ()
    return next((one.get("untyped_as", ()) for one in sets if one.get("path") == name), ())
