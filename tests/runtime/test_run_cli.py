import json
import shutil
import subprocess
import sys

import cv2
import numpy as np
import pytest
from click.testing import CliRunner
from pictures import picture, write_picture

from acne_runtime import __version__, cli
from acne_runtime.cli import main
from acne_runtime.result import NO_DIAGNOSIS


@pytest.fixture(scope="module")
def model(exported):
    return str(exported("detection", "onnx"))


@pytest.fixture
def photo(tmp_path):
    return write_picture(tmp_path / "face.png", 90, 120, seed=5)


@pytest.fixture
def folder(tmp_path):
    """Two good photographs around a bad one."""
    made = tmp_path / "photos"
    made.mkdir()
    write_picture(made / "a.png", 90, 120, seed=5)
    (made / "b.jpg").write_bytes(b"no picture")
    write_picture(made / "c.jpg", 60, 50, seed=6)
    return made


@pytest.fixture
def clip(tmp_path):
    file = tmp_path / "clip.mp4"
    writer = cv2.VideoWriter(str(file), cv2.VideoWriter.fourcc(*"mp4v"), 10.0, (64, 48))
    for seed in range(5):
        writer.write(picture(48, 64, seed))
    writer.release()
    return file


def run(*arguments):
    return CliRunner().invoke(main, [str(one) for one in arguments])


def json_lines(text):
    return [json.loads(line) for line in text.splitlines()]


@pytest.mark.parametrize(
    ("task", "form", "precision"),
    [
        ("detection", "onnx", "float32"),
        ("detection", "tflite", "int8"),
        ("multilabel", "onnx", "float32"),
        ("multilabel", "tflite", "int8"),
    ],
)
def test_a_photograph_gives_one_line_for_people(exported, photo, task, form, precision):
    done = run("--source", photo, "--model", exported(task, form, precision))
    assert done.exit_code == 0
    line, disclaimer = done.stdout.splitlines()
    assert line.startswith(f"{photo}: ")
    assert line.endswith(" ms)")
    assert disclaimer == NO_DIAGNOSIS
    assert done.stderr == ""


def test_json_on_standard_output_is_all_that_stands_there(folder, model):
    (folder / "b.jpg").unlink()
    done = run("--source", folder, "--model", model, "--json", "-")
    assert done.exit_code == 0
    answers = json_lines(done.stdout)
    assert [one["source"] for one in answers] == [str(folder / "a.png"), str(folder / "c.jpg")]
    assert [(one["width"], one["height"]) for one in answers] == [(120, 90), (50, 60)]
    assert all(one["schema"] == 1 and one["model"] == "tiny-detector" for one in answers)
    assert answers[0]["lesions"]
    assert NO_DIAGNOSIS in done.stderr


