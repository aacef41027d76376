import numpy as np
import pytest

pytest.importorskip("tensorflow")

import keras

from acne_runtime.errors import AcneEdgeError, SourceError
from acne_trainer.models.backbones import build_backbone, build_head, join_backbone_and_head, unfreeze_top
from acne_trainer.tasks.frozen_backbone import FeatureCache
from acne_trainer.training.errors import StoppedError

SIZE = 64
NAMES = pytest.mark.parametrize("name", ["resnet50", "vgg19", "efficientnetb3"])
IMAGES = np.random.default_rng(0).integers(0, 256, (3, SIZE, SIZE, 3)).astype(np.float32)


@pytest.fixture(scope="module")
def backbones():
    made = {}

    def get(name, scaling="own"):
        if (name, scaling) not in made:
            keras.utils.set_random_seed(0)
            made[name, scaling] = build_backbone(name, SIZE, "none", scaling)
        return made[name, scaling]

    return get


def scaled(backbone, name):
    """Returns what the first layer after the scaling sees."""
    first = {"resnet50": "conv1_pad", "vgg19": "block1_conv1", "efficientnetb3": "stem_conv_pad"}[name]
    return np.asarray(keras.Model(backbone.input, backbone.get_layer(first).input)(IMAGES))


@pytest.mark.parametrize("name", ["resnet50", "vgg19"])
def test_caffes_scaling_is_inside(backbones, name):
    expected = getattr(keras.applications, name).preprocess_input(IMAGES.copy())
    np.testing.assert_allclose(scaled(backbones(name), name), expected, atol=1e-3)


def test_efficientnets_own_scaling_is_inside(backbones):
    expected = IMAGES / 255 / np.sqrt([0.229, 0.224, 0.225])  # as keras.applications has it with ImageNet's weights
    np.testing.assert_allclose(scaled(backbones("efficientnetb3"), "efficientnetb3"), expected, atol=1e-4)


@pytest.mark.parametrize("name", ["resnet50", "vgg19"])
def test_the_papers_scaling_is_0_to_1(backbones, name):
    np.testing.assert_allclose(scaled(backbones(name, "paper"), name), IMAGES / 255, atol=1e-5)


@NAMES
def test_a_backbone_is_frozen_and_its_head_is_not(backbones, name):
    backbone = backbones(name)
    head = build_head(backbone.output.shape[1:], 4)
    model = join_backbone_and_head(backbone, head)
    assert backbone.trainable_variables == []
    assert [variable.name for variable in model.trainable_variables] == ["kernel", "bias"]
    expected = head(backbone(IMAGES, training=False), training=False)
    np.testing.assert_allclose(model(IMAGES, training=False), expected, atol=1e-5)
    assert np.asarray(expected).shape == (3, 4)
    assert not any(isinstance(layer, keras.Model) for layer in model.layers)  # flat, as the exporter needs it


def test_the_top_thaws_but_for_its_normalisation():
    backbone = build_backbone("resnet50", SIZE, "none", "own")
    unfreeze_top(backbone, 12)
    thawed = [layer for layer in backbone.layers if layer.trainable and layer.weights]
    assert thawed
    assert all(layer in backbone.layers[-12:] for layer in thawed)
    assert not any(isinstance(layer, keras.layers.BatchNormalization) for layer in thawed)
    unfreeze_top(backbone, len(backbone.layers))
    assert not backbone.get_layer("to_bgr_less_mean").trainable


def test_weights_come_from_another_runs_file(tmp_path, backbones):
    backbones("vgg19").save(tmp_path / "model.keras")
    keras.utils.set_random_seed(5)
    again = build_backbone("vgg19", SIZE, str(tmp_path / "model.keras"), "own")
    np.testing.assert_allclose(again(IMAGES), backbones("vgg19")(IMAGES), rtol=1e-5)


def test_weights_come_from_a_file_of_keras_applications(tmp_path):
    keras.utils.set_random_seed(3)
    source = keras.applications.VGG19(include_top=False, weights=None, input_shape=(SIZE, SIZE, 3))
    source.save_weights(tmp_path / "vgg19_notop.weights.h5")
    got = build_backbone("vgg19", SIZE, str(tmp_path / "vgg19_notop.weights.h5"), "own")
    given = keras.applications.vgg19.preprocess_input(IMAGES.copy())
    np.testing.assert_allclose(got(IMAGES), source(given), rtol=1e-3, atol=1e-3)


def test_a_file_of_another_model_is_refused(tmp_path, backbones):
    backbones("vgg19").save(tmp_path / "vgg19.keras")
    with pytest.raises(SourceError, match=r"vgg19\.keras: these belong to another model: \d+ of \d+ layers fit"):
        build_backbone("resnet50", SIZE, str(tmp_path / "vgg19.keras"), "own")
    (tmp_path / "broken.h5").write_text("no weights")
    with pytest.raises(SourceError, match=r"broken\.h5: these do not fit resnet50"):
        build_backbone("resnet50", SIZE, str(tmp_path / "broken.h5"), "own")
    with pytest.raises(SourceError, match=r"nowhere\.h5: neither a file nor one of none, imagenet"):
        build_backbone("resnet50", SIZE, "nowhere.h5", "own")


def test_a_failed_download_names_the_way_out(monkeypatch):
    def offline(*_, **__):
        raise Exception("URL fetch failure on https://example.org")

    monkeypatch.setattr("keras.src.applications.resnet.file_utils.get_file", offline)
    with pytest.raises(AcneEdgeError, match=r"--weights imagenet: could not be downloaded \(URL fetch.*--weights none"):
        build_backbone("resnet50", SIZE, "imagenet", "own")


def test_features_are_computed_once_and_kept(tmp_path, backbones, caplog):
    caplog.set_level("INFO")
    backbone = backbones("resnet50")
    images = IMAGES.astype(np.uint8)
    features = FeatureCache(backbone, images, tmp_path / "run" / "f.npy")
    assert not (tmp_path / "run").exists()
    expected = np.asarray(backbone(IMAGES, training=False))
    np.testing.assert_allclose(features[np.array([2, 0])], expected[[2, 0]], rtol=1e-2, atol=1e-2)
    again = FeatureCache(None, images, tmp_path / "run" / "f.npy")
    np.testing.assert_array_equal(again[:], features[:])
    assert caplog.messages == ["computing the frozen features of 3 photographs, once"]
    assert [file.name for file in (tmp_path / "run").iterdir()] == ["f.npy"]


def test_a_full_disk_leaves_no_half_features(tmp_path, backbones, monkeypatch):
    def full(*_, **__):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(np.lib.format, "open_memmap", full)
    features = FeatureCache(backbones("vgg19"), IMAGES.astype(np.uint8), tmp_path / "f.npy")
    with pytest.raises(
        AcneEdgeError, match=r"f\.\S+\.part\.npy: No space left on device; the features take 12,288 bytes"
    ):
        _ = features[:]
    assert not (tmp_path / "f.npy").exists()


def test_a_stop_while_features_are_computed_leaves_no_half_file(tmp_path, backbones):
    many = np.concatenate([IMAGES.astype(np.uint8)] * 4)
    features = FeatureCache(backbones("vgg19"), many, tmp_path / "f.npy", lambda: True)
    with pytest.raises(StoppedError, match="stopped after the features of 8 photographs"):
        _ = features[:]
    assert list(tmp_path.iterdir()) == []
