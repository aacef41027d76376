import dataclasses
import json
import logging
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("tensorflow")

from support.exports import losing, make, recipe
from support.images import picture, write_picture

from acne_export import conversion, reference
from acne_export.exporters import EXPORTERS
from acne_export.exporting import AccuracyDropError, ExportOptions, export
from acne_export.golden.image import golden_input, sha256
from acne_export.recipe import Recipe
from acne_export.run_folder import read_run_folder
from acne_export.validation import ValidationError
from acne_export.verification import verify
from acne_runtime.errors import ModelError
from acne_runtime.load import load_model
from acne_runtime.manifest import Manifest, manifest_path
from acne_runtime.model import Model
from acne_runtime.run_folder import Activations

PAIRS = sorted(EXPORTERS)
MATRIX = pytest.mark.parametrize(
    ("task", "form", "precision"), [(task, *pair) for task in ("detection", "multilabel") for pair in PAIRS]
)
PHOTOGRAPHS = [picture(90, 120, 5), picture(64, 64, 6), picture(200, 100, 7)]


def assert_one_line(error):
    assert "\n" not in str(error.value)


@pytest.mark.slow
@MATRIX
def test_every_supported_pair_converts_passes_validation_opens_and_runs(exported, tiny, task, form, precision):
    """A file is only written once it has passed validation."""
    file = exported(task, form, precision)
    model = load_model(file)
    assert model.backend.manifest_text == manifest_path(file).read_text()
    for photograph in PHOTOGRAPHS:
        result = model(photograph)
        if task == "detection":
            assert result.lesions
        else:
            assert all(0 < label.score < 1 for label in result.labels)
    manifest, source = model.manifest, tiny.MANIFESTS[task]
    for field in ("name", "task", "classes", "input", "outputs", "thresholds", "bins", "nms_iou", "max_detections"):
        assert getattr(manifest, field) == getattr(source, field)
    assert manifest.precision == precision
    assert Recipe.from_dict(manifest.provenance["recipe"], "") == recipe(form, precision)
    assert manifest.provenance["converted_with"].keys() >= {"tensorflow", "keras"}
    assert ("tf2onnx" in manifest.provenance["converted_with"]) == (form == "onnx")
    measured = manifest.validation["conversion"]
    if precision == "float32":
        assert 0 < measured["max_error"] <= 1e-5
        return
    assert set(measured["snr_db"]) == {output.name for output in source.outputs}
    assert ("min_box_cosine" in measured) == (task == "detection")
    limits = EXPORTERS[form, precision].limits
    assert limits.min_cosine < measured.get("min_box_cosine", 1) <= 1
    assert 0 < measured["mean_score_error"] < limits.max_score_error


@MATRIX
def test_the_file_gives_the_golden_answer_that_its_manifest_states(exported, task, form, precision):
    model = load_model(exported(task, form, precision))
    image = golden_input(model.manifest.input)
    assert model.manifest.golden["input_sha256"] == sha256({"": image})
    assert model.manifest.golden["output_sha256"] == sha256(dict(model.backend.run(image)))
    answers = model(np.ascontiguousarray(image[0, ..., ::-1])).to_dict()
    kind = "lesions" if task == "detection" else "labels"
    assert model.manifest.golden[kind] == json.loads(json.dumps(answers[kind]))


@MATRIX
def test_outputs_have_the_names_shapes_and_types_of_the_manifest(exported, task, form, precision):
    model = load_model(exported(task, form, precision))
    outputs = model.backend.run(golden_input(model.manifest.input))
    assert {name: (output.shape, output.dtype) for name, output in outputs.items()} == {
        spec.name: (model.manifest.output_shape(spec), np.float32) for spec in model.manifest.outputs
    }


@pytest.mark.slow
@pytest.mark.parametrize("form", ["onnx", "tflite"])
def test_the_same_run_gives_the_same_bytes(exported, runs, tmp_path, form):
    again = make(runs["detection"], recipe(form, "int8"), tmp_path / f"m.{form}")
    assert again.read_bytes() == exported("detection", form, "int8").read_bytes()


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