def test_no_library_writes_to_standard_output_either(photo, model):
    done = subprocess.run(
        [sys.executable, "-m", "acne_runtime.cli", "--source", str(photo), "--model", model, "--json", "-"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert len(json_lines(done.stdout)) == 1


def test_quiet_with_json_says_nothing_for_people(photo, model, tmp_path):
    done = run("--source", photo, "--model", model, "--json", tmp_path / "out.jsonl", "--quiet")
    assert (done.exit_code, done.stdout, done.stderr) == (0, "", "")
    assert len(json_lines((tmp_path / "out.jsonl").read_text())) == 1


def test_a_folder_with_a_bad_one_is_processed_and_ends_with_1(folder, model):
    done = run("--source", folder, "--model", model, "--json", "-", "--quiet")
    assert done.exit_code == 1
    assert [one["source"] for one in json_lines(done.stdout)] == [str(folder / "a.png"), str(folder / "c.jpg")]
    first, last = done.stderr.splitlines()
    assert first.startswith(f"Error: {folder / 'b.jpg'}: ")
    assert last == "Error: 1 photograph(s) could not be read; the rest was processed"


def test_a_video_gives_a_line_a_frame(clip, model):
    done = run("--source", clip, "--model", model, "--json", "-", "--quiet")
    assert done.exit_code == 0
    answers = json_lines(done.stdout)
    assert [one["frame"] for one in answers] == list(range(5))
    assert [one["time_s"] for one in answers] == pytest.approx([n / 10 for n in range(5)])


def test_saving_writes_annotated_pictures_of_all_that_could_be_read(folder, model, tmp_path):
    done = run("--source", folder, "--model", model, "--save", tmp_path / "out")
    assert done.exit_code == 1
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["a.png", "c.jpg"]
    saved = cv2.imread(str(tmp_path / "out" / "a.png"))
    assert saved.shape == (90, 120, 3)
    assert (saved != cv2.imread(str(folder / "a.png"))).any()


def test_saving_a_video_writes_one_that_plays(clip, model, tmp_path):
    done = run("--source", clip, "--model", model, "--save", tmp_path / "out", "--quiet")
    assert done.exit_code == 0
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["clip.mp4"]
    capture = cv2.VideoCapture(str(tmp_path / "out" / "clip.mp4"))
    assert capture.get(cv2.CAP_PROP_FRAME_COUNT) == 5
    assert capture.get(cv2.CAP_PROP_FPS) == pytest.approx(10)
    capture.release()


def test_saving_into_the_sources_own_folder_is_refused(photo, model):
    before = photo.read_bytes()
    done = run("--source", photo, "--model", model, "--save", photo.parent, "--quiet")
    assert done.exit_code == 1
    assert "would overwrite" in done.stderr
    assert photo.read_bytes() == before


@pytest.mark.parametrize(("threshold", "more"), [("0.001", True), ("1", False)])
def test_the_score_threshold_decides_how_many_are_found(photo, model, threshold, more):
    def found(*options):
        return len(json_lines(run("--source", photo, "--model", model, "--json", "-", *options).stdout)[0]["lesions"])

    own, given = found(), found("--score-threshold", threshold)
    assert given > own > 0 if more else given == 0


def test_both_backends_give_the_same_answer(exported, photo):
    answers = [
        json_lines(run("--source", photo, "--model", exported("detection", form), "--json", "-").stdout)[0]
        for form in ("onnx", "tflite")
    ]
    assert answers[0]["counts"] == answers[1]["counts"]
    for one, other in zip(answers[0]["lesions"], answers[1]["lesions"], strict=True):
        assert one["class"] == other["class"]
        assert one["score"] == pytest.approx(other["score"], abs=1e-3)
        assert one["box"] == pytest.approx(other["box"], abs=0.5)


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        ([], "--source PATH and --camera N"),
        (["--source", "a.jpg", "--camera", "0"], "--source PATH and --camera N"),
        (["--camera", "-1"], "--camera"),
        (["--camera", "front"], "--camera"),
        (["--source", "a.jpg", "--score-threshold", "1.5"], "--score-threshold"),
        (["--source", "a.jpg", "--threads", "-1"], "--threads"),
        (["--source", "a.jpg", "--backend", "torch"], "--backend"),
        (["--source", "a.jpg", "--device", "tpu"], "--device"),
        (["--source", "a.jpg", "--sauce"], "--sauce"),
        (["a.jpg"], "a.jpg"),
    ],
    ids=lambda value: " ".join(value) or "nothing" if isinstance(value, list) else "",
)
def test_wrong_usage_ends_with_2_and_names_the_option(options, problem):
    done = run(*options)
    assert done.exit_code == 2
    assert problem in done.stderr
    assert done.stdout == ""


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        (["--source", "missing.jpg"], "missing.jpg: no such photograph, folder or video"),
        (["--source", "missing.mp4"], "missing.mp4: no such photograph, folder or video"),
        (["--source", "text.jpg"], "text.jpg: not a photograph"),
        (["--source", "text.mp4"], "text.mp4: not a video"),
        (["--source", "empty"], "empty: no photograph in this folder"),
        (["--source", "face.png", "--model", "missing.onnx"], "missing.onnx: no such model file"),
        (["--source", "face.png", "--model", "unknown"], "--model unknown: "),
        (["--source", "face.png", "--model", "text.onnx"], "text.onnx: "),
        (["--source", "face.png", "--model", "text.tflite"], "text.tflite: "),
        (["--source", "face.png", "--backend", "litert"], "--backend litert does not run"),
        (["--source", "face.png", "--device", "cuda"], "--device cuda: "),
        (["--source", "face.png", "--show"], "--show: "),
        (["--source", "face.png", "--json", "empty"], "empty: "),
        (["--source", "face.png", "--json", "text.jpg/out.jsonl"], "text.jpg: "),
        (["--source", "face.png", "--save", "text.jpg/out"], "text.jpg"),
        (["--camera", "97"], "--camera 97: no camera opens there"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_a_failure_ends_with_1_and_one_line(monkeypatch, tmp_path, photo, model, arguments, problem):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("DISPLAY", raising=False)
    monkeypatch.delenv("WAYLAND_DISPLAY", raising=False)
    for name in ("text.jpg", "text.mp4", "text.onnx", "text.tflite"):
        (tmp_path / name).write_text("text")
    (tmp_path / "empty").mkdir()
    done = run("--model", model, *arguments, "--quiet")
    assert done.exit_code == 1
    assert isinstance(done.exception, SystemExit)
    (line,) = done.stderr.splitlines()
    assert line.startswith("Error: ")
    assert problem in line
    assert done.stdout == ""


def test_a_photograph_of_a_kind_that_cannot_be_saved_ends_in_one_line_too(photo, model, tmp_path):
    source = shutil.copy(photo, tmp_path / "face.jfif")
    done = run("--source", source, "--model", model, "--save", tmp_path / "out", "--quiet")
    assert (done.exit_code, type(done.exception)) == (1, SystemExit)
    assert len(done.stderr.splitlines()) == 1


def test_no_traceback_reaches_a_person(tmp_path, model):
    done = subprocess.run(
        [sys.executable, "-m", "acne_runtime.cli", "--source", str(tmp_path / "missing.jpg"), "--model", model],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert done.stderr == f"Error: {tmp_path / 'missing.jpg'}: no such photograph, folder or video\n"


class Camera:
    """Gives frames until Ctrl-C."""

    def __init__(self, count):
        self.count = count

    def __call__(self, number):
        for index in range(self.count):
            yield cli.Frame(np.zeros((48, 64, 3), np.uint8), f"camera:{number}", index, index / 10)
        raise KeyboardInterrupt


def test_ctrl_c_stops_a_camera_in_good_order(monkeypatch, model, tmp_path):
    monkeypatch.setattr(cli, "camera", Camera(4))
    done = run("--camera", 2, "--model", model, "--json", "-", "--save", tmp_path, "--quiet")
    assert done.exit_code == 0
    assert [one["source"] for one in json_lines(done.stdout)] == ["camera:2"] * 4
    assert [path.name for path in tmp_path.iterdir()] == ["camera-2.mp4"]


def test_the_version_and_the_help_need_no_model():
    assert run("--version").stdout == f"acne-run, version {__version__}\n"
    assert "no diagnosis" in run("--help").stdout
