"""A backbone from photographs to a run folder, through the command."""

import csv
import json

import pytest
from click.testing import CliRunner
from support.run_folders import write_data

pytest.importorskip("tensorflow")

import keras

from acne_trainer.cli.main import main


@pytest.mark.slow
def test_a_backbone_is_trained_and_fine_tuned_to_a_run_folder(tmp_path):
    data, run = write_data(tmp_path / "data"), tmp_path / "run"
    flags = "--weights none --input-size 64 --epochs 2 --batch-size 2 --fine-tune-epochs 1 --fine-tune-layers 3"
    done = CliRunner().invoke(main, ["fit", "resnet50", "--data", str(data), "--run", str(run), *flags.split()])
    assert done.exit_code == 0, done.output
    assert "computing the frozen features of 5 photographs, once" in done.output
    assert "fine-tuning the top 3 layers of resnet50" in done.output
    with (run / "history.csv").open() as stream:
        assert [float(row["epoch"]) for row in csv.DictReader(stream)] == [1, 2, 3]
    assert {"val_loss"} <= set((run / "history.csv").read_text().splitlines()[0].split(","))
    assert json.loads((run / "metrics.json").read_text())["test"]["images"] == 5
    inference = keras.models.load_model(run / "inference.keras")
    assert inference.input_shape == (1, 64, 64, 3)
    left = {path.name for path in run.iterdir()}
    assert {"manifest.json", "calibration.json", "model.keras", "fine-tune"} <= left
    assert "features" not in left
