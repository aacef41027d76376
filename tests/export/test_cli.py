import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

pytest.importorskip("tensorflow")

from acne_export import run_folder
from acne_export.accuracy import LabelledSet
from acne_export.cli import main
from acne_runtime import __version__
from acne_runtime.load import load_model
from acne_runtime.manifest import manifest_path


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    """Each test has an empty folder of its own to stand in."""
    folder = tmp_path / "here"
    folder.mkdir()
    monkeypatch.chdir(folder)
    return folder


def run(*arguments):
    return CliRunner().invoke(main, [str(argument) for argument in arguments])


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def assert_refused(done, exit_code, problem):
    assert done.exit_code == exit_code
    assert isinstance(done.exception, SystemExit)
    assert done.stdout == ""
    before, error = done.stderr.split("Error: ")
    assert problem in error
    if exit_code == 1:
        assert before in ("", "running " + before.removeprefix("running "))
        assert len(error.splitlines()) == 1


@pytest.mark.parametrize(
    ("options", "name"),
    [(["--format", "onnx"], "tiny-cnn.onnx"), (["--format", "tflite"], "tiny-cnn-int8.tflite")],
    ids=["onnx", "tflite"],
)
def test_a_file_is_named_after_the_model_unless_told(runs, here, options, name):
    done = run("--run", runs["multilabel"], *options)
    assert (done.exit_code, done.stdout) == (0, "")
    assert names(here) == [name, f"{name}.json"]
    assert done.stderr.splitlines()[-1].startswith(f"wrote {name} (")
    assert load_model(here / name).manifest.name == "tiny-cnn"


def test_an_existing_file_is_not_replaced_unless_forced(runs, here):
    (here / "tiny-cnn.onnx").write_bytes(b"mine")
    done = run("--run", runs["multilabel"], "--format", "onnx")
    assert_refused(
        done, 1, "tiny-cnn.onnx: exists already; replace it with --force, or choose another file name with --out"
    )
    assert (here / "tiny-cnn.onnx").read_bytes() == b"mine"
    assert names(here) == ["tiny-cnn.onnx"]
    assert run("--run", runs["multilabel"], "--format", "onnx", "--force").exit_code == 0
    assert load_model(here / "tiny-cnn.onnx").manifest.name == "tiny-cnn"


def test_out_names_the_file_and_its_folder_is_made(runs, here):
    done = run("--run", runs["multilabel"], "--format", "onnx", "--out", "deep/er/model.onnx")
    assert done.exit_code == 0
    assert names(here / "deep" / "er") == ["model.onnx", "model.onnx.json"]


@pytest.mark.parametrize(
    ("form", "out"), [("onnx", "model.tflite"), ("tflite", "model.onnx"), ("onnx", "model"), ("onnx", "model.onnx.bak")]
)
def test_a_name_that_does_not_fit_the_format_is_wrong_usage(runs, here, form, out):
    done = run("--run", runs["multilabel"], "--format", form, "--out", out)
    assert_refused(done, 2, f"--out {out}: a file for --format {form} must end in .{form}")
    assert names(here) == []


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        ([], "choose --format onnx or --format tflite"),
        (["--format", "coreml"], "--format"),
        (["--format", "onnx", "--batch", "many"], "'many' is neither a number of images nor 'dynamic'"),
        (["--format", "onnx", "--batch", "0"], "'0' is neither"),
        (["--format", "onnx", "--imgsz", "8"], "--imgsz"),
        (["--format", "onnx", "--max-drop", "2"], "--max-drop"),
        (["--format", "onnx", "--calibration", "nowhere"], "nowhere"),
        (["inspect"], "FILE"),
        (["verify", "nowhere.onnx"], "nowhere.onnx"),
        (["bench"], "FILE"),
        (["--format", "onnx", "--precision", "int4"], "--precision"),
        (["--format", "onnx", "--into", "m.onnx"], "--into"),
        (["--format", "onnx", "m.onnx"], "m.onnx"),
    ],
    ids=lambda value: " ".join(value) or "nothing" if isinstance(value, list) else "",
)
def test_wrong_usage_ends_with_2_and_names_the_option(options, problem):
    assert_refused(run(*options), 2, problem)


