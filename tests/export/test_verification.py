import dataclasses
import gzip
import json
import shutil

import cv2
import numpy as np
import onnx
import pytest

pytest.importorskip("tensorflow")

from click.testing import CliRunner

from acne_export.cli import main
from acne_export.exporters import EXPORTERS
from acne_export.golden.vectors import FOLDER, read_golden_vectors, write_golden_vectors
from acne_export.onnx_export.convert import embed_manifest_in_onnx
from acne_export.verification import VerificationError, verify
from acne_runtime.errors import ModelError
from acne_runtime.load import load_model
from acne_runtime.manifest import METADATA_KEY, manifest_path

FILES = [("onnx", "float32"), ("tflite", "float32"), ("tflite", "int8")]


@pytest.fixture(params=["detection", "multilabel"])
def shipped(request, exported, tmp_path):
    """A folder as under models/: files, manifests, golden vectors."""
    folder = tmp_path / "model"
    folder.mkdir()
    for pair in FILES:
        file = exported(request.param, *pair)
        shutil.copy(file, folder)
        shutil.copy(manifest_path(file), folder)
    write_golden_vectors(folder)
    return folder


def models(folder):
    return sorted(file for file in folder.iterdir() if file.suffix in (".onnx", ".tflite"))


@pytest.mark.slow
@pytest.mark.parametrize("task", ["detection", "multilabel"])
@pytest.mark.parametrize(("form", "precision"), sorted(EXPORTERS))
def test_an_exported_file_gives_its_own_golden_answer_again(exported, task, form, precision):
    lines = list(verify(exported(task, form, precision)))
    assert lines[0] == "golden image: outputs are identical bit for bit"
    assert lines[1].startswith("golden image: the same ")


def test_every_station_of_a_shipped_model_is_replayed(shipped):
    for file in models(shipped):
        lines = list(verify(file))
        assert [line.split(":")[0] for line in lines] == [
            "golden image",
            "golden image",
            "photograph -> input tensor",
            "input tensor -> raw outputs",
            "raw outputs -> result",
        ]
        assert "differs by at most 0 levels" in lines[2]
        assert "differ by at most 0" in lines[3]


def test_golden_vectors_come_back_and_are_the_same_when_written_again(shipped):
    golden = read_golden_vectors(shipped / FOLDER)
    assert set(golden.outputs) == set(golden.results) == {file.name for file in models(shipped)}
    for file in models(shipped):
        model = load_model(file)
        for name, output in model.backend.run(golden.tensor).items():
            np.testing.assert_array_equal(golden.outputs[file.name][name], output)
        answer = json.loads(json.dumps(model(golden.photograph).to_dict()))
        assert golden.results[file.name].items() <= answer.items()
    before = {file.name: file.read_bytes() for file in (shipped / FOLDER).iterdir()}
    (shipped / FOLDER / "left-over.bin.gz").write_bytes(b"")
    write_golden_vectors(shipped)
    assert {file.name: file.read_bytes() for file in (shipped / FOLDER).iterdir()} == before


def test_golden_vectors_hold_little_endian_floats_that_any_language_reads(shipped):
    record = json.loads((shipped / FOLDER / "golden.json").read_text())
    for one in record["files"].values():
        for stored in one["outputs"].values():
            raw = gzip.decompress((shipped / FOLDER / stored["file"]).read_bytes())
            assert len(raw) == 4 * np.prod(stored["shape"])


def test_another_resize_is_found_at_its_station(shipped):
    photograph = cv2.imread(str(shipped / FOLDER / "rendered_skin.png"))
    cv2.imwrite(str(shipped / FOLDER / "rendered_skin.png"), photograph[..., ::-1])
    with pytest.raises(VerificationError, match=r"the input tensor differs by \d+ levels"):
        list(verify(models(shipped)[0]))


