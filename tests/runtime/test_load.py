import dataclasses
import gc
import re
import shutil

import numpy as np
import pytest
from support.images import picture

from acne_runtime import load
from acne_runtime.errors import AcneEdgeError, BackendError, ModelError
from acne_runtime.load import load_model
from acne_runtime.manifest import Manifest, manifest_path

BACKENDS = {"onnx": "onnx", "tflite": "litert"}
FORMS = pytest.mark.parametrize("form", ["onnx", "tflite"])


@pytest.fixture(scope="session")
def bare(networks, tmp_path_factory):
    """Gives a converted file that carries no manifest."""
    pytest.importorskip("tf2onnx")
    from acne_export.graph.fold import simplify
    from acne_export.onnx_export.convert import float32_onnx
    from acne_export.recipe import Recipe
    from acne_export.tflite_export.convert import float32_tflite

    folder = tmp_path_factory.mktemp("bare")
    for form, convert in (("onnx", float32_onnx), ("tflite", float32_tflite)):
        recipe = Recipe(form, "float32", "uint8", 64)
        (folder / f"bare.{form}").write_bytes(convert(simplify(networks["multilabel"]), recipe, {}))
    return folder


def not_installed(monkeypatch, *modules):
    really = load.find_spec
    monkeypatch.setattr(load, "find_spec", lambda name: None if name in modules else really(name))


@pytest.fixture
def shipped(monkeypatch, tmp_path, exported):
    """A models folder with one shipped model."""
    folder = tmp_path / "models" / "tiny"
    folder.mkdir(parents=True)
    shutil.copy(exported("multilabel", "onnx"), folder / "tiny.onnx")
    shutil.copy(exported("multilabel", "tflite", "int8"), folder / "tiny-int8.tflite")
    (folder / "manifest.json").write_text("{}")
    monkeypatch.setattr(load, "model_folders", lambda: [tmp_path / "models"])
    return folder


@FORMS
@pytest.mark.parametrize("as_text", [False, True], ids=["path", "text"])
def test_a_file_opens_with_the_backend_that_fits_it(exported, form, as_text):
    file = exported("multilabel", form)
    model = load_model(str(file) if as_text else file)
    assert (model.backend.name, model.backend.device) == (BACKENDS[form], "cpu")
    assert model.manifest.name == "tiny-cnn"
    assert len(model(picture(50, 70)).labels) == 4


@FORMS
@pytest.mark.parametrize("threads", [0, 1, 2])
def test_the_number_of_threads_does_not_change_the_answer(exported, form, threads):
    labels = load_model(exported("multilabel", form), threads=threads)(picture(50, 70)).labels
    expected = load_model(exported("multilabel", form))(picture(50, 70)).labels
    assert [label.score for label in labels] == pytest.approx([one.score for one in expected], abs=1e-5)


@FORMS
def test_the_thresholds_are_the_manifests_unless_one_is_given(exported, form):
    file = exported("detection", form)
    assert load_model(file).thresholds.tolist() == pytest.approx([0.95])
    assert load_model(file, score_threshold=0.125).thresholds.tolist() == [0.125]


@FORMS
def test_a_missing_file_is_named(tmp_path, form):
    file = tmp_path / f"nowhere.{form}"
    with pytest.raises(ModelError, match=f"^{re.escape(str(file))}: no such model file$"):
        load_model(file)


@FORMS
def test_a_folder_is_no_model_file(tmp_path, form):
    (tmp_path / f"folder.{form}").mkdir()
    with pytest.raises(ModelError, match="no such model file"):
        load_model(tmp_path / f"folder.{form}")


@pytest.mark.parametrize("name", ["model.pb", "model.h5", "model", "acne-yolov9", ""])
def test_what_is_neither_a_file_nor_a_shipped_model_is_refused_with_the_shipped_ones(shipped, tmp_path, name):
    with pytest.raises(ModelError, match=rf"^`model` {re.escape(name)}: .*\.onnx or \.tflite.*\(tiny\)$"):
        load_model(name)


