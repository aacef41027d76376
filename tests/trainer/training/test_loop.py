import csv
import dataclasses
import json
import logging
from collections.abc import Callable
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("tensorflow")

import keras
import tensorflow as tf
from keras import layers

from acne_runtime.errors import AcneEdgeError
from acne_trainer.config import DEFAULTS
from acne_trainer.training import checkpoint
from acne_trainer.training.errors import StoppedError
from acne_trainer.training.loop import Trainer

SETTINGS = dataclasses.replace(
    DEFAULTS["cnn"],
    epochs=4,
    patience=99,
    batch_size=8,
    learning_rate=0.05,
    warmup_steps=3,
    final_rate=0.1,
    average_decay=0.9,
)
STEPS = 3
WEIGHTS = np.array([[1.0, -2.0], [0.5, 0.25], [-1.0, 3.0]], np.float32)


class PlugPulledError(Exception):
    """Power is gone."""


@dataclasses.dataclass
class LinearTask:
    """A task of callables, each to be replaced by a test."""

    network: keras.Model
    batches: Callable = None
    loss: Callable = None
    validate: Callable = None
    steps: int = 3
    monitor: str = "val_loss"
    higher_is_better: bool = False
    layer_rates: dict = dataclasses.field(default_factory=dict)


def linear():
    keras.utils.set_random_seed(0)
    vector = keras.Input((3,), name="vector")
    return keras.Model(vector, layers.Dense(2, name="dense")(vector))


def with_statistics():
    keras.utils.set_random_seed(0)
    vector = keras.Input((3,), name="vector")
    x = layers.BatchNormalization(momentum=0.8, name="norm")(vector)
    return keras.Model(vector, layers.Dense(2, name="dense")(x))


def with_dropout():
    keras.utils.set_random_seed(0)
    vector = keras.Input((3,), name="vector")
    return keras.Model(vector, layers.Dense(2, name="dense")(layers.Dropout(0.3, name="drop")(vector)))


NETWORKS = pytest.mark.parametrize("network", [linear, with_statistics])


def batch(epoch, step):
    vectors = np.random.default_rng([epoch, step]).normal(0.3, 1, (8, 3)).astype(np.float32)
    return vectors, vectors @ WEIGHTS


def batches(epoch, first=0):
    return [batch(epoch, step) for step in range(first, STEPS)]


def mean_squared(outputs, targets):
    return {"loss": tf.reduce_mean((outputs - targets) ** 2)}


def validation_loss(network):
    vectors, targets = batch(99, 0)
    return {"val_loss": float(np.mean((np.asarray(network(vectors, training=False)) - targets) ** 2))}


def task(network=linear, **changes):
    return dataclasses.replace(LinearTask(network(), batches, mean_squared, validation_loss), **changes)


def scores(*values):
    """Validation that gives these scores, one after the other."""
    remaining = iter(values)
    return lambda network: {"val_loss": next(remaining)}


def prepared(folder):
    (folder / "checkpoints").mkdir(parents=True, exist_ok=True)
    return folder


@contextmanager
def logged(tell):
    """Calls `tell` with each line that the trainer logs."""
    package, handler = logging.getLogger("acne_trainer"), logging.Handler()
    handler.emit = lambda record: tell(record.getMessage())
    package.addHandler(handler)
    package.setLevel(logging.INFO)
    try:
        yield
    finally:
        package.removeHandler(handler)


def train(folder, *, settings=SETTINGS, log=lambda _: None, **changes):
    trainer = Trainer(task(**changes), settings, prepared(folder))
    with logged(log):
        return trainer, trainer.fit()


def measured(history):
    return [{name: value for name, value in row.items() if name != "seconds"} for row in history]


def assert_same_training(one, other):
    for row, expected in zip(measured(one.history), measured(other.history), strict=True):
        assert row == pytest.approx(expected, abs=1e-6)
    for part in ("network", "average"):
        pairs = zip(getattr(one, part).get_weights(), getattr(other, part).get_weights(), strict=True)
        for weight, expected in pairs:
            np.testing.assert_allclose(weight, expected, atol=1e-6)


