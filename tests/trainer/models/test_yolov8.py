import dataclasses
import math
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

pytest.importorskip("keras_cv")

import keras
from keras_cv.models import YOLOV8Backbone, YOLOV8Detector
from support.images import picture

import acne_trainer
from acne_runtime.manifest import Manifest
from acne_trainer.config import DEFAULTS
from acne_trainer.models import yolov8
from acne_trainer.models.yolov8 import BINS, STRIDES, build_detector
from acne_trainer.tasks.detection import DetectionTask

SIZE = 96
CLASSES = ("comedones", "nodules", "papules", "pustules")
SETTINGS = dataclasses.replace(DEFAULTS["yolov8-xs"], input_size=SIZE)


@pytest.fixture(scope="module")
def network():
    keras.utils.set_random_seed(0)
    return build_detector("yolov8-xs", 4, SIZE)


@pytest.fixture(scope="module")
def inference(network):
    return DetectionTask.inference_model(network, SETTINGS)


@pytest.fixture(scope="module")
def heads(network):
    """The first answer of a network that has learnt nothing."""
    images = np.stack([picture(SIZE, SIZE, seed)[..., ::-1] for seed in range(2)]).astype(np.float32)
    return {name: output.numpy() for name, output in network(images, training=False).items()}


def sigmoid(logits):
    return 1 / (1 + np.exp(-logits))