def test_a_shipped_model_is_found_by_its_name(shipped):
    assert load.shipped_models() == ["tiny"]
    assert load_model("tiny", backend="onnx").backend.name == "onnx"
    assert load_model("tiny", backend="litert").manifest.precision == "int8"


@pytest.mark.parametrize(("missing", "chosen"), [("onnxruntime", "litert"), ("ai_edge_litert", "onnx")])
def test_a_shipped_model_runs_on_the_backend_that_is_installed(shipped, monkeypatch, missing, chosen):
    not_installed(monkeypatch, missing)
    assert load_model("tiny").backend.name == chosen


def test_without_any_backend_a_shipped_model_asks_for_one(shipped, monkeypatch):
    not_installed(monkeypatch, "onnxruntime", "ai_edge_litert")
    with pytest.raises(BackendError, match=re.escape("pip install onnxruntime")):
        load_model("tiny")


@pytest.mark.parametrize(
    ("form", "module", "command"),
    [
        ("onnx", "onnxruntime", "pip install onnxruntime"),
        ("tflite", "ai_edge_litert", "pip install ai-edge-litert"),
    ],
)
def test_a_backend_that_is_not_installed_is_refused_with_the_pip_command(exported, monkeypatch, form, module, command):
    not_installed(monkeypatch, module)
    with pytest.raises(BackendError, match=re.escape(command)):
        load_model(exported("multilabel", form))


@pytest.mark.parametrize(("form", "backend"), [("onnx", "litert"), ("tflite", "onnx")])
def test_a_backend_that_does_not_fit_the_file_is_refused_with_the_one_that_does(exported, form, backend):
    with pytest.raises(BackendError, match=f"`backend` {backend} cannot run .*`backend` {BACKENDS[form]}"):
        load_model(exported("multilabel", form), backend=backend)


@pytest.mark.parametrize(
    ("wrong", "kind", "problem"),
    [
        ({"backend": "torch"}, BackendError, "unknown `backend` 'torch'; choose onnx or litert"),
        ({"threads": -3}, BackendError, "`threads` -3: not an integer within 0 to 256"),
        ({"threads": 2.5}, BackendError, "`threads` 2.5: not an integer"),
        ({"threads": True}, BackendError, "`threads` True: not an integer"),
        ({"threads": 100_000}, BackendError, "`threads` 100000: not an integer"),
        ({"score_threshold": -0.1}, ModelError, "`score_threshold` -0.1: not within 0 to 1"),
        ({"score_threshold": 7}, ModelError, "`score_threshold` 7: not within 0 to 1"),
        ({"score_threshold": float("nan")}, ModelError, "`score_threshold` nan: not within 0 to 1"),
    ],
    ids=str,
)
def test_what_makes_no_sense_is_refused(exported, wrong, kind, problem):
    with pytest.raises(kind, match=re.escape(problem)):
        load_model(exported("detection", "onnx"), **wrong)


@FORMS
def test_a_file_from_a_system_that_shouts_opens_too(exported, tmp_path, form):
    file = shutil.copy(exported("multilabel", form), tmp_path / f"MODEL.{form.upper()}")
    assert load_model(file).backend.name == BACKENDS[form]


def test_a_delegate_that_is_no_library_is_refused_in_one_line(exported, tmp_path, capfd):
    delegate = tmp_path / "libdelegate.so"
    delegate.write_text("no library")
    with pytest.raises(BackendError, match=r"^`delegate` .*libdelegate\.so: cannot be loaded \(.*\)$"):
        load_model(exported("detection", "tflite"), delegate=delegate)
    gc.collect()  # what is left of it in LiteRT would speak now
    assert capfd.readouterr() == ("", "")


def test_a_delegate_in_this_folder_is_the_one_that_is_meant(exported, tmp_path, monkeypatch):
    (tmp_path / "libdelegate.so").write_text("no library")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(
        BackendError, match=rf"`delegate` libdelegate\.so: .*{re.escape(str(tmp_path))}/libdelegate\.so"
    ):
        load_model(exported("detection", "tflite"), delegate="libdelegate.so")


@FORMS
def test_a_device_that_is_not_there_is_refused(exported, form):
    with pytest.raises(BackendError, match=r"`device` cuda: .*`device` cpu"):
        load_model(exported("multilabel", form), device="cuda")