def files(folder):
    """Returns what lies there, TensorBoard's logs (named by time and host) by their folder."""
    found = (path.relative_to(folder) for path in folder.rglob("*") if path.is_file())
    return sorted({"tensorboard" if path.parts[0] == "tensorboard" else str(path) for path in found})


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory):
    """Gives a training that nobody disturbed, by network."""
    made = {}

    def get(network):
        if network not in made:
            made[network] = train(tmp_path_factory.mktemp("uninterrupted"), network=network)[0]
        return made[network]

    return get


def test_training_lowers_the_loss_and_leaves_its_files(tmp_path):
    done, model = train(tmp_path)
    losses = [row["loss"] for row in done.history]
    assert losses[-1] < 0.8 * losses[0]
    assert [row["epoch"] for row in done.history] == [1, 2, 3, 4]
    assert model is done.average
    assert files(tmp_path) == [
        "best.weights.h5",
        "checkpoints/epoch-4-0.data-00000-of-00001",
        "checkpoints/epoch-4-0.index",
        "checkpoints/history.json",
        "history.csv",
        "tensorboard",
    ]


def test_the_history_is_the_same_in_both_its_files(tmp_path):
    done, _ = train(tmp_path, settings=dataclasses.replace(SETTINGS, validate_every=2))
    with (tmp_path / "history.csv").open() as stream:
        rows = [{name: float(value) for name, value in row.items() if value} for row in csv.DictReader(stream)]
    assert rows == done.history == json.loads((tmp_path / "checkpoints" / "history.json").read_text())["history"]


def test_a_line_of_progress_is_said_for_each_epoch(tmp_path):
    lines = []
    train(tmp_path, log=lines.append)
    assert [line.split("  ")[0] for line in lines] == [f"epoch {n}/4" for n in range(1, 5)]
    assert all("loss " in line and "val_loss " in line and "min left" in line for line in lines)


@pytest.mark.parametrize(("every", "validated"), [(1, [1, 2, 3, 4]), (2, [2, 4]), (3, [3, 4]), (9, [4])])
def test_validation_comes_as_often_as_asked_and_at_the_end(tmp_path, every, validated):
    done, _ = train(tmp_path, settings=dataclasses.replace(SETTINGS, validate_every=every))
    assert [row["epoch"] for row in done.history if "val_loss" in row] == validated


def plug(at):
    """Progress that ends in somebody pulling the plug after so many epochs."""
    lines = []

    def say(line):
        lines.append(line)
        if len(lines) == at:
            raise PlugPulledError

    return say


@NETWORKS
@pytest.mark.parametrize("epochs", [1, 2, 3])
def test_stopped_between_epochs_and_resumed_is_as_never_stopped(tmp_path, uninterrupted, network, epochs):
    with pytest.raises(PlugPulledError):
        train(tmp_path, network=network, log=plug(epochs))
    lines = []
    resumed, _ = train(tmp_path, network=network, log=lines.append)
    assert lines[0] == f"resumed after epoch {epochs}"
    assert_same_training(resumed, uninterrupted(network))


def test_dropout_goes_on_with_the_numbers_it_would_have_drawn(tmp_path, uninterrupted):
    with pytest.raises(PlugPulledError):
        train(tmp_path, network=with_dropout, log=plug(2))
    resumed, _ = train(tmp_path, network=with_dropout)
    assert_same_training(resumed, uninterrupted(with_dropout))


@NETWORKS
@pytest.mark.parametrize("epoch", [0, 2])
def test_stopped_within_an_epoch_and_resumed_is_as_never_stopped(tmp_path, uninterrupted, network, epoch):
    def until(now, first=0):
        yield batch(now, 0)
        if now == epoch:
            raise PlugPulledError
        yield from batches(now)[1:]

    with pytest.raises(PlugPulledError):
        train(tmp_path, network=network, batches=until)
    assert_same_training(train(tmp_path, network=network)[0], uninterrupted(network))


@pytest.mark.parametrize("network", [linear, with_statistics, with_dropout])
@pytest.mark.parametrize("steps", [1, 2, 3, 4, 8])
def test_asked_to_stop_and_resumed_is_as_never_asked(tmp_path, uninterrupted, network, steps):
    asked = iter(range(1, 99))
    loop = Trainer(task(network), SETTINGS, prepared(tmp_path))
    with pytest.raises(StoppedError, match=r"stopped in epoch \d after step \d of 3"):
        loop.fit(stopped=lambda: next(asked) >= steps)
    lines = []
    resumed, _ = train(tmp_path, network=network, log=lines.append)
    assert lines[0].startswith("resumed after epoch ")
    assert_same_training(resumed, uninterrupted(network))


