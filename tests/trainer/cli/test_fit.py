import dataclasses
import signal

import pytest
from click.testing import CliRunner

pytest.importorskip("tensorflow")

import acne_trainer.train
from acne_trainer.cli.main import main
from acne_trainer.config import DEFAULTS
from acne_trainer.model_names import MODELS
from acne_trainer.training.errors import StoppedError


@pytest.fixture
def trained(monkeypatch):
    """Collects what `fit` would train."""
    calls = []
    monkeypatch.setattr(acne_trainer.train, "fit", lambda *given: calls.append(given))
    return calls


def fit(*arguments):
    return CliRunner().invoke(main, ["fit", *map(str, arguments)])


@pytest.mark.parametrize("model", MODELS)
def test_without_flags_a_models_own_defaults_are_trained(tmp_path, trained, model):
    done = fit(model, "--data", "photographs", "--run", tmp_path / "run")
    assert done.exit_code == 0, done.output
    assert trained[0][0] == dataclasses.replace(DEFAULTS[model], data="photographs")
    assert trained[0][1] == tmp_path / "run"


def test_flags_change_the_settings_they_name(tmp_path, trained):
    flags = {
        "epochs": 3,
        "batch_size": 5,
        "learning_rate": 0.5,
        "input_size": 96,
        "seed": 7,
        "weights": "none",
        "input_scaling": "paper",
        "focal": 2.0,
        "label_smoothing": 0.1,
        "fine_tune_epochs": 2,
        "fine_tune_layers": 4,
        "fine_tune_rate": 0.01,
        "precision": "mixed_bfloat16",
    }
    written = [part for name, value in flags.items() for part in (f"--{name.replace('_', '-')}", value)]
    unknown = ["--absent-unknown", "a*=nodules", "--absent-unknown", "b*=papules,nodules"]
    done = fit("resnet50", "--data", "d", "--run", tmp_path / "run", "--jit", *written, *unknown)
    assert done.exit_code == 0, done.output
    expected = dataclasses.replace(
        DEFAULTS["resnet50"], data="d", jit=True, absent_unknown=("a*=nodules", "b*=papules,nodules"), **flags
    )
    assert trained[0][0] == expected


def test_flags_go_before_the_settings_of_a_file(tmp_path, trained):
    (tmp_path / "mine.toml").write_text('epochs = 9\nbatch_size = 8\nabsent_unknown = ["a*=nodules"]\n')
    done = fit("cnn", "--data", "d", "--run", tmp_path / "run", "--config", tmp_path / "mine.toml", "--epochs", 2)
    assert done.exit_code == 0, done.output
    settings = trained[0][0]
    assert (settings.epochs, settings.batch_size, settings.absent_unknown) == (2, 8, ("a*=nodules",))


def test_a_resumed_training_keeps_its_settings_but_for_the_epochs(tmp_path, trained):
    begun = dataclasses.replace(DEFAULTS["cnn"], data="d", seed=5, epochs=10)
    begun.save(tmp_path / "run" / "config.toml")
    (tmp_path / "run" / "checkpoints").mkdir()
    done = fit("cnn", "--run", tmp_path / "run", "--resume", "--epochs", 12)
    assert done.exit_code == 0, done.output
    assert trained[0][0] == dataclasses.replace(begun, epochs=12)


def test_the_same_command_with_resume_goes_on(tmp_path, trained):
    (tmp_path / "mine.toml").write_text("batch_size = 8\n")
    same = ("cnn", "--data", "d", "--run", tmp_path / "run", "--config", tmp_path / "mine.toml", "--seed", 5)
    assert fit(*same).exit_code == 0
    trained[0][0].save(tmp_path / "run" / "config.toml")
    (tmp_path / "run" / "checkpoints").mkdir()
    done = fit(*same, "--resume")
    assert done.exit_code == 0, done.output
    assert trained[1][0] == trained[0][0]


def test_a_folder_in_which_nothing_but_settings_was_left_may_be_begun_in(tmp_path, trained):
    DEFAULTS["cnn"].save(tmp_path / "run" / "config.toml")
    assert fit("cnn", "--data", "d", "--run", tmp_path / "run").exit_code == 0
    assert len(trained) == 1


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_stopped_training_says_how_to_go_on(tmp_path, monkeypatch, number, code):
    def stopped(settings, run, strategy, watch):
        signal.raise_signal(number)
        assert watch.stopped()
        raise StoppedError("stopped in epoch 1 after step 2 of 3")

    monkeypatch.setattr(acne_trainer.train, "fit", stopped)
    run = tmp_path / "run"
    done = fit("cnn", "--data", "d", "--run", run)
    assert done.exit_code == code
    expected = f"stopped in epoch 1 after step 2 of 3; to go on: acne-train fit cnn --run {run} --resume"
    assert done.stderr.splitlines()[-1] == expected


