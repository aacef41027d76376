import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import cv2
import numpy as np
import pytest
from click.testing import CliRunner
from support.images import picture, write_picture

from acne_runtime import __version__, load
from acne_runtime.cli.run import main
from acne_runtime.severity import NO_DIAGNOSIS
from acne_runtime.sinks.line_file import LineFile
from acne_runtime.sources.video_file import Video


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


def write_clip(file, frames):
    writer = cv2.VideoWriter(str(file), cv2.VideoWriter.fourcc(*"mp4v"), 10.0, (64, 48))
    for index in range(frames):
        writer.write(picture(48, 64, index % 5))
    writer.release()
    return file


@pytest.fixture
def clip(tmp_path):
    return write_clip(tmp_path / "clip.mp4", 5)


def run(*arguments):
    return CliRunner().invoke(main, [str(argument) for argument in arguments])


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
    assert [line["source"] for line in answers] == [str(folder / "a.png"), str(folder / "c.jpg")]
    assert [(line["width"], line["height"]) for line in answers] == [(120, 90), (50, 60)]
    assert all(line["schema"] == 2 and line["model"] == "tiny-detector" for line in answers)
    assert answers[0]["lesions"]
    assert NO_DIAGNOSIS in done.stderr


def test_no_library_writes_to_standard_output_either(photo, model):
    done = subprocess.run(
        [sys.executable, "-m", "acne_runtime.cli.run", "--source", str(photo), "--model", model, "--json", "-"],
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
    assert [line["source"] for line in json_lines(done.stdout)] == [str(folder / "a.png"), str(folder / "c.jpg")]
    first, last = done.stderr.splitlines()
    assert first.startswith(f"Error: {folder / 'b.jpg'}: ")
    assert last == "Error: 1 image(s) could not be read; the others were processed"


def test_a_video_gives_a_line_a_frame(clip, model):
    done = run("--source", clip, "--model", model, "--json", "-", "--quiet")
    assert done.exit_code == 0
    answers = json_lines(done.stdout)
    assert [line["frame"] for line in answers] == list(range(5))
    assert [line["time_s"] for line in answers] == pytest.approx([n / 10 for n in range(5)])


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
        ([], "give one of --source, --camera and --region"),
        (["--source", "a.jpg", "--camera", "0"], "give one of --source, --camera and --region"),
        (["--camera", "-1"], "--camera"),
        (["--camera", "front"], "--camera"),
        (["--source", "a.jpg", "--score-threshold", "1.5"], "--score-threshold"),
        (["--source", "a.jpg", "--threads", "-1"], "--threads"),
        (["--source", "a.jpg", "--backend", "torch"], "--backend"),
        (["--source", "a.jpg", "--tile-overlap", "-1"], "--tile-overlap"),
        (["--source", "a.jpg", "--max-fps", "-1"], "--max-fps"),
        (["--source", "a.jpg", "--max-megapixels", "0"], "--max-megapixels"),
        (["--source", "a.jpg", "--max-megapixels", "nan"], "--max-megapixels nan: not a finite number above 0"),
        (["--source", "a.jpg", "--max-megapixels", "inf"], "--max-megapixels inf: not a finite number above 0"),
        (["--source", "a.jpg", "--json", ""], "--json: empty file name"),
        (["--source", "a.jpg", "--csv", "-"], "--csv -: only --json writes to standard output"),
        (["--source", "a.jpg", "--coco", "-"], "--coco -: only --json writes to standard output"),
        (["--source", "a.jpg", "--tile-overlap", "9"], "--tile-overlap needs --tile"),
        (["--source", "samples", "--max-fps", "5"], "--max-fps needs a camera or a stream"),
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
        (["--source", "missing.jpg"], "missing.jpg: no such image, folder, video or stream"),
        (["--source", "missing.mp4"], "missing.mp4: no such image, folder, video or stream"),
        (["--source", ""], "--source is empty"),
        (["--source", "text.jpg"], "text.jpg: not an image"),
        (["--source", "text.mp4"], "text.mp4: not a video"),
        (["--source", "empty"], "empty: no image in this folder"),
        (["--source", "face.png", "--model", "missing.onnx"], "missing.onnx: no such model file"),
        (["--source", "face.png", "--model", "unknown"], "--model unknown: "),
        (["--source", "face.png", "--model", "text.onnx"], "text.onnx: "),
        (["--source", "face.png", "--model", "text.tflite"], "text.tflite: "),
        (["--source", "face.png", "--backend", "litert"], "--backend litert cannot run"),
        (["--source", "face.png", "--device", "cuda"], "--device cuda: "),
        (["--source", "face.png", "--device", "tpu"], "--device tpu: the installed ONNX Runtime has "),
        (["--source", "face.png", "--delegate", "text.so"], "--delegate needs LiteRT"),
        (["--source", "face.png", "--threads", "100000"], "--threads 100000: not an integer within 0 to 256"),
        (["--source", "face.png", "--score-threshold", "nan"], "--score-threshold nan: not within 0 to 1"),
        (["--source", "face.png", "--tile", "--tile-overlap", "64"], "--tile-overlap 64: not within 0 to 63"),
        (["--source", "face.png", "--max-megapixels", "0.01"], "face.png: 120 x 90 pixels exceed the limit of"),
        (["--source", "*.webp"], "*.webp: no image matches this pattern"),
        (["--source", "face.png", "--show"], "no display to show a window on"),
        (["--source", "face.png", "--json", "empty"], "empty: "),
        (["--source", "face.png", "--json", "text.jpg/out.jsonl"], "text.jpg: "),
        (["--source", "face.png", "--save", "text.jpg/out"], "text.jpg"),
        (["--camera", "97"], "camera:97: cannot be opened"),
        (["--camera", "97", "--max-fps", "nan"], "--max-fps nan: neither 0 nor within 0.001 to 1000"),
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


@pytest.mark.parametrize("option", ["--json", "--csv", "--coco"])
@pytest.mark.parametrize("victim", ["face.png", "link.png", "tiny.onnx"])
def test_an_output_never_overwrites_what_is_read(photo, model, tmp_path, option, victim):
    own = Path(shutil.copy(model, tmp_path / "tiny.onnx"))
    (tmp_path / "link.png").symlink_to(photo)
    before = photo.read_bytes(), own.read_bytes()
    done = run("--source", photo, "--model", own, option, tmp_path / victim, "--quiet")
    assert done.exit_code == 1
    assert done.stderr == (f"Error: {tmp_path / victim}: would overwrite an input of this run; choose another path\n")
    assert (photo.read_bytes(), own.read_bytes()) == before


def test_a_shipped_model_is_not_overwritten_either(photo, model, tmp_path, monkeypatch):
    own = tmp_path / "models" / "tiny" / "tiny.onnx"
    own.parent.mkdir(parents=True)
    shutil.copy(model, own)
    (own.parent / "manifest.json").write_text("{}")
    monkeypatch.setattr(load, "model_folders", lambda: [tmp_path / "models"])
    done = run("--source", photo, "--model", "tiny", "--json", own)
    assert (done.exit_code, done.stderr.count("\n")) == (1, 1)
    assert "would overwrite an input of this run" in done.stderr
    assert own.read_bytes() == Path(model).read_bytes()


@pytest.mark.skipif(sys.platform == "win32", reason="Unix's standard input")
def test_what_standard_input_is_taken_from_is_not_overwritten(photo, model):
    before = photo.read_bytes()
    command = [sys.executable, "-m", "acne_runtime.cli.run", "--source", "-", "--model", model, "--json", str(photo)]
    with photo.open("rb") as stream:
        done = subprocess.run(command, stdin=stream, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "would overwrite an input of this run" in done.stderr
    assert photo.read_bytes() == before


@pytest.mark.skipif(not Path("/dev/null").exists(), reason="this system has no /dev/null")
def test_a_device_stays_one_and_takes_several_outputs(photo, model):
    other_run = LineFile(Path("/dev/null"))
    assert run("--source", photo, "--model", model, "--json", "/dev/null", "--quiet").exit_code == 0
    other_run.close()
    assert run("--source", photo, "--model", model, "--coco", "/dev/null", "--quiet").exit_code == 0
    assert Path("/dev/null").is_char_device()


def test_one_file_for_two_outputs_is_refused(photo, model, tmp_path):
    done = run("--source", photo, "--model", model, "--json", tmp_path / "out", "--coco", tmp_path / "." / "out")
    assert done.exit_code == 2
    assert f"--json and --coco name the same file, {tmp_path / 'out'}" in done.stderr
    assert not (tmp_path / "out").exists()


@pytest.mark.skipif(sys.platform in ("win32", "darwin"), reason="file names are text here")
def test_a_name_that_is_no_text_ends_nothing(photo, model, tmp_path):
    strange = tmp_path / os.fsdecode(b"f\xe4ce\n.png")
    photo.rename(strange)
    done = subprocess.run(
        [
            sys.executable,
            "-m",
            "acne_runtime.cli.run",
            "--source",
            tmp_path,
            "--model",
            model,
            "--csv",
            tmp_path / "o.csv",
        ],
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.splitlines()[0].startswith(f"{tmp_path}/f?ce?.png: ")
    assert done.stderr == ""


def test_no_traceback_reaches_a_person(tmp_path, model):
    done = subprocess.run(
        [sys.executable, "-m", "acne_runtime.cli.run", "--source", str(tmp_path / "missing.jpg"), "--model", model],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert done.stderr == f"Error: {tmp_path / 'missing.jpg'}: no such image, folder, video or stream\n"


class Camera:
    """Takes the place of `cv2.VideoCapture`: gives frames at a pace, then is interrupted as by Ctrl-C."""

    def __init__(self, count):
        self.count = count

    def __call__(self, where):
        return self

    def isOpened(self):  # noqa: N802  (OpenCV's name)
        return True

    def set(self, *_):
        return True

    def get(self, _):
        return 0.0

    def read(self):
        if self.count == 0:
            os.kill(os.getpid(), signal.SIGINT)
            time.sleep(0.1)
            return False, None
        self.count -= 1
        time.sleep(0.1)
        return True, picture(48, 64, self.count)

    def release(self):
        pass


def test_ctrl_c_stops_a_camera_in_good_order(ctrl_c, monkeypatch, model, tmp_path):
    monkeypatch.setattr(cv2, "VideoCapture", Camera(4))
    done = run("--camera", 2, "--model", model, "--json", "-", "--save", tmp_path, "--quiet")
    monkeypatch.undo()
    assert done.exit_code == 0
    answers = json_lines(done.stdout)
    assert {line["source"] for line in answers} == {"camera:2"}
    assert [line["frame"] for line in answers] == sorted({line["frame"] for line in answers})
    (recorded,) = tmp_path.iterdir()
    assert re.fullmatch(rf"camera-2-\d{{8}}-\d{{6}}-{os.getpid()}\.mp4", recorded.name)
    assert list(Video(recorded))


def test_a_detector_and_a_classifier_run_together(exported, photo, model, tmp_path):
    files = {name: tmp_path / name for name in ("out.jsonl", "out.csv", "out.json")}
    both = ["--model", model, "--model", exported("multilabel", "onnx")]
    sinks = ["--json", files["out.jsonl"], "--csv", files["out.csv"], "--coco", files["out.json"]]
    done = run("--source", photo, *both, *sinks, "--save", tmp_path / "out")
    assert done.exit_code == 0
    lines = json_lines(files["out.jsonl"].read_text())
    assert [line["model"] for line in lines] == ["tiny-detector", "tiny-cnn"]
    assert lines[0]["lesions"]
    assert len(lines[1]["labels"]) == 4
    assert len(files["out.csv"].read_text().splitlines()) == 1 + len(lines[0]["lesions"]) + 4
    assert len(json.loads(files["out.json"].read_text())["annotations"]) == len(lines[0]["lesions"])
    assert (tmp_path / "out" / "face.png").is_file()
    assert [line.split(": ")[0] for line in done.stdout.splitlines()[:2]] == [
        f"{photo} (tiny-detector)",
        f"{photo} (tiny-cnn)",
    ]


def test_a_pattern_is_a_source_and_standard_input_too(photo, model):
    pattern = run("--source", photo.parent / "f*.png", "--model", model, "--json", "-", "--quiet")
    piped = CliRunner().invoke(
        main, ["--source", "-", "--model", model, "--json", "-", "--quiet"], input=photo.read_bytes()
    )
    assert (pattern.exit_code, piped.exit_code) == (0, 0)
    (from_file,), (from_input,) = json_lines(pattern.stdout), json_lines(piped.stdout)
    assert from_input["source"] == "stdin"
    assert from_input["lesions"] == from_file["lesions"] != []


def test_tiles_find_more_on_a_large_photograph(model, tmp_path):
    file = write_picture(tmp_path / "large.png", 200, 240, seed=5)
    whole, tiled = (
        json_lines(run("--source", file, "--model", model, "--json", "-", "--quiet", *options).stdout)[0]
        for options in ([], ["--tile", "--tile-overlap", "16"])
    )
    assert len(tiled["lesions"]) > len(whole["lesions"])
    assert (tiled["width"], tiled["height"]) == (240, 200)


def test_severity_is_in_every_kind_of_answer(photo, model):
    done = run("--source", photo, "--model", model, "--severity", "--json", "-")
    (answer,) = json_lines(done.stdout)
    inflamed = answer["counts"]["papules"] + answer["counts"]["pustules"]
    assert answer["severity"]["lesions"] == inflamed
    assert "Not a medical diagnosis" in answer["severity"]["note"]
    assert f"severity {answer['severity']['grade']} (about {inflamed} papules and pustules" in done.stderr


@pytest.fixture
def regions(tmp_path):
    """`--region` of a forehead, and of a chin twice."""
    names = {"forehead": "f.png", "chin": "c.png", "chin ": "d.png"}
    files = [write_picture(tmp_path / file, 90, 120, seed=seed) for seed, file in enumerate(names.values())]
    return [part for name, file in zip(names, files, strict=True) for part in ("--region", f"{name.strip()}={file}")]


def test_regions_of_a_face_give_one_grade(regions, model):
    done = run(*regions, "--model", model, "--severity", "--json", "-")
    assert done.exit_code == 0
    *photographs, face = json_lines(done.stdout)
    counted = [answer["counts"]["papules"] + answer["counts"]["pustules"] for answer in photographs]
    assert sum(counted) > 0
    assert [answer["region"] for answer in photographs] == ["forehead", "chin", "chin"]
    assert not any("severity" in answer for answer in photographs)
    assert face["regions"] == {
        "forehead": {"photographs": 1, "counted": counted[0]},
        "chin": {"photographs": 2, "counted": (counted[1] + counted[2]) / 2},
    }
    assert face["severity"]["lesions"] == round(counted[0] + (counted[1] + counted[2]) / 2)
    assert face["face"] == "half"
    first, *_, grade, disclaimer = done.stderr.splitlines()
    assert first.startswith(f"forehead, {regions[1].partition('=')[2]}: ")
    assert grade.startswith(f"half of the face (forehead, chin): severity {face['severity']['grade']} (about ")
    assert disclaimer == NO_DIAGNOSIS


def test_a_face_with_a_region_that_cannot_be_read_has_no_grade(regions, model, tmp_path):
    (tmp_path / "c.png").write_bytes(b"no picture")
    done = run(*regions, "--model", model, "--severity", "--json", "-")
    assert done.exit_code == 1
    assert [answer.get("region") for answer in json_lines(done.stdout)] == ["forehead"]
    assert f"Error: {tmp_path / 'c.png'}: " in done.stderr
    assert "severity" not in done.stderr


def test_a_face_with_a_region_that_cannot_be_used_has_no_grade(regions, model, tmp_path):
    cv2.imwrite(str(tmp_path / "d.png"), np.zeros((90, 120, 3), np.uint8))
    done = run(*regions, "--model", model, "--severity", "--quality", "reject")
    assert done.exit_code == 1
    assert "cannot be used" in done.stderr
    assert "severity" not in done.stdout


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        (["chin=a.png"], "--region needs --severity"),
        (["--severity", "cheek=a.png"], "'cheek=a.png' is not NAME=FILE with one of forehead, left-cheek"),
        (["--severity", "chin"], "'chin' is not NAME=FILE"),
        (["--severity", "chin=a.png", "chin=./a.png"], "--region: a.png is given twice"),
        (["--severity", "chin=a.png", "--source", "b.png"], "give one of --source, --camera and --region"),
        (["--severity", "chin=a.png", "--tile"], "--severity was validated on full images only"),
        (["--severity", "chin=a.png", "--track"], "--track needs a video"),
        (["--severity", "chin=a.png", "--model", "a.onnx", "--model", "b.onnx"], "--region takes one --model"),
    ],
)
def test_wrong_use_of_regions_is_refused(options, problem):
    spelled = [part for one in options for part in (["--region", one] if one.startswith("ch") else [one])]
    done = run(*spelled)
    assert done.exit_code == 2
    assert problem in done.stderr


@pytest.mark.parametrize(
    ("option", "problem"),
    [("--tile", "--tile: none of the models is a detector"), ("--severity", "--severity: none of the models detects")],
)
def test_what_needs_a_detector_is_refused_without_one(exported, photo, option, problem):
    done = run("--source", photo, "--model", exported("multilabel", "onnx"), option)
    assert done.exit_code == 2
    assert problem in done.stderr


def test_severity_is_not_counted_on_tiles(photo, model):
    done = run("--source", photo, "--model", model, "--severity", "--tile")
    assert done.exit_code == 2
    assert "--severity was validated on full images only" in done.stderr


def test_auto_says_what_it_runs_on(photo, model):
    done = run("--source", photo, "--model", model, "--device", "auto")
    assert done.stderr == "tiny-detector runs on cpu\n"


def test_a_video_that_ends_mid_frame_keeps_what_was_found(model, tmp_path):
    whole, half = tmp_path / "whole.avi", tmp_path / "half.avi"
    writer = cv2.VideoWriter(str(whole), cv2.VideoWriter.fourcc(*"MJPG"), 10.0, (64, 48))
    for seed in range(20):
        writer.write(picture(48, 64, seed))
    writer.release()
    half.write_bytes(whole.read_bytes()[: whole.stat().st_size // 2])
    done = run("--source", half, "--model", model, "--json", "-", "--save", tmp_path / "out", "--quiet")
    assert done.exit_code == 1
    (line,) = done.stderr.splitlines()
    found = json_lines(done.stdout)
    missing = f"{whole.stat().st_size - half.stat().st_size:,} bytes are missing"
    assert line == f"Error: {half}: truncated after {found[-1]['time_s']:.1f} s: {missing}; copy it again"
    assert len(list(Video(tmp_path / "out" / "half.mp4"))) == len(found) > 5


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no /dev/full")
@pytest.mark.parametrize("option", ["--json", "--csv"])
def test_a_full_disk_ends_it_in_one_line(photo, model, option):
    done = run("--source", photo, "--model", model, option, "/dev/full", "--quiet")
    assert (done.exit_code, done.stderr) == (1, "Error: /dev/full: No space left on device\n")


@pytest.mark.skipif(sys.platform == "win32", reason="Unix's signals")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=["Ctrl-C", "SIGTERM"])
def test_a_signal_ends_a_long_video_and_keeps_what_was_done(ctrl_c, model, tmp_path, number):
    source, lines = tmp_path / "long.mp4", tmp_path / "out.jsonl"
    write_clip(source, 4000)
    arguments = ["--source", source, "--model", model, "--json", lines, "--save", tmp_path / "out", "--quiet"]
    running = subprocess.Popen(
        [sys.executable, "-m", "acne_runtime.cli.run", *arguments], stderr=subprocess.PIPE, text=True
    )
    while running.poll() is None and not (lines.exists() and lines.read_text().count("\n") >= 20):
        time.sleep(0.05)
    running.send_signal(number)
    _, output = running.communicate(timeout=30)
    assert running.returncode == 1
    assert output.split() == ["Aborted!"]
    answers = json_lines(lines.read_text())
    assert [line["frame"] for line in answers] == list(range(len(answers)))
    assert 20 <= len(answers) < 4000
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["long.mp4"]
    assert abs(len(list(Video(tmp_path / "out" / "long.mp4"))) - len(answers)) <= 1


def test_the_version_and_the_help_need_no_model():
    assert run("--version").stdout == f"acne-run, version {__version__}\n"
    assert "Not a medical diagnosis" in run("--help").stdout


@pytest.fixture(scope="module")
def skin_clip(tmp_path_factory):
    """Eight frames of rendered skin, of which two are over-exposed."""
    file = tmp_path_factory.mktemp("clip") / "skin.mp4"
    skin = cv2.imread(str(Path(__file__).resolve().parents[3] / "samples" / "rendered_skin.jpg"))
    writer = cv2.VideoWriter(str(file), cv2.VideoWriter.fourcc(*"mp4v"), 10.0, skin.shape[1::-1])
    for index in range(8):
        writer.write(cv2.convertScaleAbs(skin, alpha=2.2) if index in (6, 7) else skin)
    writer.release()
    return file


def test_tracking_writes_ids_and_steady_counts(skin_clip, tmp_path):
    result = run(
        "--source", skin_clip, "--track", "--severity", "--json", tmp_path / "o.jsonl", "--csv", tmp_path / "o.csv"
    )
    assert result.exit_code == 0, result.output
    lines = [json.loads(line) for line in (tmp_path / "o.jsonl").read_text().splitlines()]
    assert sum(lines[0]["stable_counts"].values()) == 0 < sum(lines[4]["stable_counts"].values())
    assert lines[4]["severity"]["lesions"] > 0
    ids = {lesion["track"]["id"] for lesion in lines[4]["lesions"] if lesion["track"]["state"] == "confirmed"}
    assert len(ids) == sum(lines[4]["stable_counts"].values())
    assert any(line.endswith(",1") for line in (tmp_path / "o.csv").read_text().splitlines())


def test_quality_is_said_or_leaves_frames_out(skin_clip, tmp_path):
    warned = run("--source", skin_clip, "--quality", "warn", "--json", tmp_path / "w.jsonl", "--quiet")
    assert warned.exit_code == 0
    lines = [json.loads(line) for line in (tmp_path / "w.jsonl").read_text().splitlines()]
    assert [line["quality"]["usable"] for line in lines] == [True] * 6 + [False] * 2
    assert any("too much light" in hint for hint in lines[7]["quality"]["hints"]) and "motion" in lines[7]["quality"]
    rejected = run("--source", skin_clip, "--quality", "reject", "--json", tmp_path / "r.jsonl")
    assert rejected.exit_code == 0 and "2 frames left out: too blurred" in rejected.output
    assert len((tmp_path / "r.jsonl").read_text().splitlines()) == 6


def test_an_image_that_cannot_be_used_is_an_error(tmp_path):
    cv2.imwrite(str(tmp_path / "wall.png"), np.full((90, 120, 3), (140, 90, 60), np.uint8))
    result = run("--source", tmp_path / "wall.png", "--quality", "reject")
    assert result.exit_code == 1
    assert "wall.png: cannot be used: " in result.output and "could not be read or used" in result.output
    hinted = run("--source", tmp_path / "wall.png", "--quality", "warn")
    assert hinted.exit_code == 0 and "wall.png: come closer" in hinted.output


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        (("--track",), "--track needs a video, a camera or a stream"),
        (("--track", "--tile"), "--track follows lesions through full images; omit --tile"),
    ],
)
def test_tracking_needs_a_video_and_full_images(photo, arguments, problem):
    result = run("--source", photo, *arguments)
    assert result.exit_code == 2 and problem in result.output


def test_a_classifier_cannot_be_tracked(skin_clip):
    result = run("--source", skin_clip, "--track", "--model", "acne-cnn")
    assert result.exit_code == 2 and "--track: none of the models is a detector" in result.output


def test_what_a_folder_holds_besides_is_named_once_and_folders_are_looked_into_if_asked(model, tmp_path):
    write_picture(tmp_path / "a.png", 90, 120, seed=1)
    (tmp_path / "b.jfif").write_bytes(cv2.imencode(".jpg", picture(60, 50))[1].tobytes())
    for name in ("IMG_1.DNG", "IMG_2.dng", "clip.mp4", ".hidden", "labels.txt"):
        (tmp_path / name).write_bytes(b"x")
    (tmp_path / "left").mkdir()
    write_picture(tmp_path / "left" / "a.png", 90, 120, seed=2)
    flat = run("--source", tmp_path, "--model", model, "--json", "-", "--save", tmp_path / "out", "--quiet")
    assert flat.exit_code == 0
    assert flat.stderr == f"{tmp_path}: left out: 2 .dng, 1 .mp4, 1 folder\n"
    assert [Path(line["source"]).name for line in json_lines(flat.stdout)] == ["a.png", "b.jfif"]
    assert {file.name for file in (tmp_path / "out").iterdir()} == {"a.png", "b.jfif"}
    shutil.rmtree(tmp_path / "out")
    deep = run("--source", tmp_path, "--recursive", "--model", model, "--json", "-", "--quiet")
    assert deep.stderr == f"{tmp_path}: left out: 2 .dng, 1 .mp4\n"
    assert len(json_lines(deep.stdout)) == 3


def test_files_are_told_apart_by_what_is_in_them(model, tmp_path, clip):
    shutil.copy(clip, tmp_path / "clip.3gp")
    (tmp_path / "face.dat").write_bytes(cv2.imencode(".png", picture(60, 50))[1].tobytes())
    assert run("--source", tmp_path / "clip.3gp", "--model", model, "--quiet").exit_code == 0
    assert run("--source", tmp_path / "face.dat", "--model", model, "--quiet").exit_code == 0
    (tmp_path / "photo.bin").write_bytes(b"\0\0\0\x18ftypheic" + bytes(40))
    refused = run("--source", tmp_path / "photo.bin", "--model", model)
    assert refused.exit_code == 1 and "photo.bin: not an image" in refused.output