@pytest.mark.parametrize(("form", "precision", "most"), [("onnx", "int8", 0.45), ("tflite", "int8", 0.35)])
@pytest.mark.parametrize("task", ["detection", "multilabel"])
def test_int8_stays_close_to_float32_and_takes_about_a_quarter(exported, task, form, precision, most):
    files = [exported(task, form, kind) for kind in ("float32", precision)]
    image = np.ascontiguousarray(picture(64, 64, 8)[None, ..., ::-1])
    exact, coarse = (load_model(file).backend.run(image) for file in files)
    for name, output in exact.items():
        assert np.abs(coarse[name] - output).mean() < 0.03 * np.ptp(output), name
    assert files[1].stat().st_size < most * files[0].stat().st_size + 60_000  # manifest, graph


@pytest.mark.parametrize("form", ["onnx", "tflite"])
@pytest.mark.parametrize("task", ["detection", "multilabel"])
def test_the_keras_model_gives_the_answer_of_the_float32_file(exported, networks, task, form):
    model = load_model(exported(task, form))
    image = picture(64, 64, 9)[None, ..., ::-1]
    expected = networks[task](image.astype(np.float32), training=False)
    for name, output in model.backend.run(np.ascontiguousarray(image)).items():
        assert np.abs(output - expected[name]).max() <= 1e-5 * max(1, np.abs(expected[name]).max())


@pytest.mark.slow
@pytest.mark.parametrize("form", ["onnx", "tflite"])
@pytest.mark.parametrize("task", ["detection", "multilabel"])
def test_float_pixels_give_the_answers_of_uint8_ones(exported, task, form):
    floats = load_model(exported(task, form, input="float32"))
    assert floats.manifest.input.dtype == "float32"
    for photograph in PHOTOGRAPHS:
        assert floats(photograph).counts() == load_model(exported(task, form))(photograph).counts()


@pytest.mark.slow
@pytest.mark.parametrize(("form", "precision"), [("onnx", "float32"), ("tflite", "float16")])
def test_a_detector_takes_another_size(exported, form, precision):
    model = load_model(exported("detection", form, precision, size=96))
    assert (model.manifest.input.width, model.manifest.input.height) == (96, 96)
    assert model(PHOTOGRAPHS[0]).lesions


def test_a_flattening_network_takes_no_other_size(runs, tmp_path):
    with pytest.raises(ModelError, match=r"`size` 96: .* was trained for 64 px and takes no other size") as refused:
        make(runs["multilabel"], recipe(size=96), tmp_path / "m.onnx")
    assert_one_line(refused)


def test_a_size_that_the_strides_do_not_divide_is_refused(runs, tmp_path):
    with pytest.raises(ModelError, match=r"^`size` 80: stride 32 does not divide the input 80x80"):
        make(runs["detection"], recipe(size=80), tmp_path / "m.onnx")


@pytest.mark.slow
@pytest.mark.parametrize("task", ["detection", "multilabel"])
@pytest.mark.parametrize("batch", [0, 3])
def test_onnx_takes_several_photographs_in_a_call(exported, task, batch):
    file = exported(task, "onnx", batch=batch)
    single = load_model(exported(task, "onnx")).backend
    backend = conversion.open_in_runtime(file.read_bytes(), "onnx")
    pictures = np.concatenate([picture(64, 64, seed)[None] for seed in range(3)])
    together = backend.run(pictures)
    for place in range(3):
        for name, output in single.run(pictures[place : place + 1]).items():
            np.testing.assert_allclose(together[name][place : place + 1], output, atol=1e-4)
    if batch == 0:
        assert load_model(file)(PHOTOGRAPHS[0]).counts() == load_model(exported(task, "onnx"))(PHOTOGRAPHS[0]).counts()
    else:
        with pytest.raises(ModelError, match=r"takes batches of 3 images, not single ones"):
            load_model(file)(PHOTOGRAPHS[0])
    assert next(verify(file)) == "golden image: outputs are identical bit for bit"


