import dataclasses
import json

import numpy as np
import pytest

pytest.importorskip("tensorflow")

from pictures import picture

from acne_export import export as exporter
from acne_export.export import DEFAULT_PRECISION, export, file_name
from acne_export.golden import golden_input, sha256
from acne_export.proof import ProofError
from acne_export.run_folder import read_run_folder
from acne_runtime.errors import ModelError
from acne_runtime.load import load_model
from acne_runtime.manifest import Manifest, manifest_beside
from acne_runtime.model import Model

MATRIX = pytest.mark.parametrize(
    ("task", "form", "precision"),
    [
        (task, form, precision)
        for task in ("detection", "multilabel")
        for form, precision in (("onnx", "float32"), ("tflite", "float32"), ("tflite", "int8"))
    ],
)
PHOTOGRAPHS = [picture(90, 120, 5), picture(64, 64, 6), picture(200, 100, 7)]


def one_line(error):
    return "\n" not in str(error.value)


@MATRIX
def test_a_converted_file_opens_and_answers(exported, task, form, precision):
    model = load_model(exported(task, form, precision))
    assert model.manifest.task == task
    for photograph in PHOTOGRAPHS:
        result = model(photograph)
        if task == "detection":
            assert result.lesions
        else:
            assert all(0 < label.score < 1 for label in result.labels)


@MATRIX
def test_the_manifest_inside_equals_the_one_beside(exported, task, form, precision):
    file = exported(task, form, precision)
    inside = load_model(file).backend.manifest_text
    assert inside == manifest_beside(file).read_text()


@MATRIX
def test_the_manifest_tells_what_was_done_and_keeps_what_the_trainer_wrote(exported, runs, tiny, task, form, precision):
    manifest = load_model(exported(task, form, precision)).manifest
    source = tiny.MANIFESTS[task]
    for field in ("name", "task", "classes", "input", "outputs", "thresholds", "bins", "nms_iou", "max_detections"):
        assert getattr(manifest, field) == getattr(source, field)
    assert manifest.precision == precision
    assert manifest.provenance["converted_with"].keys() >= {"tensorflow", "keras"}
    assert ("tf2onnx" in manifest.provenance["converted_with"]) == (form == "onnx")
    figures = manifest.validation["conversion"]
    if precision == "float32":
        assert 0 < figures["max_error"] <= 1e-5
    else:
        assert ("min_box_cosine" in figures) == (task == "detection")
        assert 0.98 < figures.get("min_box_cosine", 1) <= 1
        assert 0 < figures["mean_score_error"] < 0.02


@MATRIX
def test_the_file_gives_the_golden_answer_that_its_manifest_states(exported, task, form, precision):
    model = load_model(exported(task, form, precision))
    image = golden_input(model.manifest.input)
    assert model.manifest.golden["input_sha256"] == sha256({"": image})
    assert model.manifest.golden["output_sha256"] == sha256(dict(model.backend.run(image)))


@MATRIX
def test_outputs_have_the_names_and_shapes_of_the_manifest(exported, task, form, precision):
    model = load_model(exported(task, form, precision))
    outputs = model.backend.run(golden_input(model.manifest.input))
    assert {name: (output.shape, output.dtype) for name, output in outputs.items()} == {
        spec.name: (model.manifest.output_shape(spec), np.float32) for spec in model.manifest.outputs
    }


@pytest.mark.parametrize("photograph", PHOTOGRAPHS, ids=lambda image: "x".join(map(str, image.shape[1::-1])))
def test_onnx_and_float_tflite_find_the_same_lesions(exported, photograph):
    one, other = (
        load_model(exported("detection", form), score_threshold=0.5)(photograph) for form in ("onnx", "tflite")
    )
    assert one.counts() == other.counts()
    assert len(one.lesions) > 20
    for a, b in zip(one.lesions, other.lesions, strict=True):
        assert a.name == b.name
        assert a.box == pytest.approx(b.box, abs=0.5)
        assert a.score == pytest.approx(b.score, abs=1e-3)


@pytest.mark.parametrize("photograph", PHOTOGRAPHS, ids=lambda image: "x".join(map(str, image.shape[1::-1])))
def test_onnx_and_float_tflite_give_the_same_labels(exported, photograph):
    one, other = (load_model(exported("multilabel", form))(photograph).labels for form in ("onnx", "tflite"))
    assert [label.score for label in one] == pytest.approx([label.score for label in other], abs=1e-3)
    assert [label.present for label in one] == [label.present for label in other]


@pytest.mark.parametrize("task", ["detection", "multilabel"])
def test_int8_stays_close_to_float32(exported, task):
    image = np.concatenate([picture(64, 64, 8)[None, ..., ::-1]])
    exact = load_model(exported(task, "tflite")).backend.run(image)
    coarse = load_model(exported(task, "tflite", "int8")).backend.run(image)
    for name, output in exact.items():
        assert np.abs(coarse[name] - output).mean() < 0.03 * np.ptp(output), name


def test_int8_weights_take_about_a_quarter(exported):
    sizes = {p: exported("detection", "tflite", p).stat().st_size for p in ("float32", "int8")}
    assert 0.2 < sizes["int8"] / sizes["float32"] < 0.35


