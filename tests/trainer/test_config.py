import dataclasses
import re

import pytest

pytest.importorskip("tomli_w")

from acne_runtime.errors import SourceError
from acne_trainer.config import DEFAULTS, TrainConfig
from acne_trainer.model_names import MODELS

CNN, RESNET50, YOLOV8_XS = DEFAULTS["cnn"], DEFAULTS["resnet50"], DEFAULTS["yolov8-xs"]


@pytest.mark.parametrize(
    "settings",
    [
        *DEFAULTS.values(),
        dataclasses.replace(CNN, data="Daten/für später", epochs=1, learning_rate=3e-5, seed=-7),
        dataclasses.replace(YOLOV8_XS, data=r'C:\data "new"', average_decay=0.9999, whole_every=0),
    ],
    ids=[*DEFAULTS, "changed", "quoted"],
)
def test_settings_come_back_from_their_file(tmp_path, settings):
    settings.save(tmp_path / "run" / "config.toml")
    assert TrainConfig.read(tmp_path / "run" / "config.toml") == settings


def test_the_file_names_every_setting(tmp_path):
    RESNET50.save(tmp_path / "config.toml")
    lines = (tmp_path / "config.toml").read_text().splitlines()
    assert [line.split(" = ")[0] for line in lines] == [field.name for field in dataclasses.fields(RESNET50)]


def test_the_defaults_are_known_by_their_models_names():
    assert all(settings.model == name for name, settings in DEFAULTS.items())
    assert tuple(DEFAULTS) == MODELS


def test_a_detectors_sizes_fit_its_grids():
    assert YOLOV8_XS.input_size % 32 == YOLOV8_XS.crop_size % 32 == 0


def refusal(file):
    with pytest.raises(SourceError, match=f"^{re.escape(str(file))}: ") as refused:
        TrainConfig.read(file)
    assert "\n" not in str(refused.value)
    return str(refused.value)


def test_a_missing_file_is_named_with_the_way_out(tmp_path):
    assert "not found; --resume takes a folder in which a training was begun" in refusal(tmp_path / "config.toml")


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        (lambda text: "", "missing"),
        (lambda text: text.replace("epochs", "epoch"), "epoch is no setting of cnn"),
        (lambda text: text + "momentum = 0.9\n", "momentum is no setting of cnn"),
        (lambda text: text.replace("seed = 0\n", ""), "seed missing"),
        (lambda text: text.replace(" = ", " : "), "these are no settings"),
        (lambda text: text + "epochs = 3\n", "these are no settings"),
        (lambda text: text[: len(text) // 2] + '"', "these are no settings"),
        (lambda text: "\0" + text, "these are no settings"),
    ],
    ids=["empty", "misspelt", "unknown", "one missing", "no TOML", "twice", "cut off", "binary"],
)
def test_what_is_no_settings_file_is_refused_by_name(tmp_path, change, problem):
    file = tmp_path / "config.toml"
    CNN.save(file)
    file.write_text(change(file.read_text()))
    assert problem in refusal(file)


def test_text_that_is_not_utf8_is_refused(tmp_path):
    (tmp_path / "config.toml").write_bytes(b'model = "\xff"')
    assert "these are no settings" in refusal(tmp_path / "config.toml")


def with_line(file, name, value):
    """Writes the defaults with another value for one setting."""
    RESNET50.save(file)
    text, changed = re.subn(rf"^{name} = .*$", f"{name} = {value}", file.read_text(), flags=re.MULTILINE)
    assert changed == 1
    file.write_text(text)
    return file


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *[("epochs", '"many"'), ("batch_size", "3.5"), ("model", "7"), ("seed", "[0]"), ("learning_rate", "true")],
        # Of the right type, but out of range.
        *[("model", '"yolov9"'), ("epochs", "0"), ("validate_every", "0"), ("batch_size", "0"), ("patience", "0")],
        *[("optimizer", '"sgd"'), ("precision", '"int8"'), ("input_scaling", '"half"'), ("learning_rate", "0.0")],
        *[("average_decay", "1.0"), ("label_smoothing", "-0.1"), ("final_rate", "1.5"), ("focal", "-1.0")],
        *[("absent_unknown", "[1]"), ("input_size", "8"), ("fine_tune_epochs", "-1")],
    ],
)
def test_a_setting_of_another_type_or_out_of_range_is_refused_by_name(tmp_path, name, value):
    assert name in refusal(with_line(tmp_path / "config.toml", name, value))


def test_a_whole_number_is_a_rate_too(tmp_path):
    assert TrainConfig.read(with_line(tmp_path / "config.toml", "final_rate", "1")).final_rate == 1


@pytest.mark.parametrize(
    ("name", "value"), [("input_size", 100), ("crop_size", 100), ("crop_size", 0), ("crops_per_photo", 0)]
)
def test_a_detectors_sizes_have_to_fit_its_grids(name, value):
    with pytest.raises(ValueError, match=name):
        dataclasses.replace(YOLOV8_XS, **{name: value})
