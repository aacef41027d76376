import dataclasses
import hashlib
import json
import re
import shutil

import pytest

pytest.importorskip("tensorflow")

import keras
from keras import layers

from acne_export.run_folder import read_run_folder
from acne_runtime.errors import ModelError
from acne_runtime.manifest import OutputSpec


@pytest.fixture
def run(runs, tmp_path):
    """A copy to spoil."""
    return shutil.copytree(runs["multilabel"], tmp_path / "run")


def refusal(folder):
    with pytest.raises(ModelError) as refused:
        read_run_folder(folder)
    assert "\n" not in str(refused.value)
    return str(refused.value)


@pytest.mark.parametrize("task", ["detection", "multilabel"])
def test_a_whole_run_folder_is_read(runs, tiny, networks, task):
    run = read_run_folder(runs[task])
    assert run.path == runs[task]
    assert run.manifest == tiny.MANIFESTS[task]
    assert [layer.name for layer in run.model.layers] == [layer.name for layer in networks[task].layers]
    assert all(low <= high for low, high in run.activations.ranges.values())
    computed = [op.name for op in run.model.operations if isinstance(op.output, keras.KerasTensor)]
    assert set(run.activations.ranges) == set(computed) - {"image"}


def test_without_calibration_there_are_no_ranges(run):
    (run / "calibration.json").unlink()
    assert read_run_folder(run).activations.ranges == {}


@pytest.mark.parametrize("name", ["inference.keras", "manifest.json"])
def test_a_missing_file_is_named_with_where_it_comes_from(run, name):
    (run / name).unlink()
    assert re.match(re.escape(f"{run / name}: not found; ") + ".*acne-train", refusal(run))


def test_a_missing_folder_is_named(tmp_path):
    assert refusal(tmp_path / "nowhere").startswith(f"{tmp_path / 'nowhere'}")