@pytest.mark.parametrize(
    ("arguments", "exit_code", "problem"),
    [
        (["cnn", "--run", "RUN"], 2, "--data DIR is needed"),
        (["cnn", "--data", "d"], 2, "--run"),
        (["yolov9", "--data", "d", "--run", "RUN"], 2, "yolov9"),
        (["cnn", "--data", "d", "--run", "RUN", "--epochs", "0"], 2, "--epochs"),
        (["cnn", "--data", "d", "--run", "RUN", "--label-smoothing", "1"], 2, "--label-smoothing"),
        (["cnn", "--data", "d", "--run", "RUN", "--precision", "int8"], 2, "--precision"),
        (["yolov8-xs", "--data", "d", "--run", "RUN", "--input-size", "100"], 2, "multiple of 32"),
        (["cnn", "--data", "d", "--run", "RUN", "--weights", "imagenet"], 2, "cnn has none"),
        (["vgg19", "--data", "d", "--run", "RUN", "--weights", "coco"], 2, "vgg19 has none"),
        (
            ["yolov8-s", "--data", "d", "--run", "RUN", "--fine-tune-epochs", "1"],
            2,
            "not a setting of yolov8-s, only",
        ),
        (
            ["cnn", "--data", "d", "--run", "RUN", "--input-scaling", "paper"],
            2,
            "only of resnet50, vgg19",
        ),
        (["cnn", "--data", "d", "--run", "RUN", "--config", "MISSING"], 2, "missing.toml"),
        (["cnn", "--data", "d", "--run", "RUN", "--config", "BROKEN"], 1, "broken.toml"),
        (["cnn", "--data", "d", "--run", "RUN", "--config", "OTHER"], 1, "settings of yolov8-xs, not of cnn"),
        (["cnn", "--data", "d", "--run", "RUN", "--devices", "tpu"], 1, "--devices tpu"),
        (["cnn", "--data", "d", "--run", "RUN", "--devices", "gpu"], 1, "--devices gpu"),
        (["cnn", "--run", "FULL"], 1, "not empty; use --resume"),
        (["cnn", "--run", "RUN", "--resume"], 1, "config.toml: not found"),
        (["cnn", "--run", "FULL", "--resume", "--precision", "mixed_float16"], 2, "--precision cannot change"),
        (["cnn", "--run", "FULL", "--resume", "--batch-size", "4", "--seed", "1"], 2, "--batch-size, --seed cannot"),
        (["cnn", "--run", "FULL", "--resume", "--config", "OTHER"], 1, "settings of yolov8-xs, not of cnn"),
        (["cnn", "--run", "FULL", "--resume", "--config", "SMALLER"], 2, "--batch-size cannot change"),
        (["yolov8-s", "--run", "FULL", "--resume"], 1, "a training of cnn, not of yolov8-s"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_a_wrong_call_is_told_in_a_line_before_anything_is_written(tmp_path, trained, arguments, exit_code, problem):
    (tmp_path / "broken.toml").write_text("epochs = [")
    (tmp_path / "smaller.toml").write_text("batch_size = 3")
    DEFAULTS["yolov8-xs"].save(tmp_path / "other.toml")
    dataclasses.replace(DEFAULTS["cnn"], data="d").save(tmp_path / "full" / "config.toml")
    (tmp_path / "full" / "history.csv").touch()
    places = {
        "RUN": "run",
        "FULL": "full",
        "MISSING": "missing.toml",
        "BROKEN": "broken.toml",
        "OTHER": "other.toml",
        "SMALLER": "smaller.toml",
    }
    done = fit(*(tmp_path / places[argument] if argument in places else argument for argument in arguments))
    assert (done.exit_code, type(done.exception)) == (exit_code, SystemExit)
    assert problem in done.stderr
    if exit_code == 1:
        assert len(done.stderr.splitlines()) == 1
    assert not (tmp_path / "run").exists()
    assert not trained
