"""What ships in models/: it answers, the files of one model agree, and the cards tell the truth."""

import hashlib
import json
import re
from pathlib import Path

import cv2
import numpy as np
import pytest
from click.testing import CliRunner

from acne_export.verification import verify
from acne_runtime.load import load_model
from acne_runtime.manifest import Manifest, manifest_path
from acne_runtime.model import Model
from acne_runtime.sources.image_files import list_images, read_image

ROOT = Path(__file__).parents[2]
MODELS = sorted(folder for folder in (ROOT / "models").iterdir() if folder.is_dir())
FILES = sorted(file for folder in MODELS for file in folder.iterdir() if file.suffix in (".onnx", ".tflite"))
PIXELS, SCORE = 0.5, 1e-3


def lesions_missing_from(one, other, threshold):
    """Lesions of `one` without a counterpart in `other`, but for those at the very threshold."""
    return [
        lesion
        for lesion in one.lesions
        if lesion.score > threshold + SCORE
        and not any(
            np.abs(np.subtract((lesion.score, *lesion.types), (twin.score, *twin.types))).max() <= SCORE
            and np.abs(np.subtract(lesion.box, twin.box)).max() <= PIXELS
            for twin in other.lesions
        )
    ]


def assert_agree(first: Model, second: Model, photos):
    seen = 0
    for photo in photos:
        image = read_image(photo)
        one, other = first(image), second(image)
        if one.labels is not None:
            scores = [[label.score for label in result.labels] for result in (one, other)]
            np.testing.assert_allclose(*scores, atol=SCORE)
            seen += 1
        else:
            (threshold,) = first.thresholds.tolist()
            assert lesions_missing_from(one, other, threshold) == []
            assert lesions_missing_from(other, one, threshold) == []
            seen += len(one.lesions)
    assert seen > 0


@pytest.mark.parametrize("folder", MODELS, ids=lambda folder: folder.name)
def test_a_model_comes_with_everything(folder):
    names = {file.name for file in folder.iterdir()}
    needed = {"README.md", "inference.keras", "manifest.json", "calibration.json", "metrics.json"}
    needed |= {"metrics-onnx.json", "metrics-int8.json"}
    needed |= {f"{folder.name}{end}" for end in (".onnx", ".onnx.json", "-int8.tflite", "-int8.tflite.json")}
    assert needed <= names
    manifest = Manifest.from_json((folder / "manifest.json").read_bytes(), "")
    for name, expected in manifest.provenance["files"].items():
        assert hashlib.sha256((folder / name).read_bytes()).hexdigest() == expected, name


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.name)
def test_a_file_still_answers_what_it_did_when_it_was_made(file):
    lines = list(verify(file))
    assert [line.partition(":")[0] for line in lines] == [
        "golden image",
        "golden image",
        "photograph -> input tensor",
        "input tensor -> raw outputs",
        "raw outputs -> result",
    ]


@pytest.mark.parametrize("folder", MODELS, ids=lambda folder: folder.name)
def test_int8_is_under_30_percent_of_the_size_and_lost_at_most_a_point(folder):
    exact, reduced = (folder / f"{folder.name}{end}" for end in (".onnx", "-int8.tflite"))
    assert reduced.stat().st_size < 0.3 * exact.stat().st_size
    accuracy = load_model(reduced).manifest.validation["accuracy"]
    assert accuracy["data"] == "acne4/test"
    metric = "ap50" if "ap50" in accuracy["before"] else "macro_f1"
    assert accuracy["after"][metric] >= accuracy["before"][metric] - 0.01


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.name)
def test_the_manifest_inside_is_the_one_beside(file):
    sidecar = Manifest.from_json(manifest_path(file).read_bytes(), "sidecar")
    assert load_model(file).manifest == sidecar
    assert sidecar.name == file.parent.name


@pytest.mark.parametrize("backend", ["onnx", "litert"])
def test_the_default_model_counts_the_rendered_lesions_and_hardly_any_on_the_portrait(backend):
    model = load_model(backend=backend)
    drawn = 18
    assert abs(len(model(read_image(ROOT / "samples" / "rendered_skin.jpg")).lesions) - drawn) <= 0.2 * drawn
    # Of the portrait, a patch on the suit passes for a papule at a score of 0.57: the card's "two of five lie on none".
    assert len(model(read_image(ROOT / "samples" / "astronaut.png")).lesions) <= 1


@pytest.mark.parametrize("backend", ["onnx", "litert"])
def test_the_cnn_answers_for_every_type(backend):
    result = load_model("acne-cnn", backend=backend)(read_image(ROOT / "samples" / "rendered_skin.jpg"))
    assert [label.name for label in result.labels] == ["comedones", "nodules", "papules", "pustules"]
    assert all(0 < label.score < 1 for label in result.labels)


@pytest.mark.parametrize("folder", MODELS, ids=lambda folder: folder.name)
def test_the_card_states_the_measured_figures(folder):
    card = (folder / "README.md").read_text()
    of_file = [json.loads((folder / f"metrics-{form}.json").read_text()) for form in ("onnx", "int8")]
    for test in [json.loads((folder / "metrics.json").read_text())["test"], *of_file]:
        model = test["model"]
        measured = [model["ap50"]] if "ap50" in model else [model["argmax_agreement"], model["macro_ap"]]
        for metric in measured:
            assert re.search(rf"\b{metric:.3f}\b", card), metric


@pytest.mark.slow
@pytest.mark.parametrize("folder", MODELS, ids=lambda folder: folder.name)
def test_onnx_and_float_tflite_of_one_model_agree(folder, tmp_path, shared_data):
    pytest.importorskip("tensorflow")
    from acne_export.cli import main

    target = tmp_path / "float.tflite"
    arguments = ["--format", "tflite", "--precision", "float32", "--run", str(folder), "--out", str(target)]
    outcome = CliRunner().invoke(main, arguments)
    assert outcome.exit_code == 0, outcome.output
    photos = list_images(shared_data / "acne4" / "test")[::12]
    assert_agree(load_model(folder / f"{folder.name}.onnx"), load_model(target), photos)


@pytest.mark.slow
def test_the_default_export_gives_the_shipped_int8_answers(tmp_path, monkeypatch):
    pytest.importorskip("tensorflow")
    from acne_export.cli import main

    monkeypatch.chdir(tmp_path)
    outcome = CliRunner().invoke(main, ["--format", "tflite"])
    assert outcome.exit_code == 0, outcome.output
    # The shipped file's own thresholds were chosen on photographs.
    again = load_model("acne-yolov8-lite0-int8.tflite", score_threshold=0.05)
    shipped = load_model(backend="litert", score_threshold=0.05)
    image = cv2.imread(str(ROOT / "samples" / "rendered_skin.jpg"))
    assert again(image).lesions == shipped(image).lesions


def test_the_cnn_that_ships_has_the_papers_parameters():
    keras = pytest.importorskip("keras")
    model = keras.models.load_model(ROOT / "models" / "acne-cnn" / "inference.keras", compile=False)
    trainable = sum(int(np.prod(weight.shape)) for weight in model.trainable_weights)
    assert (model.count_params(), trainable) == (4_142_052, 4_141_700)
