"""The end of a training: what the exporter reads, and every metric."""

from __future__ import annotations

import dataclasses
import json
import platform
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from acne_runtime import __version__
from acne_runtime.atomic_write import write_atomically
from acne_runtime.backends.keras import KerasBackend, measure_activations
from acne_runtime.manifest import Manifest
from acne_runtime.model import Model
from acne_runtime.preprocess import preprocess
from acne_runtime.result import Result
from acne_runtime.run_folder import CALIBRATION, INFERENCE_MODEL, MANIFEST, hash_files
from acne_runtime.severity import COUNTING
from acne_trainer.config import DetectorConfig, TrainConfig
from acne_trainer.data.dataset import Dataset
from acne_trainer.data.mixture import LabelledSet, as_lesions, mix, typed_lesions
from acne_trainer.evaluation.count_calibration import calibrate_counts
from acne_trainer.evaluation.evaluate import (
    apply_thresholds,
    evaluate,
    predict_split,
    with_best_thresholds,
    with_thresholds,
)
from acne_trainer.evaluation.predictions import predictions_file, save_predictions
from acne_trainer.evaluation.score_calibration import OPERATING_POINT, calibrate, fold_into_heads
from acne_trainer.metrics.catalog import headline
from acne_trainer.metrics.scored_image import pair_with_ground_truth
from acne_trainer.run_folder import FURTHER
from acne_trainer.tasks.detection import BOX_VOTING_SCORE, DetectionTask
from acne_trainer.tasks.multilabel import MultilabelTask

_CALIBRATION_PHOTOGRAPHS = 200

LICENCE = "Weights for research and demonstration only: trained on photographs whose sets carry their own terms"


def finalize_run(
    network: keras.Model,
    settings: TrainConfig,
    sets: Sequence[LabelledSet],
    run: Path,
    thresholds: Sequence[float] | None = None,
) -> None:
    """Writes what the exporter reads, the manifest last: a run folder without one is not finished.

    Args:
        network: The trained model.
        settings: Its settings.
        sets: The labelled sets; thresholds are chosen on the first one's validation photographs, tests are scored once.
        run: The run folder.
        thresholds: Those of each class where the training chose them already.
    """
    train = sets[0].train
    task = DetectionTask if isinstance(settings, DetectorConfig) else MultilabelTask
    (run / MANIFEST).unlink(missing_ok=True)  # that of an earlier, shorter training
    _save(network, run / "model.keras")
    plain = task.inference_model(network, settings)
    _save(plain, run / INFERENCE_MODEL)
    manifest = task.manifest(settings, train.classes)
    validation: dict[str, Any] = {}
    if task is DetectionTask:
        manifest, validation = _with_calibrated_scores(plain, manifest, sets, run)
    # Read back: what is scored from here on is the file, and its layers belong to one graph only.
    inference = keras.models.load_model(run / INFERENCE_MODEL, compile=False)
    backend = KerasBackend(inference)
    on_valid = [predict_split(Model(manifest, backend), labelled.valid) for labelled in sets]
    if thresholds is not None:
        manifest = with_thresholds(manifest, thresholds)
    elif not validation:
        manifest = with_best_thresholds(manifest, sets[0].valid, on_valid[0])
    model = Model(manifest, backend)
    metrics = _all_metrics(model, sets, on_valid, run)
    _write_json(run / "metrics.json", metrics)
    write_atomically(run / CALIBRATION, _calibration(inference, manifest, sets, settings.seed).encode())
    # Counts are measured where every lesion is marked: on a set without types, where there is one.
    index = next((index for index, labelled in enumerate(sets) if labelled.is_untyped), 0)
    valid = as_lesions(sets[index].valid) if sets[index].is_untyped else sets[index].valid
    counted = calibrate_counts(manifest, valid, on_valid[index], sets[index].source.untyped_as)
    if counted:
        validation[COUNTING] = counted | {"data": f"{sets[index].name}/valid"}
    manifest = dataclasses.replace(
        manifest,
        validation={"keras": _headline(manifest.task, metrics["test"])} | validation,
        provenance=_provenance(settings, mix(sets).data, inference.count_params()) | {"files": hash_files(run)},
    )
    write_atomically(run / MANIFEST, manifest.to_json().encode())


