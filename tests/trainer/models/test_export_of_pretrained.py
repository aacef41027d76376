"""Models on pretrained backbones through the exporter, small and with random weights."""

import dataclasses

import keras
import numpy as np
import pytest

pytest.importorskip("tf2onnx")
pytest.importorskip("keras_cv")

from support import tiny_models

from acne_export.exporting import export
from acne_export.recipe import Recipe
from acne_export.run_folder import read_run_folder
from acne_runtime.load import load_model
from acne_trainer.config import DEFAULTS, DetectorConfig
from acne_trainer.models.pooled_features import build_pooled_features, with_classifier
from acne_trainer.models.yolov8 import build_detector
from acne_trainer.tasks.detection import DetectionTask
from acne_trainer.tasks.multilabel import MultilabelTask

CLASSES = tiny_models.CLASSES
SIZE = tiny_models.SIZE
CASES = [
    ("yolov8-mobilenetv2", "tflite", "int8"),
    ("mobilenet-v2", "onnx", "float32"),
]
"""Those on EfficientNet-Lite0 are shipped: integration/test_shipped_models.py."""


def untrained(name):
    keras.utils.set_random_seed(0)
    if name.startswith("yolov8"):
        return build_detector(name, len(CLASSES), SIZE)
    features = build_pooled_features(name, SIZE, "none")
    kernel = np.random.default_rng(0).normal(0, 0.05, (features.output.shape[-1], len(CLASSES)))
    return with_classifier(features, kernel.astype(np.float32), np.zeros(len(CLASSES), np.float32))


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    made = {}

    def run(name):
        if name not in made:
            settings = dataclasses.replace(DEFAULTS[name], input_size=SIZE)
            task = DetectionTask if isinstance(settings, DetectorConfig) else MultilabelTask
            network = task.inference_model(untrained(name), settings)
            folder = tmp_path_factory.mktemp(name)
            made[name] = tiny_models.write_run(folder, network, task.manifest(settings, CLASSES))
        return made[name]

    return run


@pytest.mark.slow
@pytest.mark.parametrize(("name", "form", "precision"), CASES)
def test_it_is_exported_with_its_proof_passed_and_answers(runs, tmp_path, name, form, precision):
    recipe = Recipe(form, precision, input="uint8", size=SIZE)
    file = export(read_run_folder(runs(name)), recipe, tmp_path / recipe.file_name(name, SIZE))
    model = load_model(file)
    assert model.manifest.name == f"acne-{name}"
    result = model(np.full((SIZE, SIZE, 3), 99, np.uint8))
    assert (result.labels is None) == name.startswith("yolov8")
