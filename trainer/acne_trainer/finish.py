"""The end of a training: what the exporter reads, and every figure."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import platform
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from acne_runtime import __version__, files
from acne_runtime.manifest import Manifest
from acne_runtime.model import Model
from acne_runtime.preprocess import preprocess
from acne_runtime.severity import COUNTING
from acne_trainer import detection, multilabel
from acne_trainer.calibration import activation_ranges
from acne_trainer.counting import counting
from acne_trainer.evaluate import decided_by, evaluate, results_of, with_chosen_thresholds, with_thresholds
from acne_trainer.keras_backend import KerasBackend
from acne_trainer.labels.dataset import Dataset
from acne_trainer.predictions import predictions_file, save_predictions
from acne_trainer.settings import Settings

_CALIBRATION_PHOTOGRAPHS = 200

LICENCE = "Weights for research and demonstration only: trained on photographs whose sets carry their own terms"


def finish(
    network: keras.Model,
    settings: Settings,
    splits: tuple[Dataset, Dataset, Dataset],
    run: Path,
    thresholds: Sequence[float] | None = None,
) -> None:
    """Writes what the exporter reads, the manifest last: a run folder without one is not finished.

    Args:
        network: The trained model.
        settings: Its settings.
        splits: Training, validation and test photographs; thresholds are chosen on validation, test is scored once.
        run: The run folder.
        thresholds: Those of each class where the training chose them already.
    """
    train, valid, test = splits
    experiment = detection if settings.is_detector else multilabel
    (run / "manifest.json").unlink(missing_ok=True)  # that of an earlier, shorter training
    _save(network, run / "model.keras")
    _save(experiment.inference_form(network, settings), run / "inference.keras")
    # Read back: what is scored from here on is the file, and its layers belong to one graph only.
    inference = keras.models.load_model(run / "inference.keras", compile=False)
    backend = KerasBackend(inference)
    manifest = experiment.manifest(settings, train.classes)
    answers = {name: results_of(Model(manifest, backend), data) for name, data in (("valid", valid), ("test", test))}
    if thresholds is None:
        manifest = with_chosen_thresholds(manifest, valid, answers["valid"])
    else:
        manifest = with_thresholds(manifest, thresholds)
    metrics = {}
    for split, data in (("valid", valid), ("test", test)):  # test: this once
        results = decided_by(manifest, answers[split])
        metrics[split] = evaluate(Model(manifest, backend), train, data, results)
        save_predictions(results, predictions_file(run, split))
    _write_json(run / "metrics.json", metrics)
    _write_json(run / "calibration.json", _calibration(inference, manifest, train, settings.seed))
    counted = counting(manifest, valid, answers["valid"])
    if counted:
        counted["data"] = f"{Path(settings.data).name}/valid"
    manifest = dataclasses.replace(
        manifest,
        validation={"keras": _headline(metrics["test"])} | ({COUNTING: counted} if counted else {}),
        provenance=_provenance(settings, train) | {"files": _hashes(run)},
    )
    files.write_atomically(run / "manifest.json", manifest.to_json().encode())


def _save(model: keras.Model, file: Path) -> None:
    """Writes a Keras file whole or not at all."""
    part = file.with_name(f"{file.stem}.part.keras")
    model.save(part)
    part.replace(file)


def _calibration(inference: keras.Model, manifest: Manifest, train: Dataset, seed: int) -> dict[str, Any]:
    rng = np.random.default_rng(seed)
    count = min(_CALIBRATION_PHOTOGRAPHS, len(train.samples))
    chosen = rng.choice(len(train.samples), count, replace=False)
    tensors = (preprocess(train.samples[i].image(), manifest.input)[0] for i in chosen)
    return {"schema": 1, "photographs": count, "ranges": activation_ranges(inference, tensors)}


def _hashes(run: Path) -> dict[str, str]:
    """Returns the SHA-256 of what the exporter reads beside the manifest."""
    return {
        name: hashlib.sha256((run / name).read_bytes()).hexdigest() for name in ("inference.keras", "calibration.json")
    }


def _headline(metrics: dict[str, Any]) -> dict[str, Any]:
    """Returns the few figures that travel inside the model file."""
    if "ap50" in metrics:
        return {name: metrics[name] for name in ("photographs", "ap50", "ap50_interval_95", "ap50_one_class")}
    names = ("argmax_agreement", "argmax_agreement_interval_95", "macro_f1", "macro_ap")
    return {"photographs": metrics["photographs"]} | {
        who: {name: metrics[who][name] for name in names} for who in ("model", "constant_predictor")
    }


def _provenance(settings: Settings, train: Dataset) -> dict[str, Any]:
    return {
        "data": Path(settings.data).name,
        "train_fingerprint": train.fingerprint(),
        "train_photographs": len(train.samples),
        "settings": dataclasses.asdict(settings) | {"data": Path(settings.data).name},
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
    files.write_atomically(file, (json.dumps(value, indent=2) + "\n").encode())