@pytest.mark.parametrize(
    ("wanted", "task", "problem"),
    [
        (
            recipe("onnx", "dynamic"),
            "detection",
            r"`precision` dynamic: not available for `format` onnx, which has float32, .*int8",
        ),
        (
            recipe("tflite", batch=4),
            "detection",
            r"`batch` 4: TFLite files take one image; use `format` onnx",
        ),
        (recipe("tflite", batch=0), "detection", r"`batch` dynamic: TFLite"),
        (recipe(nms=True), "multilabel", r"`nms`: tiny-cnn is not a detector"),
        (recipe(nms=True, batch=2), "detection", r"`nms`: .*leave `batch` out"),
        (recipe("tflite", "w8a16", nms=True), "detection", r"`nms`: not available with `precision` w8a16"),
    ],
)
def test_what_does_not_go_together_is_refused_before_anything_is_written(runs, tmp_path, wanted, task, problem):
    with pytest.raises(ModelError, match=problem) as refused:
        make(runs[task], wanted, tmp_path / f"m.{wanted.format}")
    assert_one_line(refused)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(("form", "precision"), [pair for pair in PAIRS if EXPORTERS[pair].needs_ranges])
def test_without_ranges_int8_is_refused_in_one_line(runs, tmp_path, form, precision):
    run = dataclasses.replace(read_run_folder(runs["multilabel"]), activations=Activations())
    with pytest.raises(ModelError, match=rf"calibration\.json: not found; {precision} needs it .*`calibration`") as no:
        export(run, recipe(form, precision), tmp_path / f"m.{form}")
    assert_one_line(no)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_ranges_come_from_photographs_too(runs, tmp_path, caplog):
    (tmp_path / "photos").mkdir()
    for seed in range(5):
        write_picture(tmp_path / "photos" / f"{seed}.jpg", 80, 100, seed)
    (tmp_path / "photos" / "broken.jpg").write_text("no picture")
    run = dataclasses.replace(read_run_folder(runs["detection"]), activations=Activations())
    caplog.set_level(logging.INFO)
    file = export(run, recipe("tflite", "int8"), tmp_path / "m.tflite", ExportOptions(calibration=tmp_path / "photos"))
    assert any(line.startswith("skipped: ") and "broken.jpg" in line for line in caplog.messages)
    assert f"calibrating on 5 photographs of {tmp_path / 'photos'}" in caplog.messages
    assert load_model(file)(PHOTOGRAPHS[0]).lesions


def test_a_folder_without_a_readable_photograph_is_refused(runs, tmp_path):
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "broken.jpg").write_text("no picture")
    with pytest.raises(Exception, match=r"photos: none of its 1 photographs can be read"):
        make(
            runs["detection"],
            recipe("tflite", "int8"),
            tmp_path / "m.tflite",
            ExportOptions(calibration=tmp_path / "photos"),
        )


@pytest.mark.parametrize("problem", [RuntimeError("error: unsupported op\nmany\nlines"), ValueError()])
def test_a_converter_that_gives_up_is_one_line(runs, tmp_path, monkeypatch, problem):
    def fails(*_):
        raise problem

    monkeypatch.setitem(
        EXPORTERS, ("onnx", "float32"), dataclasses.replace(EXPORTERS["onnx", "float32"], convert=fails)
    )
    with pytest.raises(
        ValidationError, match=r"m\.onnx: not written: the converter failed: (error: unsupported op|ValueErr)"
    ) as no:
        make(runs["multilabel"], recipe(), tmp_path / "m.onnx")
    assert_one_line(no)
    assert list(tmp_path.iterdir()) == []


def test_neither_the_file_nor_its_manifest_is_replaced_unasked(runs, tmp_path):
    (tmp_path / "m.onnx.json").write_text("mine")
    with pytest.raises(ModelError, match=r"m\.onnx\.json: exists already; replace it with `force`"):
        make(runs["multilabel"], recipe(), tmp_path / "m.onnx")
    (tmp_path / "n.onnx.json").mkdir()
    with pytest.raises(ModelError, match=r"n\.onnx\.json: is a folder"):
        make(runs["multilabel"], recipe(), tmp_path / "n.onnx", ExportOptions(force=True))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["m.onnx.json", "n.onnx.json"]


@pytest.mark.slow
def test_a_set_without_lesions_gives_no_figure_to_hold(runs, tmp_path, monkeypatch):
    measured = losing({})
    monkeypatch.setattr(measured, "metrics", lambda *_: {"photographs": 3, "ap50": None})
    with pytest.raises(ModelError, match=r"`data` set: no labelled lesion in valid, so no ap50") as no:
        make(runs["detection"], recipe("tflite", "int8"), tmp_path / "m.tflite", ExportOptions(data=measured))
    assert_one_line(no)


