"""The built wheel, installed away from the checkout, does what README promises of an installed package."""

import json
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SAMPLE = ROOT / "samples" / "rendered_skin.jpg"


@pytest.fixture(scope="module")
def installed(tmp_path_factory):
    """Runs a command of the installed wheel in an empty folder."""
    pytest.importorskip("hatchling")
    folder = tmp_path_factory.mktemp("wheel")
    subprocess.run([sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", folder], cwd=ROOT, check=True)
    (wheel,) = folder.glob("*.whl")
    install = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-index", "--target"]
    subprocess.run([*install, folder / "site", wheel], check=True)
    (folder / "empty").mkdir()
    environment = os.environ | {"PYTHONPATH": str(folder / "site")}

    def python(*arguments):
        command = [sys.executable, *map(str, arguments)]
        return subprocess.run(
            command, cwd=folder / "empty", env=environment, capture_output=True, text=True, check=False
        )

    where = python("-c", "import acne_runtime; print(acne_runtime.__file__)").stdout
    assert where.startswith(str(folder / "site"))  # and not the checkout
    return lambda module, *arguments: python("-m", module, *arguments)


def test_the_default_model_comes_with_it(installed):
    pytest.importorskip("onnxruntime")
    done = installed("acne_runtime.cli.run", "--source", SAMPLE, "--json", "-", "--save", "out", "--severity")
    assert done.returncode == 0, done.stderr
    assert len(json.loads(done.stdout)["lesions"]) > 10


def test_other_models_are_named_as_those_of_a_checkout(installed):
    done = installed("acne_runtime.cli.run", "--source", SAMPLE, "--model", "acne-cnn")
    assert (done.returncode, len(done.stderr.splitlines())) == (1, 1)
    assert "acne-cnn" in done.stderr


@pytest.mark.slow
def test_export_without_a_run_says_what_to_do(installed):
    pytest.importorskip("tensorflow")
    done = installed("acne_export.cli", "--format", "tflite")
    assert done.returncode == 1
    assert "--run" in done.stderr.splitlines()[-1]
    assert "checkout" in done.stderr.splitlines()[-1]


def test_the_templates_of_the_report_come_with_it(tmp_path):
    subprocess.run([sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", tmp_path], cwd=ROOT, check=True)
    with zipfile.ZipFile(next(tmp_path.glob("*.whl"))) as wheel:
        packed = {Path(name).name for name in wheel.namelist() if name.startswith("acne_trainer/reports/templates/")}
    assert packed == {file.name for file in (ROOT / "trainer/acne_trainer/reports/templates").iterdir()}


def test_the_commands_explain_themselves(installed):
    for module in ("acne_runtime.cli.run", "acne_export.cli", "acne_trainer.cli.main"):
        done = installed(module, "--help")
        assert done.returncode == 0, done.stderr
        assert "Usage:" in done.stdout
