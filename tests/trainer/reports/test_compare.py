import csv
import io
import json
import shutil

import pytest
from click.testing import CliRunner

pytest.importorskip("faster_coco_eval")

from support import run_folders as made

from acne_trainer.cli.report import compare
from acne_trainer.run_folder import read_run


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs")
    data = made.write_data(folder / "data")
    finished = {task: made.write_finished_run(folder / task, task, data) for task in made.HISTORY}
    finished["again"] = shutil.copytree(finished["detection"], folder / "again")
    return finished


def called(*arguments):
    return CliRunner().invoke(compare, [str(argument) for argument in arguments])


def test_a_table_has_a_row_a_run_and_one_for_each_baseline(runs):
    done = called(runs["detection"], runs["multilabel"], runs["again"])
    assert (done.exit_code, done.stderr) == (0, "")
    multilabel, detection = done.stdout.split("\n\n")[1::2]
    assert [line.split()[0] for line in multilabel.splitlines()[2:]] == [str(runs["multilabel"]), "-"]
    assert [line.split()[0] for line in detection.splitlines()[2:]] == [str(runs["detection"]), str(runs["again"]), "-"]
    assert "trivial baseline" in detection
    for table in (multilabel, detection):
        rule = table.splitlines()[1]
        assert set(rule) == {"-", " "}
        assert all(len(line) <= len(rule) for line in table.splitlines())


def test_the_row_of_a_multilabel_model_holds_its_figures(runs):
    measured = json.loads((runs["multilabel"] / "metrics.json").read_text())["test"]
    rows = called(runs["multilabel"]).stdout.splitlines()[4:]
    for row, who in zip(rows, ("model", "baseline"), strict=True):
        expected = measured[who]
        low, high = expected["argmax_agreement_interval_95"]
        assert f"{expected['argmax_agreement']:.3f} ({low:.3f} to {high:.3f})" in row
        ending = [f"{expected[name]:.3f}" for name in ("exact_match", "macro_f1", "macro_ap", "loss")]
        assert row.split()[-4:] == ending
    assert " tiny-cnn " in rows[0]
    assert " 224 " in rows[0]


def test_the_losses_of_a_detector_are_those_of_its_best_epoch(runs):
    rows = called(runs["detection"]).stdout.splitlines()[4:]
    assert rows[0].split()[-2:] == ["0.500", "5.500"]  # of epoch 2
    assert rows[1].split()[-2:] == ["-", "-"]
    assert read_run(runs["multilabel"]).best_epoch()["epoch"] == 2


def test_csv_and_json_hold_the_same_rows(runs, tmp_path):
    files = tmp_path / "out" / "table.csv", tmp_path / "out" / "table.json"
    done = called(runs["detection"], runs["multilabel"], "--csv", files[0], "--json", files[1])
    assert done.exit_code == 0
    rows = json.loads(files[1].read_text())
    assert [row["model"] for row in rows] == ["tiny-cnn", "trivial baseline", "tiny-detector", "trivial baseline"]
    measured = json.loads((runs["detection"] / "metrics.json").read_text())["test"]
    assert rows[2]["ap50"] == measured["model"]["ap50"]
    assert [rows[2]["ap50_low"], rows[2]["ap50_high"]] == measured["model"]["ap50_interval_95"]
    assert rows[2]["argmax_agreement"] is None
    assert (rows[2]["parameters"], rows[3]["parameters"]) == (224, None)
    again = list(csv.DictReader(io.StringIO(files[0].read_text())))
    assert again == [{name: "" if value is None else str(value) for name, value in row.items()} for row in rows]


def test_runs_on_other_photographs_are_warned_of(runs, tmp_path):
    other = shutil.copytree(runs["again"], tmp_path / "other")
    text = (other / "manifest.json").read_text()
    (other / "manifest.json").write_text(text.replace("0a1b", "2c3d"))
    done = called(runs["detection"], runs["again"], other)
    assert done.exit_code == 0
    (warning,) = done.stderr.splitlines()
    assert warning.startswith(f"warning: {other} was trained on other photographs or labels than {runs['detection']}")


@pytest.mark.parametrize(
    ("name", "content", "problem"),
    [
        ("manifest.json", None, "this training is not finished"),
        ("metrics.json", b"{", "metrics.json: not JSON"),
        ("history.csv", b"epoch\nx\n", "history.csv:2: could not convert"),
        ("history.csv", b"\xff\xfe", "history.csv: not a CSV file"),
    ],
)
def test_a_run_that_cannot_be_read_is_one_line_and_nothing_is_written(runs, tmp_path, name, content, problem):
    run = shutil.copytree(runs["detection"], tmp_path / "run")
    if content is None:
        (run / name).unlink()
    else:
        (run / name).write_bytes(content)
    done = called(runs["detection"], run, "--csv", tmp_path / "table.csv")
    assert (done.exit_code, done.stdout, len(done.stderr.splitlines())) == (1, "", 1)
    assert str(run) in done.stderr
    assert problem in done.stderr
    assert not (tmp_path / "table.csv").exists()


def test_a_comparison_of_nothing_is_a_wrong_call():
    assert called().exit_code == 2