def test_other_outputs_are_found_at_their_station(shipped):
    record = json.loads((shipped / FOLDER / "golden.json").read_text())
    file = models(shipped)[0]
    output, stored = next(iter(record["files"][file.name]["outputs"].items()))
    values = np.frombuffer(gzip.decompress((shipped / FOLDER / stored["file"]).read_bytes()), "<f4") + np.float32(0.5)
    (shipped / FOLDER / stored["file"]).write_bytes(gzip.compress(values.tobytes()))
    with pytest.raises(VerificationError, match=rf"output '{output}' differs by \S+ from the stored one"):
        list(verify(file))


def test_another_result_is_found_at_its_station(shipped):
    record = json.loads((shipped / FOLDER / "golden.json").read_text())
    for one in record["files"].values():
        answers = one["result"].get("lesions") or one["result"]["labels"]
        answers[0]["score"] = abs(answers[0]["score"] - 0.5)
    (shipped / FOLDER / "golden.json").write_text(json.dumps(record))
    with pytest.raises(VerificationError, match=r"stored results 1 are missing and 1 are new"):
        list(verify(models(shipped)[0]))


@pytest.mark.parametrize("task", ["detection", "multilabel"])
def test_a_file_that_answers_otherwise_is_refused(exported, tmp_path, task):
    file = exported(task, "onnx")
    manifest = load_model(file).manifest
    golden = json.loads(json.dumps(manifest.golden)) | {"output_sha256": "0" * 64}
    answers = golden.get("lesions") or golden["labels"]
    answers[0]["score"] = abs(answers[0]["score"] - 0.5)
    other = tmp_path / "other.onnx"
    other.write_bytes(
        embed_manifest_in_onnx(file.read_bytes(), dataclasses.replace(manifest, golden=golden, digest=""))
    )
    with pytest.raises(VerificationError, match=r"other\.onnx: of \d+ stored results 1 are missing and 1 are new"):
        list(verify(other))
    done = CliRunner().invoke(main, ["verify", str(other)])
    assert done.exit_code == 1
    assert len(done.stderr.splitlines()) == 1


def test_a_manifest_without_a_golden_answer_cannot_be_verified(exported, tmp_path):
    file = exported("multilabel", "onnx")
    manifest = dataclasses.replace(load_model(file).manifest, golden={}, digest="")
    (tmp_path / "m.onnx").write_bytes(embed_manifest_in_onnx(file.read_bytes(), manifest))
    with pytest.raises(ModelError, match=r"m\.onnx: its manifest has no golden outputs; export it with acne-export"):
        list(verify(tmp_path / "m.onnx"))


def damaged_json(folder):
    (folder / "golden.json").write_text("{")


def missing_tensor(folder):
    next(folder.glob("*.bin.gz")).unlink()


def cut_off_tensor(folder):
    file = next(folder.glob("*.bin.gz"))
    file.write_bytes(file.read_bytes()[:20])


def no_picture(folder):
    (folder / "tensor.png").write_text("no picture")


@pytest.mark.parametrize("damage", [damaged_json, missing_tensor, cut_off_tensor, no_picture])
def test_damaged_golden_vectors_are_one_line(shipped, damage):
    damage(shipped / FOLDER)
    with pytest.raises(ModelError, match=r"golden\.json: incomplete or corrupt golden vectors") as refused:
        read_golden_vectors(shipped / FOLDER)
    assert "\n" not in str(refused.value)


def test_the_command_writes_them_for_each_folder(shipped):
    shutil.rmtree(shipped / FOLDER)
    done = CliRunner().invoke(main, ["golden", str(shipped)])
    assert done.exit_code == 0, done.output
    assert f"wrote {shipped / FOLDER / 'golden.json'}" in done.stdout
    assert read_golden_vectors(shipped / FOLDER).photograph.shape == (360, 270, 3)


def test_a_folder_without_models_is_refused(tmp_path):
    done = CliRunner().invoke(main, ["golden", str(tmp_path)])
    assert (done.exit_code, done.stderr) == (1, f"Error: {tmp_path}: no .onnx or .tflite file in this folder\n")


