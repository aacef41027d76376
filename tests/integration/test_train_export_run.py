import csv
import json

import cv2
import keras
import numpy as np
import pytest
from click.testing import CliRunner

pytest.importorskip("keras_cv")

from support.images import picture

from acne_export.cli import main as acne_export
from acne_export.golden.image import golden_input
from acne_runtime.cli.run import main as acne_run
from acne_runtime.load import load_model
from acne_runtime.manifest import InputSpec, Manifest
from acne_trainer.cli.main import main as acne_train
from acne_trainer.config import TrainConfig

pytestmark = pytest.mark.slow  # conversions

CLASSES = ("comedones", "nodules", "papules", "pustules")
FILES = {
    "model.keras",
    "inference.keras",
    "manifest.json",
    "metrics.json",
    "history.csv",
    "config.toml",
    "calibration.json",
}


def invoke(command, *arguments):
    return CliRunner().invoke(command, [str(argument) for argument in arguments])


def strict(file):
    return json.loads(file.read_text(), parse_constant=lambda word: pytest.fail(f"{word} is no JSON"))


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """Twelve photographs a split, cut from one large patch of the golden picture's skin."""
    folder = tmp_path_factory.mktemp("data")
    skin = golden_input(InputSpec("image", width=600, height=700, resize="letterbox"))
    for split, seed in (("train", 100), ("valid", 200), ("test", 300)):
        (folder / split).mkdir()
        (folder / split / "_classes.txt").write_text("\n".join(CLASSES))
        lines = []
        for n in range(12):
            name = f"photo {n}.jpg"
            top, left = (seed + 37 * n) % 600, 53 * n % 480
            cv2.imwrite(str(folder / split / name), skin[0, top : top + 96, left : left + 120, ::-1])
            shown = [n % 4, (n + 1 + n // 4) % 4][: 1 + n % 2]
            boxes = [f"{12 + 40 * i},{20 + n},{40 + 40 * i},{46 + n},{one}" for i, one in enumerate(shown)]
            lines.append(" ".join([name, *boxes]))
        (folder / split / "_annotations.txt").write_text("\n".join(lines))
    return folder


def trained(folder, data, model, *options):
    run = folder / "run"
    done = invoke(acne_train, "fit", model, "--data", data, "--run", run, "--epochs", 1, "--batch-size", 4, *options)
    assert done.exit_code == 0, done.output
    return run, done


def converted(folder, run, *wanted):
    files = {}
    for form, precision in wanted:
        files[precision if form == "tflite" else form] = file = folder / f"{precision}.{form}"
        done = invoke(acne_export, "--run", run, "--format", form, "--precision", precision, "--out", file)
        assert done.exit_code == 0, done.output
    return files


def answers(file, photograph, *options):
    done = invoke(acne_run, "--source", photograph, "--model", file, "--json", "-", "--quiet", *options)
    assert done.exit_code == 0, done.output
    (line,) = done.stdout.splitlines()
    return json.loads(line)


def assert_whole(run, model, data):
    """The run folder holds all that the exporter reads and a person wants to know."""
    assert {path.name for path in run.iterdir()} >= FILES
    settings = TrainConfig.read(run / "config.toml")
    assert (settings.model, settings.epochs, settings.batch_size) == (model, 1, 4)
    manifest = Manifest.from_json((run / "manifest.json").read_bytes(), "manifest.json")
    assert manifest.classes == CLASSES
    assert manifest.name == f"acne-{model}"
    assert manifest.provenance["train_photographs"] == 12
    assert manifest.provenance["data"] == data.name
    assert "/" not in json.dumps(manifest.provenance)  # no path of the trainer's machine
    assert manifest.validation["keras"]["images"] == 12
    metrics = strict(run / "metrics.json")
    assert set(metrics) == {"valid", "test"}
    with (run / "history.csv").open() as stream:
        (row,) = csv.DictReader(stream)
    assert float(row["loss"]) > 0
    calibration = strict(run / "calibration.json")
    inference = keras.models.load_model(run / "inference.keras", compile=False)
    computed = {op.name for op in inference.operations if isinstance(op.output, keras.KerasTensor)}
    assert calibration["photographs"] == 12
    assert set(calibration["ranges"]) == computed - {"image"}
    return manifest


def assert_close(files, size):
    """Raw outputs of all files on one picture: float32 files agree, int8 stays near."""
    image = np.ascontiguousarray(picture(size, size, 7)[None, ..., ::-1])
    outputs = {name: load_model(file).backend.run(image) for name, file in files.items()}
    for name, expected in outputs["onnx"].items():
        scale = max(1, np.abs(expected).max())
        # The logits of a detector after one epoch are in the hundreds: float32's rounding of those shows in a score.
        assert np.abs(outputs["float32"][name] - expected).max() < 5e-3 * scale, name
        if "int8" in outputs:
            assert np.abs(outputs["int8"][name] - expected).mean() < 0.03 * scale, name


@pytest.fixture(scope="module")
def cnn(tmp_path_factory, data):
    folder = tmp_path_factory.mktemp("cnn")
    run, done = trained(folder, data, "cnn", "--input-size", 96)
    return run, done, converted(folder, run, ("onnx", "float32"), ("tflite", "float32"), ("tflite", "int8"))


def test_the_cnn_leaves_a_whole_run_folder(cnn, data):
    run, done, _ = cnn
    manifest = assert_whole(run, "cnn", data)
    assert (manifest.task, manifest.input.resize, manifest.input.width) == ("multilabel", "stretch", 96)
    assert manifest.validation["keras"]["baseline"]["argmax_agreement"] >= 0
    assert "epoch 1/1" in done.stdout


def test_the_cnn_gives_the_same_labels_on_every_backend(cnn, data):
    _, _, files = cnn
    assert_close(files, 96)
    photograph = data / "test" / "photo 0.jpg"
    found = {name: answers(file, photograph) for name, file in files.items()}
    for name, limit in (("float32", 1e-3), ("int8", 0.05)):
        for one, other in zip(found["onnx"]["labels"], found[name]["labels"], strict=True):
            assert one["class"] == other["class"]
            assert one["score"] == pytest.approx(other["score"], abs=limit)


def test_the_cnn_in_a_file_scores_as_in_training(cnn, data):
    run, _, files = cnn
    done = invoke(acne_train, "evaluate", "--model", files["onnx"], "--data", data, "--json", "-")
    assert done.exit_code == 0, done.output
    expected = strict(run / "metrics.json")["test"]
    assert json.loads(done.stdout)["model"]["loss"] == pytest.approx(expected["model"]["loss"], abs=1e-4)
    assert json.loads(done.stdout)["baseline"] == expected["baseline"]


def test_a_finished_training_is_not_begun_anew_over_itself(cnn, data):
    run, _, _ = cnn
    before = (run / "manifest.json").read_bytes()
    done = invoke(acne_train, "fit", "cnn", "--data", data, "--run", run, "--epochs", 1)
    assert done.exit_code == 1
    (line,) = done.stderr.splitlines()
    assert "not empty; use --resume to continue" in line
    assert (run / "manifest.json").read_bytes() == before


def test_a_training_goes_on_with_resume_and_its_own_settings(cnn, data):
    run, _, _ = cnn
    done = invoke(acne_train, "fit", "cnn", "--run", run, "--resume", "--epochs", 2)
    assert done.exit_code == 0, done.output
    assert "resumed after epoch 1" in done.stdout
    assert "epoch 2/2" in done.stdout
    assert TrainConfig.read(run / "config.toml").input_size == 96
    with (run / "history.csv").open() as stream:
        assert [float(row["epoch"]) for row in csv.DictReader(stream)] == [1, 2]


def test_data_that_are_not_there_are_told_in_a_line_and_leave_nothing(tmp_path):
    done = invoke(acne_train, "fit", "cnn", "--data", "missing", "--run", tmp_path / "run")
    assert (done.exit_code, type(done.exception)) == (1, SystemExit)
    assert done.stderr == "Error: missing: no such folder\n"
    assert not (tmp_path / "run").exists()


@pytest.fixture(scope="module")
def detector(tmp_path_factory, data):
    folder = tmp_path_factory.mktemp("detector")
    run, done = trained(folder, data, "yolov8-xs", "--input-size", 128)
    # Not int8: after one epoch the deep network is chaotic, small errors of its input grow from layer to layer.
    return run, done, converted(folder, run, ("onnx", "float32"), ("tflite", "float32"))


@pytest.mark.slow
def test_the_detector_leaves_a_whole_run_folder(detector, data):
    run, done, _ = detector
    manifest = assert_whole(run, "yolov8-xs", data)
    assert (manifest.task, manifest.input.resize, manifest.input.width) == ("detection", "letterbox", 128)
    assert "epoch 1/1" in done.stdout


@pytest.mark.slow
def test_the_detector_answers_alike_on_both_backends(detector, data):
    _, _, files = detector
    assert_close(files, 128)
    photograph = data / "test" / "photo 0.jpg"
    for name in files:
        answer = answers(files[name], photograph, "--score-threshold", 0.001)
        assert (answer["width"], answer["height"]) == (120, 96)
        assert sum(answer["counts"].values()) == len(answer["lesions"]) > 0


@pytest.mark.slow
def test_the_detector_in_a_file_scores_as_in_training(detector, data):
    run, _, files = detector
    done = invoke(acne_train, "evaluate", "--model", files["onnx"], "--data", data, "--json", "-")
    assert done.exit_code == 0, done.output
    scored, expected = json.loads(done.stdout), strict(run / "metrics.json")["test"]
    assert scored["boxes"] == expected["boxes"]
    assert scored["model"]["ap50"] == pytest.approx(expected["model"]["ap50"], abs=0.02)
    assert scored["model"]["ap50_one_class"] == pytest.approx(expected["model"]["ap50_one_class"], abs=0.02)
