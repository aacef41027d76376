"""Detectors on pretrained backbones: what is frozen, what learns slowly, and that it stays so in a training."""

import dataclasses
from types import SimpleNamespace

import keras
import numpy as np
import pytest
from support.run_folders import write_data

pytest.importorskip("keras_cv")

import tensorflow as tf
from keras import layers

from acne_trainer.config import DEFAULTS
from acne_trainer.data.formats.keras_txt import read_keras_txt
from acne_trainer.data.mixture import LabelledSet
from acne_trainer.model_names import PRETRAINED_DETECTORS
from acne_trainer.models.inference_graph import inference_clone
from acne_trainer.models.yolov8 import STRIDES, backbone_layers, build_detector
from acne_trainer.tasks.detection import DetectionTask
from acne_trainer.training.loop import Trainer
from acne_trainer.training.optimizer import make_optimizer
from acne_trainer.training.precise_bn import PreciseBatchNorm

SIZE = 64
CHANGES = {
    **{"epochs": 1, "batch_size": 2, "seed": 3, "input_size": SIZE, "crop_size": SIZE},
    **{"validate_every": 1, "warmup_steps": 1},
}
SETTINGS = dataclasses.replace(DEFAULTS["yolov8-mobilenetv2"], **CHANGES)


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    """A training form of another run, so that no wheel is needed."""
    keras.utils.set_random_seed(0)
    file = tmp_path_factory.mktemp("weights") / "model.keras"
    build_detector("yolov8-mobilenetv2", 4, SIZE).save(file)
    return str(file)


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    folder = write_data(tmp_path_factory.mktemp("data"))
    return read_keras_txt(folder / "train"), read_keras_txt(folder / "valid")


@pytest.mark.parametrize("name", list(PRETRAINED_DETECTORS))
def test_it_has_the_heads_of_any_detector_and_is_flat(name):
    network = build_detector(name, 4, SIZE)
    outputs = network(np.zeros((1, 64, 96, 3), np.float32), training=False)
    for stride in STRIDES:
        assert outputs[f"box_{stride}"].shape == (1, 64 // stride, 96 // stride, 64)
        assert outputs[f"score_{stride}"].shape == (1, 64 // stride, 96 // stride, 4)
    assert {type(op).__module__.split(".")[0] for op in network.operations} == {"keras"}
    assert all(layer.trainable for layer in network.layers)  # random weights: nothing to keep
    assert not any(name.startswith("head_") or name == "logits" for name in backbone_layers(network))


def test_norms_and_first_stages_of_the_backbone_are_frozen_in_every_copy(weights):
    network = build_detector("yolov8-mobilenetv2", 4, SIZE, "float32", weights, 3)
    backbone = backbone_layers(network)
    assert {"stem_conv", "stage7_block16_project"} <= backbone
    for model in (network, keras.models.clone_model(network), inference_clone(network)):
        for layer in (layer for layer in model.layers if layer.weights):
            early = layer.name.startswith(("stem_", "stage1_", "stage2_"))
            norm = isinstance(layer, layers.BatchNormalization) and layer.name in backbone
            assert layer.trainable == (not early and not norm), layer.name


def test_statistics_of_frozen_norms_are_left_alone(weights):
    network = inference_clone(build_detector("yolov8-mobilenetv2", 4, SIZE, "float32", weights, 3))
    before = {layer.name: layer.get_weights() for layer in network.layers}
    PreciseBatchNorm(network).recompute(
        [np.random.default_rng(0).uniform(0, 255, (2, SIZE, SIZE, 3)).astype(np.float32)]
    )
    backbone, changed = backbone_layers(network), set()
    for layer in network.layers:
        if any((one != other).any() for one, other in zip(layer.get_weights(), before[layer.name], strict=True)):
            changed.add(layer.name)
    assert changed
    assert not changed & backbone


@pytest.mark.parametrize("precision", ["float32", "mixed_float16"])
@pytest.mark.parametrize("kind", ["adam", "rmsprop"])
def test_a_variable_may_learn_at_its_own_rate(kind, precision):
    settings = dataclasses.replace(DEFAULTS["cnn"], optimizer=kind, learning_rate=0.1, precision=precision)
    slow, fast = keras.Variable(np.ones(3, np.float32)), keras.Variable(np.ones(3, np.float32))
    optimizer = make_optimizer(settings, 10, lambda variable: 0.25 if variable is slow else 1.0)
    optimizer.build([fast, slow])
    gradient = tf.constant([1.0, 0.1, -1.0])
    for _ in range(3):
        scale = float(optimizer.scale_loss(1.0))
        optimizer.apply([gradient * scale, gradient * scale], [fast, slow])
    moved = [np.asarray(value) - 1 for value in (fast, slow)]
    assert np.abs(moved[0]).min() > 0.01
    np.testing.assert_allclose(moved[1], 0.25 * moved[0], rtol=1e-3)


def test_the_loop_gives_the_backbone_its_rate(tmp_path):
    vector = keras.Input((3,), name="vector")
    hidden = layers.Dense(3, name="backbone", kernel_initializer="ones")(vector)
    network = keras.Model(vector, layers.Dense(3, name="neck", kernel_initializer="ones")(hidden))
    task = SimpleNamespace(
        network=network, steps=1, monitor="val", higher_is_better=True, layer_rates={"backbone": 0.5}
    )
    trainer = Trainer(task, dataclasses.replace(DEFAULTS["cnn"], average_decay=0.9), tmp_path)
    paths = [variable.path for variable in network.trainable_variables]
    factors = dict(zip(paths, trainer.optimizer._factors, strict=True))
    assert factors == {"backbone/kernel": 0.5, "backbone/bias": 0.5, "neck/kernel": 1.0, "neck/bias": 1.0}


@pytest.mark.slow
def test_what_is_frozen_stays_to_the_last_bit(weights, data, tmp_path):
    settings = dataclasses.replace(SETTINGS, weights=weights)
    keras.utils.set_random_seed(settings.seed)
    loop = Trainer(DetectionTask(settings, (LabelledSet.alone(*data),)), settings, tmp_path)
    before = {layer.name: layer.get_weights() for layer in loop.network.layers}
    loop.fit()
    for model in (loop.network, loop.average):
        for layer in model.layers:
            changed = any((a != b).any() for a, b in zip(layer.get_weights(), before[layer.name], strict=True))
            assert not changed or layer.trainable, layer.name
    last = loop.network.get_layer("stage7_block16_project").get_weights()[0]
    assert (last != before["stage7_block16_project"][0]).any()