@pytest.mark.parametrize("precision", ["float32", "int8"])
@pytest.mark.parametrize("wrong", [float("nan"), 0.97])
def test_one_wrong_label_is_refused_in_any_precision(exported, tmp_path, precision, wrong):
    file = exported("multilabel", "onnx", precision)
    manifest = load_model(file).manifest
    golden = json.loads(json.dumps(manifest.golden))
    golden["labels"][1]["score"] = wrong
    (tmp_path / "m.onnx").write_bytes(
        embed_manifest_in_onnx(file.read_bytes(), dataclasses.replace(manifest, golden=golden, digest=""))
    )
    with pytest.raises(VerificationError, match=r"of 4 stored results 1 are missing and 1 are new"):
        list(verify(tmp_path / "m.onnx"))


def test_outputs_that_are_no_numbers_are_refused(shipped):
    record = json.loads((shipped / FOLDER / "golden.json").read_text())
    file = models(shipped)[0]
    output, stored = next(iter(record["files"][file.name]["outputs"].items()))
    values = np.full(stored["shape"], np.nan, "<f4")
    (shipped / FOLDER / stored["file"]).write_bytes(gzip.compress(values.tobytes()))
    with pytest.raises(VerificationError, match=rf"output '{output}' differs by nan from the stored one"):
        list(verify(file))


@pytest.mark.parametrize("task", ["detection", "multilabel"])
def test_a_manifest_that_states_no_answers_cannot_be_verified(exported, tmp_path, task):
    file = exported(task, "onnx")
    manifest = load_model(file).manifest
    golden = {name: value for name, value in manifest.golden.items() if name.endswith("sha256")}
    (tmp_path / "m.onnx").write_bytes(
        embed_manifest_in_onnx(file.read_bytes(), dataclasses.replace(manifest, golden=golden, digest=""))
    )
    with pytest.raises(ModelError, match="its manifest has no golden outputs"):
        list(verify(tmp_path / "m.onnx"))


def of_schema_1(file, target, **changes):
    """Writes an ONNX file as a version that gave a box a type made it."""
    manifest = load_model(file).manifest
    lesion = {"class": "papules", "score": 0.75, "box": [1.0, 2.0, 3.0, 4.0]}
    raw = manifest.to_dict() | {"schema": 1, "thresholds": [0.95] * len(manifest.classes), "digest": ""}
    raw["golden"] |= {"lesions": [lesion] * 40} | changes
    model = onnx.load_from_string(file.read_bytes())
    del model.metadata_props[:]
    onnx.helper.set_model_props(model, {METADATA_KEY: json.dumps(raw)})
    target.write_bytes(model.SerializeToString())
    return target


def test_lesions_that_were_stated_with_a_box_a_type_are_not_compared(exported, tmp_path):
    file = of_schema_1(exported("detection"), tmp_path / "m.onnx")
    assert list(verify(file)) == [
        "golden image: outputs are identical bit for bit",
        "golden image: lesions not compared, they were stored with one box per type (schema 1)",
    ]
    write_golden_vectors(tmp_path)
    assert len(list(verify(of_schema_1(exported("detection"), file, output_sha256="0" * 64)))) == 5
    shutil.rmtree(tmp_path / FOLDER)
    with pytest.raises(ModelError, match=r"m\.onnx: .* nothing left to compare; export it again with acne-e"):
        list(verify(file))


@pytest.mark.slow
@pytest.mark.parametrize("change", [{"size": 96}, {"nms": True}])
def test_golden_vectors_of_another_export_are_told_apart(exported, tmp_path, change):
    shutil.copy(exported("detection", "onnx"), tmp_path / "m.onnx")
    write_golden_vectors(tmp_path)
    shutil.copy(exported("detection", "onnx", **change), tmp_path / "m.onnx")
    with pytest.raises(VerificationError, match=r"m\.onnx: .*rewrite them with acne-export golden"):
        list(verify(tmp_path / "m.onnx"))


def test_files_of_different_sizes_have_no_golden_vectors_in_common(exported, tmp_path):
    shutil.copy(exported("detection", "onnx"), tmp_path / "m.onnx")
    shutil.copy(exported("detection", "onnx", size=96), tmp_path / "m-96.onnx")
    with pytest.raises(ModelError, match="its files take different inputs"):
        write_golden_vectors(tmp_path)
    assert not (tmp_path / FOLDER).exists()