def test_progress_tells_the_step_and_the_time_left(tmp_path):
    shown = []
    Trainer(task(), SETTINGS, prepared(tmp_path)).fit(progress=shown.append)
    assert len(shown) == 4 * STEPS
    assert shown[4].startswith("epoch 2/4  step 2/3  loss ")
    assert all("min left" in line for line in shown)


def test_without_averaging_the_network_itself_is_the_model(tmp_path):
    done, model = train(tmp_path, settings=dataclasses.replace(SETTINGS, average_decay=0.0))
    assert model is done.network


@pytest.mark.parametrize(
    "kind", [OSError(28, "No space left on device"), tf.errors.ResourceExhaustedError(None, None, "full")]
)
def test_a_full_disk_is_told_and_resumed_after(tmp_path, monkeypatch, uninterrupted, kind):
    def full(self, path, *rest):
        raise kind

    with pytest.raises(PlugPulledError):
        train(tmp_path, log=plug(2))
    with monkeypatch.context() as patched:
        patched.setattr(tf.train.Checkpoint, "write", full)
        with pytest.raises(AcneEdgeError, match=rf"^{tmp_path}: cannot be saved \(.*\); make room"):
            train(tmp_path)
    assert_same_training(train(tmp_path)[0], uninterrupted(linear))


def stop_writing(name):
    def arrange(monkeypatch):
        really = checkpoint.write_atomically

        def write(file, data):
            if file.name == name and (b'"epoch": 2.0' in data or b"\r\n2.0," in data):
                raise PlugPulledError
            really(file, data)

        monkeypatch.setattr(checkpoint, "write_atomically", write)

    return arrange


def stop_removing(monkeypatch):
    def unlink(self, missing_ok=False):
        raise PlugPulledError

    monkeypatch.setattr(Path, "unlink", unlink)


def stop_renaming_the_best(monkeypatch):
    really = Path.replace

    def replace(self, target):
        if self.name == "best.part.weights.h5" and (self.parent / "best.weights.h5").exists():
            raise PlugPulledError
        return really(self, target)

    monkeypatch.setattr(Path, "replace", replace)


def stop_in_the_checkpoint(monkeypatch):
    really = tf.train.Checkpoint.write

    def write(self, path, *rest):
        saved = really(self, path, *rest)
        if path.endswith("epoch-2-0"):
            Path(f"{path}.index").write_bytes(b"half")
            raise PlugPulledError
        return saved

    monkeypatch.setattr(tf.train.Checkpoint, "write", write)


@pytest.mark.parametrize(
    "arrange",
    [
        stop_renaming_the_best,
        stop_in_the_checkpoint,
        stop_writing("history.json"),
        stop_removing,
        stop_writing("history.csv"),
    ],
    ids=["best weights", "checkpoint", "record", "old checkpoint", "table"],
)
@NETWORKS
def test_killed_while_writing_its_files_and_resumed_is_as_never_killed(
    tmp_path, monkeypatch, uninterrupted, network, arrange
):
    with monkeypatch.context() as killing:
        arrange(killing)
        with pytest.raises(PlugPulledError):
            train(tmp_path, network=network)
    resumed, _ = train(tmp_path, network=network)
    assert_same_training(resumed, uninterrupted(network))
    assert len([name for name in files(tmp_path) if name.startswith("checkpoints/epoch-")]) == 2
    assert "best.part.weights.h5" not in files(tmp_path)


def test_a_finished_training_resumes_to_the_same_model_without_another_epoch(tmp_path):
    _, model = train(tmp_path)
    lines = []
    again, same = train(tmp_path, log=lines.append, batches=lambda *_: pytest.fail("trained again"))
    assert lines == ["resumed after epoch 4"]
    assert len(again.history) == 4
    for weight, expected in zip(same.get_weights(), model.get_weights(), strict=True):
        np.testing.assert_array_equal(weight, expected)


