"""A multi-label model on frozen features, from photographs to a run folder, through the command."""

import json

import keras
import numpy as np
import pytest
from click.testing import CliRunner
from support.run_folders import write_data

pytest.importorskip("tensorflow")

from acne_trainer.cli.main import main
from acne_trainer.config import DEFAULTS


def fit(*arguments):
    return CliRunner().invoke(main, ["fit", *map(str, arguments)])


@pytest.mark.slow
def test_a_classifier_is_fitted_to_a_run_folder(tmp_path):
    data, run = write_data(tmp_path / "data"), tmp_path / "run"
    done = fit("mobilenet-v2", "--data", data, "--run", run, "--weights", "none", "--input-size", 64)
    assert done.exit_code == 0, done.output
    assert "computing the frozen features of 5 photographs, once" in done.output
    assert "by 5-fold cross-validation on train" in done.output
    inference = keras.models.load_model(run / "inference.keras")
    assert inference.input_shape == (1, 64, 64, 3)
    assert np.asarray(inference(np.zeros((1, 64, 64, 3), np.float32))["label"]).shape == (1, 4)
    metrics = json.loads((run / "metrics.json").read_text())
    assert metrics["test"]["images"] == 5
    manifest = json.loads((run / "manifest.json").read_text())
    chosen = metrics["valid"]["model"]["thresholds"].values()
    assert list(chosen) == pytest.approx(manifest["thresholds"])
    left = {file.name for file in run.iterdir()}
    assert {"model.keras", "calibration.json", "config.toml"} <= left
    assert not {"features", "history.csv"} & left


@pytest.mark.parametrize(
    ("model", "flags", "problem"),
    [
        ("efficientnet-lite0", "--epochs 3", "--epochs: efficientnet-lite0 is fitted at once"),
        ("mobilenet-v2", "--focal 2", "--focal: mobilenet-v2 is fitted at once"),
        ("mobilenet-v2", "--jit", "--jit: mobilenet-v2 is fitted at once"),
        ("efficientnet-lite2", "--weights coco", "efficientnet-lite2 has none"),
        ("efficientnet-lite2", "--input-scaling paper", "only of resnet50, vgg19"),
        ("yolov8-lite0", "--weights coco", "yolov8-lite0 has none"),
        ("yolov8-xs", "--weights imagenet", "yolov8-xs has none"),
    ],
)
def test_flags_that_do_nothing_are_refused(tmp_path, model, flags, problem):
    done = fit(model, "--data", "d", "--run", tmp_path / "run", *flags.split())
    assert done.exit_code == 2
    assert problem in done.stderr


@pytest.mark.parametrize(
    ("name", "weights", "rate", "stages"),
    [("yolov8-lite0", "imagenet", 0.25, 3), ("yolov8-mobilenetv2", "imagenet", 0.25, 3)],
)
def test_defaults_of_the_detectors(name, weights, rate, stages):
    settings = DEFAULTS[name]
    assert (settings.weights, settings.backbone_rate, settings.freeze_stages) == (weights, rate, stages)