def test_a_wrong_name_is_reported_before_the_run_folder_is_even_read(here):
    assert_refused(run("--run", "nowhere", "--format", "onnx", "--out", "model.pb"), 2, "--out model.pb")


@pytest.mark.parametrize(
    ("spoil", "problem"),
    [
        (shutil.rmtree, "inference.keras: not found"),
        (lambda folder: (folder / "inference.keras").write_bytes(b""), "inference.keras: Keras cannot load this model"),
        (lambda folder: (folder / "manifest.json").write_text("{"), "manifest.json: not an Acne Edge manifest"),
        (lambda folder: (folder / "calibration.json").write_text("{"), "calibration.json: not valid activation"),
        (lambda folder: (folder / "calibration.json").unlink(), "calibration.json: not found; int8 needs it"),
    ],
    ids=["missing", "model", "manifest", "calibration", "no calibration"],
)
def test_a_bad_run_folder_ends_with_1_and_one_line(runs, here, tmp_path, spoil, problem):
    folder = shutil.copytree(runs["multilabel"], tmp_path / "run")
    spoil(folder)
    assert_refused(run("--run", folder, "--format", "tflite"), 1, problem)
    assert names(here) == []


def test_an_unsupported_pair_ends_with_1_and_one_line(runs, here):
    done = run("--run", runs["multilabel"], "--format", "onnx", "--precision", "w8a16")
    assert_refused(done, 1, "--precision w8a16: not available for --format onnx, which has float32, float16, int8")
    assert names(here) == []


def test_litert_is_another_name_of_tflite(runs, here):
    assert run("--run", runs["multilabel"], "--format", "litert").exit_code == 0
    assert names(here) == ["tiny-cnn-int8.tflite", "tiny-cnn-int8.tflite.json"]


def test_flags_reach_the_file(runs, here):
    flags = ["--format", "onnx", "--precision", "float16", "--imgsz", "96", "--batch", "dynamic", "--input", "float32"]
    done = run("--run", runs["detection"], *flags)
    assert done.exit_code == 0, done.output
    (file, _) = names(here)
    assert file == "tiny-detector-float16-96-float-input-any-batch.onnx"
    spec = load_model(file).manifest.input
    assert (spec.width, spec.batch, spec.dtype) == (96, 0, "float32")


@pytest.mark.slow
def test_a_recipe_is_made_again_from_the_file_beside(runs, here):
    assert run("--run", runs["multilabel"], "--format", "tflite", "--precision", "float16").exit_code == 0
    first = (here / "tiny-cnn-float16.tflite").read_bytes()
    done = run("--run", runs["multilabel"], "--recipe", "tiny-cnn-float16.tflite.json", "--out", "again.tflite")
    assert done.exit_code == 0, done.output
    assert (here / "again.tflite").read_bytes() == first
    (here / "other.json").write_text("{}")
    flags = ("--precision", "int8", "--nms", "--batch", "2")
    assert_refused(
        run("--recipe", "again.tflite.json", *flags), 2, "--recipe sets everything; leave --precision and --nms"
    )
    assert_refused(run("--recipe", "other.json"), 1, "other.json: not the .json file next to an exported model")


def test_a_drop_in_accuracy_ends_with_3(runs, here, monkeypatch):
    (here / "set" / "valid").mkdir(parents=True)
    answers = iter([0.5, 0.4])
    monkeypatch.setattr(LabelledSet, "thresholds", lambda *_: (0.5,) * 4)
    monkeypatch.setattr(LabelledSet, "metrics", lambda *_: {"photographs": 3, "macro_f1": next(answers)})
    done = run("--run", runs["multilabel"], "--format", "tflite", "--data", "set")
    assert done.exit_code == 3
    refusal = "Error: tiny-cnn-int8.tflite: not written: macro_f1 drops from 0.500 to 0.400 at int8, "
    assert done.stderr.splitlines()[-1] == f"{refusal}more than --max-drop 0.01; --fallback tries w8a16, dynamic"
    assert names(here) == ["set"]