def test_more_epochs_than_before_go_on_from_the_last(tmp_path):
    train(tmp_path, settings=dataclasses.replace(SETTINGS, epochs=2))
    longer, _ = train(tmp_path)
    assert [row["epoch"] for row in longer.history] == [1, 2, 3, 4]


def losing(value, epoch, step):
    """Batches whose loss stops being a number at one step."""

    def spoilt(now, first=0):
        made = batches(now, first)
        if now == epoch:
            made[step] = (made[step][0], np.full_like(made[step][1], value))
        return made

    return spoilt


@pytest.mark.parametrize(("value", "word"), [(np.nan, "nan"), (np.inf, "inf")])
def test_a_loss_that_is_no_number_stops_and_keeps_the_best_model(tmp_path, value, word):
    with pytest.raises(AcneEdgeError, match=rf"the loss became {word} in epoch 3, batch 2; .*--learning-rate") as stop:
        train(tmp_path, batches=losing(value, 2, 1))
    assert f"--run {tmp_path} --resume --epochs 2 finishes with the best model so far" in str(stop.value)
    whole, _ = train(tmp_path / "whole", log=lambda _: None, settings=SETTINGS)
    kept = linear()
    kept.load_weights(tmp_path / "best.weights.h5")
    assert validation_loss(kept)["val_loss"] == pytest.approx(whole.history[1]["val_loss"], abs=1e-6)
    assert len(json.loads((tmp_path / "checkpoints" / "history.json").read_text())["history"]) == 2


def test_a_loss_of_exactly_nothing_for_an_epoch_is_no_success(tmp_path):
    def saturated(outputs, targets):
        return {"loss": tf.reduce_mean((outputs - targets) ** 2) * 0}

    with pytest.raises(AcneEdgeError, match=r"the loss was exactly 0 throughout epoch 1; lower --learning-rate"):
        train(tmp_path, loss=saturated)


def test_after_a_loss_that_was_no_number_the_training_can_go_on(tmp_path, uninterrupted):
    with pytest.raises(AcneEdgeError):
        train(tmp_path, batches=losing(np.nan, 2, 1))
    assert_same_training(train(tmp_path)[0], uninterrupted(linear))


@pytest.mark.parametrize(
    ("values", "patience", "epochs", "best"),
    [
        ([5, 4, 3, 2, 1, 0], 2, 6, 6),
        ([3, 2, 2.5, 2.4, 2.3, 1], 3, 5, 2),
        ([3, 2, 2.5, 1, 1.5, 1.4], 2, 6, 4),
        ([1, 1, 1, 1, 1, 1], 2, 3, 1),
        ([1, 2, 0.5, 3, 3, 3], 1, 2, 1),
    ],
)
def test_patience_stops_and_the_best_model_comes_back(tmp_path, values, patience, epochs, best):
    lines, seen = [], []

    def validate(network):
        seen.append(network.get_weights())
        return {"val_loss": float(values[len(seen) - 1])}

    settings = dataclasses.replace(SETTINGS, epochs=6, patience=patience)
    done, model = train(tmp_path, settings=settings, validate=validate, log=lines.append)
    assert len(done.history) == epochs
    assert (lines[-1] == f"stopped: val_loss has not improved for {patience} validations") == (epochs < 6)
    for weight, expected in zip(model.get_weights(), seen[best - 1], strict=True):
        np.testing.assert_array_equal(weight, expected)


def test_a_higher_score_is_better_where_it_says_so(tmp_path):
    seen = []

    def validate(network):
        seen.append(network.get_weights())
        return {"val_ap50": [0.1, 0.3, 0.2, 0.25][len(seen) - 1]}

    _, model = train(tmp_path, validate=validate, monitor="val_ap50", higher_is_better=True)
    np.testing.assert_array_equal(model.get_weights()[0], seen[1][0])


def test_patience_that_ran_out_stays_out_after_resuming(tmp_path):
    settings = dataclasses.replace(SETTINGS, epochs=6, patience=2)
    train(tmp_path, settings=settings, validate=scores(1.0, 2.0, 3.0))
    lines = []
    again, _ = train(tmp_path, settings=settings, validate=scores(), log=lines.append)
    assert len(again.history) == 3
    assert lines[-1].startswith("stopped: ")