@pytest.mark.parametrize(
    ("name", "damage"),
    [
        ("inference.keras", lambda data: b""),
        ("inference.keras", lambda data: b"no archive"),
        ("inference.keras", lambda data: data[: len(data) // 2]),
        ("inference.keras", lambda data: data[:100] + bytes(len(data) - 100)),
        ("manifest.json", lambda data: b""),
        ("manifest.json", lambda data: b"{}"),
        ("manifest.json", lambda data: data[:-20]),
        ("manifest.json", lambda data: data.replace(b"multilabel", b"segmentation")),
        ("manifest.json", lambda data: b"\xff\xfe"),
        ("calibration.json", lambda data: b""),
        ("calibration.json", lambda data: data[:-20]),
        ("calibration.json", lambda data: b"\xff\xfe"),
        ("calibration.json", lambda data: b"[]"),
        ("calibration.json", lambda data: b"{}"),
        ("calibration.json", lambda data: b'{"ranges": []}'),
        ("calibration.json", lambda data: b'{"ranges": {"dense": 1}}'),
        ("calibration.json", lambda data: b'{"ranges": {"dense": [1]}}'),
        ("calibration.json", lambda data: b'{"ranges": {"dense": [0, 1, 2]}}'),
        ("calibration.json", lambda data: b'{"ranges": {"dense": ["low", "high"]}}'),
        ("calibration.json", lambda data: b'{"ranges": {"dense": [null, 1]}}'),
        ("calibration.json", lambda data: b'{"ranges": {"dense": [NaN, NaN]}}'),
        ("calibration.json", lambda data: b'{"ranges": {"dense": [-Infinity, Infinity]}}'),
        ("calibration.json", lambda data: b'{"ranges": {"dense": [2, 1]}}'),
        ("calibration.json", lambda data: b'{"ranges": {}, "means": {"dense": 1}}'),
        ("calibration.json", lambda data: b'{"ranges": {}, "means": {"dense": [[1], [2]]}}'),
        ("calibration.json", lambda data: b'{"ranges": {}, "means": {"dense": [NaN]}}'),
        ("calibration.json", lambda data: b'{"ranges": {}, "means": []}'),
    ],
    ids=[
        "empty model",
        "text for a model",
        "half a model",
        "zeroed model",
        "empty manifest",
        "manifest of nothing",
        "cut-off manifest",
        "manifest of another task",
        "manifest not UTF-8",
        "empty calibration",
        "cut-off calibration",
        "calibration not UTF-8",
        "calibration a list",
        "no ranges",
        "ranges a list",
        "a number for a range",
        "one bound",
        "three bounds",
        "bounds in words",
        "a bound missing",
        "bounds nan",
        "bounds infinite",
        "bounds swapped",
        "a number for means",
        "means in two dimensions",
        "a mean nan",
        "means a list",
    ],
)
def test_a_damaged_file_is_refused_in_one_line_that_names_it(run, name, damage):
    file = run / name
    file.write_bytes(damage(file.read_bytes()))
    assert refusal(run).startswith(f"{file}: ")


def plain(size=(64, 64), batch=1, names=("label",), channels=3):
    image = keras.Input(batch_shape=(batch, *size, channels), name="image")
    x = layers.Dense(4, activation="sigmoid")(layers.GlobalAveragePooling2D()(image))
    return keras.Model(image, {name: layers.Activation("linear", name=name)(x) for name in names})


def two_inputs():
    first, second = (keras.Input(batch_shape=(1, 64, 64, 3), name=name) for name in ("image", "mask"))
    x = layers.GlobalAveragePooling2D()(layers.Add()([first, second]))
    return keras.Model([first, second], {"label": layers.Dense(4, name="label")(x)})


def unnamed_output():
    model = plain()
    return keras.Model(model.input, model.output["label"])


@pytest.mark.parametrize(
    ("build", "problem"),
    [
        (lambda: plain(size=(96, 64)), r"inputs \[\(1, 96, 64, 3\)\], but the manifest says \[\(1, 64, 64, 3\)\]"),
        (lambda: plain(batch=None), r"inputs \[\(None, 64, 64, 3\)\]"),
        (lambda: plain(batch=8), r"inputs \[\(8, 64, 64, 3\)\]"),
        (lambda: plain(size=(None, None)), r"inputs \[\(1, None, None, 3\)\]"),
        (lambda: plain(channels=1), r"inputs \[\(1, 64, 64, 1\)\]"),
        (two_inputs, r"inputs \[\(1, 64, 64, 3\), \(1, 64, 64, 3\)\]"),
        (lambda: plain(names=("scores",)), r"outputs \['scores'\], but the manifest says \['label'\]"),
        (lambda: plain(names=("label", "more")), r"outputs \['label', 'more'\], but the manifest says \['label'\]"),
        (unnamed_output, r"outputs \[\], but the manifest says \['label'\]"),
    ],
    ids=[
        "another size",
        "any batch",
        "a batch of 8",
        "any size",
        "one channel",
        "two inputs",
        "another output",
        "one output more",
        "an unnamed output",
    ],
)
def test_a_model_that_is_not_what_the_manifest_says_is_refused(run, build, problem):
    build().save(run / "inference.keras")
    assert re.search(problem, refusal(run))


def test_a_manifest_of_another_model_is_refused(run, tiny):
    other = dataclasses.replace(tiny.MULTILABEL, outputs=(OutputSpec("probabilities", "label"),))
    (run / "manifest.json").write_text(other.to_json())
    assert "outputs ['label'], but the manifest says ['probabilities']" in refusal(run)


def test_a_model_that_would_run_code_of_its_own_is_not_loaded(run):
    image = keras.Input(batch_shape=(1, 64, 64, 3), name="image")
    x = layers.Lambda(lambda tensor: tensor * 2)(layers.GlobalAveragePooling2D()(image))
    model = keras.Model(image, {"label": layers.Dense(4, name="label")(x)})
    model.save(run / "inference.keras")
    assert "Keras cannot load this model" in refusal(run)


def test_whole_numbers_are_ranges_too(run):
    ranges = json.loads((run / "calibration.json").read_text())
    ranges["ranges"]["dense"] = [0, 3]
    (run / "calibration.json").write_text(json.dumps(ranges))
    assert read_run_folder(run).activations.ranges["dense"] == (0.0, 3.0)


def hashed(folder, **hashes):
    """Writes hashes into the manifest, of the files as they are unless told."""
    manifest = json.loads((folder / "manifest.json").read_text())
    manifest["provenance"]["files"] = {
        name: hashlib.sha256((folder / name).read_bytes()).hexdigest()
        for name in ("inference.keras", "calibration.json")
    } | hashes
    (folder / "manifest.json").write_text(json.dumps(manifest))
    return folder


def test_files_that_are_as_the_trainer_wrote_them_are_read(run):
    assert read_run_folder(hashed(run)).activations.ranges


@pytest.mark.parametrize("name", ["inference.keras", "calibration.json"])
def test_an_altered_file_is_refused_by_name(run, name):
    hashed(run)
    (run / name).write_bytes((run / name).read_bytes() + b" ")
    assert refusal(run).startswith(f"{run / name}: corrupt: not the file that acne-train wrote, its SHA-256 differs")


def test_a_file_that_the_manifest_names_has_to_be_there(run):
    hashed(run)
    (run / "calibration.json").unlink()
    assert refusal(run) == f"{run / 'calibration.json'}: not found, but {run / 'manifest.json'} names it"


def test_outputs_that_fit_no_task_are_refused(run, tiny):
    network = tiny.tiny_cnn()
    keras.Model(network.input, {"label": keras.ops.concatenate([network.output["label"]] * 2, axis=-1)}).save(
        run / "inference.keras"
    )
    assert "output 'label' has shape (1, 8), but a multilabel model's is (1, 4)" in refusal(run)
