"""Every example runs as its first lines say."""

import json
import subprocess
import sys
from pathlib import Path

import cv2
import pytest

EXAMPLES = Path(__file__).parents[2] / "examples"
SAMPLE = EXAMPLES.parent / "samples" / "rendered_skin.jpg"


def run(script, *arguments):
    command = [sys.executable, EXAMPLES / script, *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_lesions_of_a_photograph_are_printed_and_drawn(tmp_path):
    pytest.importorskip("onnxruntime")
    lines = run("detect_image.py", SAMPLE, tmp_path / "out.jpg").splitlines()
    assert len(lines) > 10
    assert lines[0].split()[0] in {"comedones", "nodules", "papules", "pustules"}
    assert lines[-1].startswith("{'comedones': ")
    assert (cv2.imread(str(tmp_path / "out.jpg")) != cv2.imread(str(SAMPLE))).any()


def test_a_video_is_processed_to_its_end_like_a_camera(tmp_path):
    pytest.importorskip("onnxruntime")
    image = cv2.imread(str(SAMPLE))
    writer = cv2.VideoWriter(str(tmp_path / "v.avi"), cv2.VideoWriter.fourcc(*"MJPG"), 5, image.shape[1::-1])
    for _ in range(3):
        writer.write(image)
    writer.release()
    lines = run("webcam.py", tmp_path / "v.avi", "--no-window").splitlines()
    assert len(lines) == 3
    assert all(int(line.split()[0]) > 10 for line in lines)


@pytest.mark.slow
def test_a_run_is_exported_and_verified(tmp_path, runs):
    lines = run("export_and_verify.py", runs["detection"], tmp_path / "m.tflite").splitlines()
    (file,) = tmp_path.glob("*.tflite")
    assert lines[0].startswith(str(file))
    assert "comedones" in lines[-1]


@pytest.mark.slow
def test_the_notebook_repeats_both_experiments_on_a_labelled_folder(tmp_path, monkeypatch, capsys):
    pytest.importorskip("keras_cv")
    from support.run_folders import write_data

    monkeypatch.setenv("ACNE_DATA", str(write_data(tmp_path / "data")))
    monkeypatch.setenv("ACNE_RUNS", str(tmp_path / "runs"))
    monkeypatch.setenv("ACNE_QUICK", "1")
    notebook = json.loads((EXAMPLES / "paper_experiments.ipynb").read_text())
    names = {}
    for cell in notebook["cells"]:
        if cell["cell_type"] == "code":
            exec("".join(cell["source"]), names)
    printed = capsys.readouterr().out
    assert "Multi-label classification" in printed
    assert "Object detection" in printed
    assert (tmp_path / "runs" / "first-test-photograph.jpg").is_file()