def test_boxes_and_scores_come_apart_for_each_stride(heads):
    assert {name: output.shape for name, output in heads.items()} == {
        f"{kind}_{stride}": (2, SIZE // stride, SIZE // stride, channels)
        for stride in STRIDES
        for kind, channels in (("box", 4 * BINS), ("score", 4))
    }


@pytest.mark.parametrize(("height", "width"), [(64, 64), (32, 96), (128, 64)])
def test_it_takes_photographs_of_any_size_its_grids_divide(network, height, width):
    outputs = network(np.zeros((1, height, width, 3), np.float32), training=False)
    for stride in STRIDES:
        assert outputs[f"box_{stride}"].shape == (1, height // stride, width // stride, 4 * BINS)


@pytest.mark.parametrize(
    ("name", "parameters"),
    [  # of KerasCV's presets
        ("yolov8-xs", 1_277_680),
        ("yolov8-s", 5_089_760),
        ("yolov8-m", 11_872_464),
        ("yolov8-l", 19_831_744),
        ("yolov8-xl", 30_972_080),
    ],
)
def test_each_size_has_the_backbone_of_its_preset(name, parameters):
    made = build_detector(name, 4, SIZE)
    neck = ("pa_fpn", "yolo_v8_head")
    backbone = [layer for layer in made.layers if layer.weights and not layer.name.startswith(neck)]
    assert sum(layer.count_params() for layer in backbone) == parameters
    assert made.output["box_32"].shape == (None, None, None, 4 * BINS)


@pytest.mark.parametrize("precision", ["mixed_float16", "mixed_bfloat16"])
def test_mixed_precision_keeps_weights_heads_and_the_inference_form_in_float32(precision):
    made = build_detector("yolov8-xs", 4, SIZE, precision)
    half = precision.removeprefix("mixed_")
    assert made.get_layer("stack2_downsample_conv").compute_dtype == half
    assert {weight.dtype for weight in made.weights} == {"float32"}
    assert {head.dtype for head in made.outputs} == {"float32"}
    plain = DetectionTask.inference_model(made, SETTINGS)
    assert {layer.compute_dtype for layer in plain.layers if layer.weights} == {"float32"}
    images = picture(SIZE, SIZE)[None, ..., ::-1].astype(np.float32)
    expected = made(images, training=False)["box_8"].numpy()
    # Eight bits of mantissa through fifty layers: near, not equal.
    assert np.abs(plain(images, training=False)["box_8"].numpy() - expected).mean() < 0.1
    assert keras.config.dtype_policy().name == "float32"


def test_the_first_scores_expect_a_few_lesions_a_photograph(heads):
    for stride in STRIDES:
        prior = 5 / 4 / (SIZE / stride) ** 2
        assert np.median(sigmoid(heads[f"score_{stride}"])) == pytest.approx(prior, rel=0.5)


@pytest.mark.parametrize(("classes", "size"), [(1, 640), (4, 416)])
def test_the_bias_of_the_scores_follows_from_classes_and_size(classes, size):
    made = build_detector("yolov8-xs", classes, size)
    for level, stride in enumerate(STRIDES, start=1):
        bias = made.get_layer(f"yolo_v8_head_{level}_class_3_conv").bias.numpy()
        np.testing.assert_allclose(bias, math.log(5 / classes / (size / stride) ** 2), rtol=1e-5)
        assert bias.shape == (classes,)


def test_the_first_boxes_are_small(heads):
    for stride in STRIDES:
        logits = heads[f"box_{stride}"].reshape(-1, 4, BINS)
        weights = np.exp(logits - logits.max(axis=-1, keepdims=True))
        distances = (weights / weights.sum(axis=-1, keepdims=True)) @ np.arange(BINS)
        assert 1 < np.median(distances) < 2.5
        assert distances.max() < 5


def test_the_graph_is_flat_and_of_stock_parts_only(network, inference):
    for model in (network, inference):
        assert not [layer.name for layer in model.layers if isinstance(layer, keras.Model)]
        assert {type(op).__module__.split(".")[0] for op in model.operations} == {"keras"}
        assert len({op.name for op in model.operations}) == len(model.operations)


def test_the_inference_form_has_static_shapes_and_probabilities(network, inference):
    assert [tuple(tensor.shape) for tensor in inference.inputs] == [(1, SIZE, SIZE, 3)]
    described = DetectionTask.manifest(SETTINGS, CLASSES)
    assert {name: tuple(output.shape) for name, output in inference.output.items()} == {
        spec.name: described.output_shape(spec) for spec in described.outputs
    }
    for op in inference.operations:
        for tensor in keras.tree.flatten(op.output):
            assert isinstance(tensor.shape, tuple)
    image = picture(SIZE, SIZE)[None, ..., ::-1].astype(np.float32)
    logits, answers = network(image, training=False), inference(image, training=False)
    for stride in STRIDES:
        expected = sigmoid(logits[f"score_{stride}"].numpy())
        np.testing.assert_allclose(answers[f"score_{stride}"], expected, rtol=1e-4, atol=1e-7)
        np.testing.assert_allclose(answers[f"box_{stride}"], logits[f"box_{stride}"], rtol=1e-4, atol=1e-4)


def test_the_inference_form_has_the_networks_weights_in_layers_of_its_own(network, inference):
    for layer in network.layers:
        for weight, expected in zip(inference.get_layer(layer.name).get_weights(), layer.get_weights(), strict=True):
            np.testing.assert_array_equal(weight, expected, err_msg=layer.name)
    assert not {id(layer) for layer in network.layers} & {id(layer) for layer in inference.layers}


def test_the_manifest_of_a_detector_holds_together():
    described = DetectionTask.manifest(SETTINGS, CLASSES)
    assert Manifest.from_json(described.to_json(), "here") == described
    assert (described.input.resize, described.bins, described.classes) == ("letterbox", BINS, CLASSES)


@pytest.mark.slow
def test_both_forms_load_where_keras_cv_is_not_installed(network, inference, tmp_path):
    network.save(tmp_path / "model.keras")
    inference.save(tmp_path / "inference.keras")
    program = f"""
import os, sys
os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
sys.modules["keras_cv"] = None
import keras, numpy as np
for name in ("model", "inference"):
    model = keras.models.load_model({str(tmp_path)!r} + f"/{{name}}.keras", compile=False)
    outputs = model(np.full((1, {SIZE}, {SIZE}, 3), 99, np.float32), training=False)
    print(*(f"{{float(np.abs(outputs[key]).mean()):.5f}}" for key in sorted(outputs)))
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    grey = np.full((1, SIZE, SIZE, 3), 99, np.float32)
    for line, model in zip(done.stdout.splitlines(), (network, inference), strict=True):
        outputs = model(grey, training=False)
        expected = [float(np.abs(outputs[key]).mean()) for key in sorted(outputs)]
        assert [float(word) for word in line.split()] == pytest.approx(expected, abs=2e-4)


def layers_by_name(model):
    found = {}
    for layer in model.layers:
        if isinstance(layer, keras.Model):
            found |= layers_by_name(layer)
        found[layer.name] = layer
    return found


def test_it_answers_as_kerascvs_detector_does_before_its_join(network, heads):
    backbone = YOLOV8Backbone(
        stackwise_channels=[32, 64, 128, 256],
        stackwise_depth=[1, 2, 2, 1],
        include_rescaling=True,
        activation="swish",
        input_shape=(SIZE, SIZE, 3),
    )
    detector = YOLOV8Detector(backbone=backbone, num_classes=4, bounding_box_format="xyxy", fpn_depth=1)
    assert network.count_params() == detector.count_params()
    theirs = layers_by_name(detector)
    for layer in network.layers:
        if layer.weights:
            theirs[layer.name].set_weights(layer.get_weights())
    images = np.stack([picture(SIZE, SIZE, seed)[..., ::-1] for seed in range(2)]).astype(np.float32)
    joined = detector(images, training=False)
    for kind, key, change in (("box", "boxes", lambda box: box), ("score", "classes", sigmoid)):
        ours = np.concatenate([heads[f"{kind}_{s}"].reshape(2, -1, heads[f"{kind}_{s}"].shape[-1]) for s in STRIDES], 1)
        np.testing.assert_allclose(change(ours), joined[key], rtol=1e-3, atol=1e-4)


def test_one_module_alone_imports_keras_cv():
    sources = Path(acne_trainer.__file__).parent.rglob("*.py")
    importing = [
        file.name for file in sources if "import keras_cv" in (text := file.read_text()) or "from keras_cv" in text
    ]
    assert importing == ["yolov8.py"]


@pytest.mark.parametrize("replicas", [1, 2])
def test_statistics_of_a_batch_are_those_of_all_devices(monkeypatch, replicas):
    strategy = SimpleNamespace(num_replicas_in_sync=replicas)
    monkeypatch.setattr(yolov8, "tf", SimpleNamespace(distribute=SimpleNamespace(get_strategy=lambda: strategy)))
    network = build_detector("yolov8-xs", 4, SIZE)
    norms = [layer for layer in network.layers if isinstance(layer, keras.layers.BatchNormalization)]
    assert norms
    assert {layer.synchronized for layer in norms} == {replicas > 1}