@FORMS
def test_auto_takes_the_device_that_is_there(exported, form):
    assert load_model(exported("multilabel", form), device="auto").backend.device == "cpu"


@FORMS
def test_a_model_without_a_manifest_is_refused_with_the_name_to_give_one(bare, tmp_path, form):
    file = shutil.copy(bare / f"bare.{form}", tmp_path / f"bare.{form}")
    with pytest.raises(ModelError, match=rf"no manifest.*acne-export.*bare\.{form}\.json$"):
        load_model(file)


@FORMS
def test_a_model_without_a_manifest_takes_the_one_beside_it(bare, tmp_path, tiny, form):
    file = shutil.copy(bare / f"bare.{form}", tmp_path / f"bare.{form}")
    manifest_path(file).write_text(tiny.MULTILABEL.to_json())
    model = load_model(file)
    assert model.manifest == tiny.MULTILABEL
    assert len(model(picture(50, 70)).labels) == 4


@FORMS
def test_a_damaged_manifest_beside_the_model_is_named(bare, tmp_path, form):
    file = shutil.copy(bare / f"bare.{form}", tmp_path / f"bare.{form}")
    manifest_path(file).write_text("{")
    with pytest.raises(ModelError, match=f"^{re.escape(str(manifest_path(file)))}: "):
        load_model(file)


@FORMS
def test_the_manifest_inside_wins_over_the_one_beside(exported, tmp_path, tiny, form):
    file = shutil.copy(exported("multilabel", form), tmp_path / f"model.{form}")
    manifest_path(file).write_text(dataclasses.replace(tiny.MULTILABEL, name="another").to_json())
    assert load_model(file).manifest.name == "tiny-cnn"


@FORMS
def test_a_manifest_of_another_model_is_refused(bare, tmp_path, tiny, form):
    file = shutil.copy(bare / f"bare.{form}", tmp_path / f"bare.{form}")
    manifest_path(file).write_text(tiny.DETECTION.to_json())
    with pytest.raises(ModelError, match=r"its outputs \['label'\] do not match its manifest"):
        load_model(file)


@FORMS
def test_a_photograph_of_another_size_than_the_files_input_is_refused(bare, tmp_path, tiny, form):
    file = shutil.copy(bare / f"bare.{form}", tmp_path / f"bare.{form}")
    larger = dataclasses.replace(tiny.MULTILABEL.input, width=96)
    manifest_path(file).write_text(dataclasses.replace(tiny.MULTILABEL, input=larger).to_json())
    with pytest.raises(ModelError, match="its input is"):
        load_model(file)(picture(50, 70))


@FORMS
@pytest.mark.parametrize(
    "damage",
    [
        lambda data: b"",
        lambda data: b"no model",
        lambda data: bytes(5000),
        lambda data: np.random.default_rng(0).bytes(5000),
        lambda data: b"\x1c\x00\x00\x00TFL3" + np.random.default_rng(0).bytes(5000),
        lambda data: data[:8],
        lambda data: data[:1000],
        lambda data: data[: len(data) // 2],
        lambda data: data[: len(data) - 20_000],
        lambda data: Manifest.to_json.__doc__.encode() * 100,
    ],
    ids=["empty", "words", "zeros", "noise", "noise marked TFL3", "head", "1 kB", "half", "end missing", "text"],
)
def test_a_damaged_file_is_refused_in_one_line_that_names_it(exported, tmp_path, form, damage):
    file = tmp_path / f"damaged.{form}"
    file.write_bytes(damage(exported("multilabel", form).read_bytes()))
    with pytest.raises(ModelError) as refused:
        load_model(file)
    assert str(refused.value).startswith(f"{file}: ")
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(("content", "suffix"), [("onnx", ".tflite"), ("tflite", ".onnx")])
def test_a_file_with_the_wrong_suffix_is_refused(exported, tmp_path, content, suffix):
    file = shutil.copy(exported("multilabel", content), tmp_path / f"renamed{suffix}")
    with pytest.raises(AcneEdgeError, match="cannot open this model"):
        load_model(file)