def test_a_validation_without_a_number_does_not_hide_a_better_one_after_it(tmp_path):
    seen = []

    def validate(network):
        seen.append(network.get_weights())
        return {"val_loss": [float("nan"), 3.0, 2.0, 2.5][len(seen) - 1]}

    _, model = train(tmp_path, validate=validate)
    np.testing.assert_array_equal(model.get_weights()[0], seen[2][0])


@pytest.mark.parametrize("decay", [0.0, 0.5, 0.9])
def test_the_average_follows_every_step_batch_statistics_too(tmp_path, decay):
    made = Trainer(
        task(network=with_statistics), dataclasses.replace(SETTINGS, average_decay=decay), prepared(tmp_path)
    )

    def floats(network):
        return [variable.numpy().copy() for variable in network.variables if variable.dtype.startswith("float")]

    expected = floats(made.network)
    for step in range(1, 6):
        made.train_step(*map(tf.constant, batch(0, step)))
        now = min(decay, (1 + step) / (10 + step))
        expected = [now * slow + (1 - now) * live for slow, live in zip(expected, floats(made.network), strict=True)]
    for got, value in zip(floats(made.average), expected, strict=True):
        np.testing.assert_allclose(got, value, atol=1e-6)
    same = all(np.array_equal(a, b) for a, b in zip(floats(made.average), floats(made.network), strict=True))
    assert same == (decay == 0)


@pytest.mark.parametrize(
    ("step", "share"),
    # 4 epochs of 3 steps, 3 of them warming up; then half a cosine from 1 to 0.1.
    [
        (0, 1 / 3),
        (1, 2 / 3 * (0.1 + 0.45 * (1 + np.cos(np.pi / 12)))),
        (3, 0.1 + 0.45 * (1 + np.cos(np.pi / 4))),
        (6, 0.55),
        (12, 0.1),
        (50, 0.1),
    ],
)
def test_the_rate_warms_up_and_falls_by_half_a_cosine(tmp_path, step, share):
    made = Trainer(task(), SETTINGS, prepared(tmp_path))
    made.optimizer.iterations.assign(step)
    assert float(made.optimizer.learning_rate) == pytest.approx(0.05 * share, rel=1e-5)


def test_without_warm_up_and_decay_the_rate_is_constant(tmp_path):
    made = Trainer(task(), dataclasses.replace(SETTINGS, warmup_steps=0, final_rate=1.0), prepared(tmp_path))
    for step in (0, 5, 500):
        made.optimizer.iterations.assign(step)
        assert float(made.optimizer.learning_rate) == pytest.approx(0.05)


def test_a_batch_of_huge_gradients_moves_the_weights_no_further_than_others(tmp_path):
    steps = []
    for scale in (1.0, 1e6):
        made = Trainer(task(), dataclasses.replace(SETTINGS, warmup_steps=0), prepared(tmp_path / str(scale)))
        before = made.network.get_weights()[0].copy()
        vectors, targets = batch(0, 0)
        made.train_step(tf.constant(vectors), tf.constant(targets * np.float32(scale)))
        steps.append(np.abs(made.network.get_weights()[0] - before).max())
    assert steps[1] <= 1.01 * steps[0]


def test_a_loss_that_is_no_number_before_any_validation_leaves_nothing_to_finish_with(tmp_path):
    with pytest.raises(AcneEdgeError, match=r"epoch 1, batch 1; lower --learning-rate and start over in another --run"):
        train(tmp_path, batches=losing(np.nan, 0, 0))


@pytest.mark.parametrize(
    "damage",
    [
        lambda folder: (folder / "history.json").write_text("{"),
        lambda folder: (folder / "history.json").write_text("{}"),
        lambda folder: [path.unlink() for path in folder.glob("epoch-*")],
    ],
    ids=["no JSON", "empty", "no checkpoint"],
)
def test_a_damaged_checkpoint_is_told_in_a_line(tmp_path, damage):
    train(tmp_path)
    damage(tmp_path / "checkpoints")
    with pytest.raises(AcneEdgeError, match=r"history\.json: corrupt, or of another training .*another --run") as told:
        train(tmp_path)
    assert "\n" not in str(told.value)


def test_a_checkpoint_of_another_network_is_refused(tmp_path):
    train(tmp_path)
    with pytest.raises(AcneEdgeError, match=r"history\.json: corrupt, or of another training"):
        train(tmp_path, network=with_statistics)
