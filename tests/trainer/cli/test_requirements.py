import subprocess
import sys

import pytest
from click.testing import CliRunner

from acne_trainer.cli.main import main
from acne_trainer.cli.requirements import _MODULES

ALONE = f"""
import sys
for module in {_MODULES}: sys.modules[module] = None
from acne_trainer.cli.main import main
main(sys.argv[1:])
"""


@pytest.mark.parametrize("arguments", [["--help"], ["fit", "--help"], ["data", "convert", "--help"], ["--version"]])
def test_help_needs_no_training_package(arguments):
    done = subprocess.run([sys.executable, "-c", ALONE, *arguments], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize(
    "arguments",
    [
        ["fit", "cnn", "--data", "HERE", "--run", "HERE/run"],
        ["evaluate", "--model", "acne-cnn", "--data", "HERE"],
        ["report", "HERE"],
        ["compare", "HERE"],
        ["data", "inspect", "HERE"],
        ["data", "split", "HERE", "--out", "HERE/splits"],
        ["data", "convert", "HERE", "HERE/new", "--to", "yolo"],
    ],
    ids=lambda value: " ".join(value[:2]),
)
@pytest.mark.parametrize("module", ["yaml", "tensorflow"])
def test_a_missing_package_is_told_in_a_line_and_nothing_is_begun(tmp_path, monkeypatch, module, arguments):
    monkeypatch.setitem(sys.modules, module, None)
    done = CliRunner().invoke(main, [argument.replace("HERE", str(tmp_path)) for argument in arguments])
    assert (done.exit_code, type(done.exception)) == (1, SystemExit)
    assert done.stderr == (f"Error: {module} is not installed; in a checkout run: pip install --editable '.[train]'\n")
    assert not list(tmp_path.iterdir())