@pytest.mark.parametrize("form", ["onnx", "tflite"])
@pytest.mark.parametrize("task", ["detection", "multilabel"])
def test_the_keras_model_gives_the_answer_of_the_float32_file(exported, networks, task, form):
    model = load_model(exported(task, form))
    image = picture(64, 64, 9)[None, ..., ::-1]
    expected = networks[task](image.astype(np.float32), training=False)
    for name, output in model.backend.run(np.ascontiguousarray(image)).items():
        assert np.abs(output - expected[name]).max() <= 1e-5 * max(1, np.abs(expected[name]).max())


@pytest.mark.parametrize(
    ("form", "precision", "name"),
    [("onnx", "float32", "m.onnx"), ("tflite", "float32", "m.tflite"), ("tflite", "int8", "m-int8.tflite")],
)
def test_a_file_is_named_after_model_precision_and_format(form, precision, name):
    assert file_name("m", form, precision) == name


def test_phones_get_int8_and_others_float32_unless_told():
    assert DEFAULT_PRECISION == {"onnx": "float32", "tflite": "int8"}


def test_an_unsupported_pair_is_refused_before_anything_is_done(runs, tmp_path):
    said = []
    with pytest.raises(ModelError, match=r"--precision int8: ONNX.*--format tflite") as refused:
        export(read_run_folder(runs["multilabel"]), "onnx", "int8", tmp_path / "m.onnx", said.append)
    assert one_line(refused)
    assert said == list(tmp_path.iterdir()) == []


def test_int8_without_calibration_is_refused_in_one_line(runs, tmp_path):
    run = dataclasses.replace(read_run_folder(runs["multilabel"]), ranges={})
    with pytest.raises(ModelError, match=r"calibration\.json: not found; int8 needs it") as refused:
        export(run, "tflite", "int8", tmp_path / "m-int8.tflite", lambda _: None)
    assert one_line(refused)
    assert list(tmp_path.iterdir()) == []


def test_float32_needs_no_calibration(runs, tmp_path):
    run = dataclasses.replace(read_run_folder(runs["multilabel"]), ranges={})
    export(run, "onnx", "float32", tmp_path / "m.onnx", lambda _: None)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["m.onnx", "m.onnx.json"]


def fail(*_):
    raise ProofError("output 'label' differs")


@pytest.mark.parametrize(
    ("form", "precision", "prove"),
    [("onnx", "float32", "prove_float32"), ("tflite", "float32", "prove_float32"), ("tflite", "int8", "prove_int8")],
)
@pytest.mark.parametrize("earlier", [None, b"an earlier export"], ids=["new", "replacing"])
def test_a_failed_proof_leaves_no_file_and_an_earlier_one_untouched(
    runs, tmp_path, monkeypatch, form, precision, prove, earlier
):
    # What is converted does not matter here, only what becomes of it.
    for convert in ("float32_onnx", "float32_tflite", "int8_tflite"):
        monkeypatch.setattr(exporter, convert, lambda *_: b"converted")
    monkeypatch.setattr(exporter, "_answer", lambda *_: {})
    monkeypatch.setattr(exporter, "prove_float32", lambda *_: {"max_error": 0.0})
    monkeypatch.setattr(exporter, prove, fail)
    target = tmp_path / f"m.{form}"
    if earlier:
        target.write_bytes(earlier)
    with pytest.raises(ProofError):
        export(read_run_folder(runs["multilabel"]), form, precision, target, lambda _: None)
    assert [path.read_bytes() for path in tmp_path.iterdir()] == ([earlier] if earlier else [])


def test_a_conversion_that_went_wrong_is_caught(runs, tmp_path, monkeypatch):
    really = exporter.simplify

    def spoilt(model):
        simple = really(model)
        layer = simple.get_layer("logits")
        layer.bias.assign(layer.bias + 0.01)
        return simple

    run = read_run_folder(runs["multilabel"])
    monkeypatch.setattr(exporter, "simplify", spoilt)
    monkeypatch.setattr(exporter, "keras_outputs", lambda model, image: golden_answer)
    golden_answer = {"label": np.asarray(run.model(golden_input(run.manifest.input).astype(np.float32))["label"])}
    with pytest.raises(ProofError, match="output 'label' differs from the Keras model"):
        export(run, "onnx", "float32", tmp_path / "m.onnx", lambda _: None)
    assert list(tmp_path.iterdir()) == []


def test_ranges_far_too_narrow_are_caught(runs, tmp_path):
    run = read_run_folder(runs["multilabel"])
    narrow = {name: (low / 20, high / 20) for name, (low, high) in run.ranges.items()}
    with pytest.raises(ProofError, match="scores differ"):
        export(dataclasses.replace(run, ranges=narrow), "tflite", "int8", tmp_path / "m.tflite", lambda _: None)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("task", ["detection", "multilabel"])
def test_the_runtime_decodes_the_files_heads_as_it_does_the_kerass(exported, networks, tiny, task):
    class KerasModel:
        name = device = "keras"

        def run(self, tensor):
            outputs = networks[task](tensor.astype(np.float32), training=False)
            return {name: np.asarray(output) for name, output in outputs.items()}

    for photograph in PHOTOGRAPHS:
        expected = Model(tiny.MANIFESTS[task], KerasModel())(photograph)
        got = load_model(exported(task, "onnx"))(photograph)
        assert got.counts() == expected.counts()
        assert json.loads(json.dumps(got.to_dict()))["counts"] == expected.to_dict()["counts"]


def test_a_manifest_from_a_file_is_one_that_the_runtime_reads(exported):
    text = manifest_beside(exported("detection", "onnx")).read_text()
    assert Manifest.from_json(text, "here").to_json() == text
