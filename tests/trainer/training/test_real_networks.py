"""The loop with the real tasks on small networks: what toys in test_loop.py cannot show."""

import dataclasses

import keras
import numpy as np
import pytest
from support.run_folders import write_data
from support.tiny_models import tiny_trainable_detector

pytest.importorskip("tensorflow")

from acne_trainer.config import DEFAULTS
from acne_trainer.data.formats.keras_txt import read_keras_txt
from acne_trainer.data.mixture import LabelledSet
from acne_trainer.models.cnn import build_cnn
from acne_trainer.models.precision import dtype_policy_scope
from acne_trainer.tasks.detection import DetectionTask
from acne_trainer.tasks.in_memory import InMemorySplit
from acne_trainer.tasks.multilabel import MultilabelTask
from acne_trainer.training.errors import StoppedError
from acne_trainer.training.loop import Trainer

pytestmark = pytest.mark.slow
EPOCHS = 2
CHANGES = {"epochs": EPOCHS, "batch_size": 2, "seed": 3}
MULTILABEL = dataclasses.replace(DEFAULTS["cnn"], input_size=96, **CHANGES)
DETECTION = dataclasses.replace(
    DEFAULTS["yolov8-xs"], input_size=64, crop_size=64, crops_per_photo=2, whole_every=3, validate_every=1, **CHANGES
)


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    folder = write_data(tmp_path_factory.mktemp("data"))
    return read_keras_txt(folder / "train"), read_keras_txt(folder / "valid")


@pytest.fixture(autouse=True)
def _small_detector(monkeypatch):
    """Tracing all of xs takes half a minute each time; it is trained in integration/test_train_export_run.py."""

    def build(model, classes, size, precision, *_):
        with dtype_policy_scope(precision):
            return tiny_trainable_detector()

    monkeypatch.setattr("acne_trainer.tasks.detection.build_detector", build)


def prepared(kind, data, **changes):
    settings = dataclasses.replace(MULTILABEL if kind == "cnn" else DETECTION, **changes)
    keras.utils.set_random_seed(settings.seed)
    train, valid = data
    if kind != "cnn":
        return settings, DetectionTask(settings, (LabelledSet.alone(train, valid),))
    photographs = (
        InMemorySplit(train, settings, to_train=True),
        InMemorySplit(valid, settings, to_train=False),
    )
    with dtype_policy_scope(settings.precision):
        network = build_cnn(4, settings.input_size)
    return settings, MultilabelTask(settings, *photographs, network)


def train(kind, data, folder, stopped=lambda: False, **changes):
    settings, work = prepared(kind, data, **changes)
    loop = Trainer(work, settings, folder)
    loop.fit(stopped=stopped)
    return loop


@pytest.mark.parametrize(
    ("kind", "changes"),
    [
        ("cnn", {"precision": "mixed_float16"}),
        ("cnn", {"precision": "mixed_bfloat16"}),
        ("cnn", {"jit": True}),
        ("detector", {"precision": "mixed_float16"}),
        ("detector", {"jit": True}),
    ],
    ids=str,
)
def test_other_arithmetic_trains_too_and_its_weights_stay_float32(data, tmp_path, kind, changes):
    loop = train(kind, data, tmp_path, **changes)
    assert [row["epoch"] for row in loop.history] == [1, 2]
    assert all(np.isfinite(row["loss"]) for row in loop.history)
    assert all(np.isfinite(weight).all() for weight in loop.average.get_weights())
    assert {weight.dtype for weight in loop.network.trainable_weights} == {"float32"}


@pytest.mark.parametrize("kind", ["cnn", "detector"])
def test_stopped_within_an_epoch_and_resumed_is_as_uninterrupted(data, tmp_path, kind):
    whole = train(kind, data, tmp_path / "whole")
    asked = iter([False, True])
    with pytest.raises(StoppedError):
        train(kind, data, tmp_path / "stopped", stopped=lambda: next(asked))
    resumed = train(kind, data, tmp_path / "stopped")
    for row, expected in zip(resumed.history, whole.history, strict=True):
        assert {**row, "seconds": 0} == pytest.approx({**expected, "seconds": 0}, rel=1e-4, abs=1e-5)
    for weight, expected in zip(resumed.average.get_weights(), whole.average.get_weights(), strict=True):
        np.testing.assert_allclose(weight, expected, rtol=1e-3, atol=1e-4)