@pytest.mark.parametrize("earlier", [None, b"an earlier export"], ids=["new", "replacing"])
@pytest.mark.parametrize(
    ("form", "precision", "check"), [("onnx", "float32", "check_float32"), ("tflite", "int8", "check_reduced")]
)
def test_a_failed_validation_leaves_no_file_and_an_earlier_one_untouched(
    runs, tmp_path, monkeypatch, form, precision, check, earlier
):
    def fail(*_, **__):
        raise ValidationError("output 'label' differs")

    monkeypatch.setattr(conversion, check, fail)
    target = tmp_path / f"m.{form}"
    if earlier:
        target.write_bytes(earlier)
    with pytest.raises(ValidationError):
        make(runs["multilabel"], recipe(form, precision), target, ExportOptions(force=True))
    assert [path.read_bytes() for path in tmp_path.iterdir()] == ([earlier] if earlier else [])


def test_a_full_disk_leaves_nothing_half_written(runs, tmp_path, monkeypatch):
    (tmp_path / "m.onnx").write_bytes(b"mine")
    write = Path.write_bytes

    def full(path, data):
        if path.parent != tmp_path:
            return write(path, data)
        write(path, data[: len(data) // 2])
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(OSError, match="No space left"):
        make(runs["multilabel"], recipe(), tmp_path / "m.onnx", ExportOptions(force=True))
    assert [path.read_bytes() for path in tmp_path.iterdir()] == [b"mine"]


def test_a_conversion_that_went_wrong_is_caught(runs, tmp_path, monkeypatch):
    really = reference.simplify

    def spoilt(model):
        simple = really(model)
        layer = simple.get_layer("logits")
        layer.bias.assign(layer.bias + 0.01)
        return simple

    monkeypatch.setattr(reference, "simplify", spoilt)
    with pytest.raises(ValidationError, match="output 'label' differs from the Keras model"):
        make(runs["multilabel"], recipe(), tmp_path / "m.onnx")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("form", ["onnx", "tflite"])
def test_ranges_far_too_narrow_are_caught(runs, tmp_path, form):
    run = read_run_folder(runs["multilabel"])
    narrow = {name: (low / 20, high / 20) for name, (low, high) in run.activations.ranges.items()}
    run = dataclasses.replace(run, activations=Activations(narrow))
    with pytest.raises(
        ValidationError,
        match=r"(scores of output 'label' differ from the Keras model's|output 'label' keeps \d+ of \d+ score levels)",
    ):
        export(run, recipe(form, "int8"), tmp_path / f"m.{form}")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_accuracy_before_and_after_is_stated_and_thresholds_are_the_files_own(runs, tmp_path, tiny, caplog):
    caplog.set_level(logging.INFO)
    measured = losing({"int8": 0.005})
    file = make(runs["detection"], recipe("tflite", "int8"), tmp_path / "m.tflite", ExportOptions(data=measured))
    manifest = load_model(file).manifest
    assert manifest.thresholds == (0.77,)
    assert measured.calls == [("float32", tiny.DETECTION.thresholds), ("int8", manifest.thresholds)]
    accuracy = manifest.validation["accuracy"]
    assert (accuracy["data"], accuracy["before"]["ap50"], accuracy["after"]["ap50"]) == ("set/valid", 0.5, 0.495)
    assert "  ap50: 0.5 before, 0.495 after" in caplog.messages
    assert "  recall_by_class: comedones 0.3 before, comedones 0.3 after" in caplog.messages


@pytest.mark.slow
def test_a_file_that_lost_too_much_is_refused_with_a_code_of_its_own(runs, tmp_path):
    options = ExportOptions(data=losing({"int8": 0.02}))
    with pytest.raises(
        AccuracyDropError,
        match=r"m\.tflite: not written: ap50 drops from 0\.500 to 0\.480 at int8, more than `max_drop` 0\.01$",
    ) as no:
        make(runs["detection"], recipe("tflite", "int8"), tmp_path / "m.tflite", options)
    assert no.value.exit_code == 3
    assert_one_line(no)
    assert list(tmp_path.iterdir()) == []
    looser = dataclasses.replace(options, max_drop=0.03)
    assert make(runs["detection"], recipe("tflite", "int8"), tmp_path / "m.tflite", looser).exists()


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
    text = manifest_path(exported("detection", "onnx")).read_text()
    assert Manifest.from_json(text, "here").to_json() == text