def test_inspect_tells_what_a_file_says_about_itself(exported):
    file = exported("detection", "tflite", "int8")
    done = run("inspect", file)
    assert done.exit_code == 0, done.output
    for part in ("tiny-detector", "int8", "comedones", "letterbox", "[1, 8, 8, 64]", "IoU 0.5", "snr_db", "recipe"):
        assert part in done.stdout, part
    assert json.loads(run("inspect", file, "--json").stdout) == json.loads(manifest_path(file).read_text())


def test_inspect_tells_how_a_detector_suppresses():
    told = run("inspect", str(Path(__file__).parents[2] / "models/acne-yolov8-lite0/acne-yolov8-lite0.onnx")).stdout
    suppression = "IoU 0.35, containment 0.8, box voting from a score of 0.1, at most 300 boxes"
    assert f"in the runtime: {suppression}" in told


def test_inspect_of_no_model_is_one_line(here):
    (here / "m.onnx").write_text("no model")
    assert_refused(run("inspect", "m.onnx"), 1, "m.onnx: ONNX Runtime cannot open this model")


def test_bench_prints_a_table_and_writes_json(exported, here):
    files = [exported("multilabel", "onnx"), exported("multilabel", "tflite", "int8")]
    done = run("bench", *files, "--threads", 1, "--threads", 2, "--runs", 3, "--json", "bench.json")
    assert done.exit_code == 0, done.output
    rows = json.loads((here / "bench.json").read_text())
    assert [(row["file"], row["backend"], row["threads"]) for row in rows] == [
        (file.name, backend, threads)
        for file, backend in zip(files, ("onnx", "litert"), strict=True)
        for threads in (1, 2)
    ]
    for row in rows:
        assert 0 < row["median_ms"] <= row["p95_ms"]
        assert row["load_ms"] > 0
        assert row["size_mb"] == pytest.approx((file_size(files, row["file"])) / 1e6, abs=0.01)
        assert 20 < row["peak_mb"] < 1000
    table = done.stdout.splitlines()
    assert table[0].split()[:3] == ["file", "backend", "precision"]
    assert len(table) == 5
    assert any(" 1.00 " in line for line in table[1:])


def file_size(files, name):
    return next(file.stat().st_size for file in files if file.name == name)


def test_without_a_run_folder_the_shipped_model_is_taken(runs, here, tmp_path, monkeypatch):
    shutil.copytree(runs["multilabel"], tmp_path / "models" / run_folder.DEFAULT_MODEL)
    monkeypatch.setattr(run_folder, "model_folders", lambda: [tmp_path / "models"])
    assert run("--format", "onnx").exit_code == 0
    assert names(here) == ["tiny-cnn.onnx", "tiny-cnn.onnx.json"]


def test_without_a_run_folder_and_a_shipped_model_one_is_asked_for(here, monkeypatch):
    monkeypatch.setattr(run_folder, "model_folders", list)
    assert_refused(run("--format", "onnx"), 1, "choose a run folder with --run")


def test_without_tensorflow_the_pip_command_is_shown(runs, monkeypatch):
    monkeypatch.delitem(sys.modules, "acne_export.exporting", raising=False)
    monkeypatch.setitem(sys.modules, "tensorflow", None)
    done = run("--run", runs["multilabel"], "--format", "onnx")
    assert_refused(done, 1, "tensorflow is not installed; in a checkout run: pip install --editable '.[export]'")


@pytest.mark.slow
def test_no_library_writes_a_traceback_or_a_warning_between(runs, here):
    done = subprocess.run(
        [sys.executable, "-m", "acne_export.cli", "--run", str(runs["multilabel"]), "--format", "onnx"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert [line.split()[0] for line in done.stderr.splitlines()] == ["running", "converting", "wrote"]
    assert "Traceback" not in done.stderr


def test_the_version_and_the_help_need_no_run_folder():
    assert run("--version").stdout == f"acne-export, version {__version__}\n"
    assert "calibration.json" in run("--help").stdout