def _all_metrics(
    model: Model, sets: Sequence[LabelledSet], on_valid: Sequence[Sequence[Result]], run: Path
) -> dict[str, Any]:
    """Returns what `metrics.json` holds, and saves the predictions on the first set; `test` is scored this once."""
    metrics: dict[str, Any] = {}
    for labelled, valid_results in zip(sets, on_valid, strict=True):
        of_set: dict[str, Any] = {}
        for split, data, results in (("valid", labelled.valid, valid_results), ("test", labelled.test, None)):
            predictions = apply_thresholds(model.manifest, predict_split(model, data) if results is None else results)
            train = labelled.train
            if labelled.is_untyped:
                of_set[split] = evaluate(model, as_lesions(train), as_lesions(data), predictions)
            else:
                of_set[split] = evaluate(model, typed_lesions(train), data, predictions)
            if labelled is sets[0]:
                save_predictions(predictions, predictions_file(run, split))
        if labelled is sets[0]:
            metrics |= of_set
        else:
            metrics.setdefault(FURTHER, {})[labelled.name] = of_set
    return metrics


def _with_calibrated_scores(
    plain: keras.Model, manifest: Manifest, sets: Sequence[LabelledSet], run: Path
) -> tuple[Manifest, dict[str, Any]]:
    """Folds the calibration of the lesion score into the model that is exported, and saves it again.

    Returns:
        The manifest with the operating point as its threshold and the calibrated voting score, and what to tell of the
        calibration; nothing where the model found no marked lesion on any validation photograph.
    """
    runner = Model(manifest, KerasBackend(keras.models.load_model(run / INFERENCE_MODEL, compile=False)))
    photographs = [
        photograph
        for labelled in sets
        for photograph in pair_with_ground_truth(
            labelled.valid.samples, predict_split(runner, labelled.valid), manifest.classes, manifest.input
        )
    ]
    types = [np.zeros((0, len(manifest.classes))) if image.types is None else image.types for image in photographs]
    calibration = calibrate([image.as_one_class() for image in photographs], types)
    if calibration is None:
        return manifest, {}
    fold_into_heads(plain, calibration)
    _save(plain, run / INFERENCE_MODEL)
    calibrated = dataclasses.replace(manifest, thresholds=(OPERATING_POINT,), box_voting_score=BOX_VOTING_SCORE)
    return calibrated, {"lesion_score": calibration.to_dict()}


def _save(model: keras.Model, file: Path) -> None:
    """Writes a Keras file whole or not at all."""
    part = file.with_name(f"{file.stem}.part.keras")
    model.save(part)
    part.replace(file)


def _calibration(inference: keras.Model, manifest: Manifest, sets: Sequence[LabelledSet], seed: int) -> str:
    train = mix(sets)
    count = min(_CALIBRATION_PHOTOGRAPHS, len(train.data.samples))
    chosen = train.draw(count, np.random.default_rng(seed))
    tensors = (preprocess(train.data.samples[i].image(), manifest.input)[0] for i in chosen)
    return measure_activations(inference, tensors, manifest.distributions).to_json(count)


def _headline(task: str, metrics: dict[str, Any]) -> dict[str, Any]:
    """Returns the few metrics that travel inside the model file."""
    keys = [metric.key for metric in headline(task)]
    told: dict[str, Any] = {"images": metrics["images"]}
    for who in ("model", "baseline"):
        told[who] = {name: metrics[who][name] for key in keys for name in (key, f"{key}_interval_95")}
    return told


def _provenance(settings: TrainConfig, train: Dataset, parameters: int) -> dict[str, Any]:
    return {
        "data": settings.data_names,
        "train_fingerprint": train.fingerprint(),
        "train_photographs": len(train.samples),
        "parameters": parameters,
        "settings": settings.to_dict(),
        "versions": {
            "acne-edge": __version__,
            "tensorflow": tf.__version__,
            "keras": keras.__version__,
            "python": platform.python_version(),
        },
        "revision": _revision(),
        "licence": LICENCE,
    }


def _revision() -> str:
    """Returns the commit of the checkout this runs from, or an empty text outside of one."""
    try:
        return subprocess.run(
            ["git", "-C", str(Path(__file__).parent), "rev-parse", "HEAD"],
            capture_output=True,
            text=True,
            check=True,
        ).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return ""


def _write_json(file: Path, value: object) -> None:
    write_atomically(file, (json.dumps(value, indent=2) + "\n").encode())
