"""The training loop: steps, validation, averaging, checkpoints. It knows neither photographs nor boxes."""

from __future__ import annotations

import csv
import io
import json
import math
import tempfile
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras
import tensorflow as tf

from acne_runtime.atomic_write import write_atomically
from acne_runtime.errors import AcneEdgeError, one_line
from acne_trainer.config import Settings
from acne_trainer.distributed import is_chief, on_any_machine, per_replica, sum_over_replicas
from acne_trainer.models.inference_graph import copy_weights
from acne_trainer.training.optimizer import optimizer_of


@dataclass(frozen=True, slots=True)
class Work:
    """What one kind of model brings to the loop.

    Attributes:
        network: The model in its training form, made within the strategy's scope.
        steps: Steps in an epoch.
        batches: (epoch number, first step) to the batches (images, targets) from that step to the epoch's end, arrays
            of equally many rows.
        loss: (network outputs, targets) to scalar losses; the one named `loss` is minimised. Where several devices
            share a batch, each computes its own summand: the losses add up to those of the whole batch.
        validate: The network to scores on the validation photographs.
        monitor: The score that decides which epoch was best.
        higher_is_better: Direction of `monitor`.
        backbone: Names of the layers that learn at `Settings.backbone_rate` times the learning rate.
    """

    network: keras.Model
    steps: int
    batches: Callable[[int, int], Iterable[tuple[Any, Any]]]
    loss: Callable[[Any, Any], Mapping[str, tf.Tensor]]
    validate: Callable[[keras.Model], Mapping[str, float]]
    monitor: str
    higher_is_better: bool
    backbone: frozenset[str] = frozenset()


def write_history(history: list[dict[str, float]], run: Path) -> None:
    """Writes `history.csv`: one row an epoch, a column for every figure that any epoch has."""
    columns = list(dict.fromkeys(name for row in history for name in row))
    text = io.StringIO()
    writer = csv.DictWriter(text, columns)
    writer.writeheader()
    writer.writerows(history)
    write_atomically(run / "history.csv", text.getvalue().encode())


class StoppedError(AcneEdgeError):
    """The training was asked to stop, and has saved all it needs to go on."""


def _nothing(*_: object) -> None:
    """Shows no progress."""


def _never() -> bool:
    return False


class Loop:
    """Trains a network in a run folder; a second `Loop` on the same folder goes on where the first was stopped."""

    def __init__(self, work: Work, settings: Settings, run: Path):
        self.work, self.settings = work, settings
        self.strategy = tf.distribute.get_strategy()
        # Every machine of several saves, since saving may need all of them; but only the first one's files are kept.
        self._elsewhere = None if is_chief(self.strategy) else tempfile.TemporaryDirectory()
        self.run = run if self._elsewhere is None else Path(self._elsewhere.name)
        self._resume_from = run
        self.network = work.network
        # Averages of *all* variables: averaged weights with live batch-norm statistics do not belong together.
        self.average = self.network
        if settings.average_decay:
            self.average = keras.models.clone_model(self.network)
            copy_weights(self.network, self.average)
        self._pairs = [
            pair
            for layer in self.network.layers
            if layer.trainable  # what is frozen stays as it is, to the last bit
            for pair in zip(self.average.get_layer(layer.name).variables, layer.variables, strict=True)
        ]
        slow = {id(one) for layer in self.network.layers if layer.name in work.backbone for one in layer.variables}
        self.optimizer = optimizer_of(
            settings, work.steps, lambda variable: settings.backbone_rate if id(variable) in slow else 1.0
        )
        self.optimizer.build(self.network.trainable_variables)
        self.history: list[dict[str, float]] = []
        self._begun: dict[str, Any] = {"step": 0, "sums": {}, "seconds": 0.0}
        self._step = tf.function(self._distributed_step, reduce_retracing=True, jit_compile=settings.jit or None)
        self._logs: tf.summary.SummaryWriter | None = None

    def _distributed_step(self, images: tf.Tensor, targets: Any) -> Mapping[str, tf.Tensor]:
        losses: Mapping[str, tf.Tensor] = self.strategy.run(self._train_step, (images, targets))
        if self.strategy.num_replicas_in_sync > 1:
            losses = {
                name: self.strategy.reduce(tf.distribute.ReduceOp.SUM, value, axis=None)
                for name, value in losses.items()
            }
        if self.settings.average_decay:
            self._follow()
        return losses

    def _train_step(self, images: tf.Tensor, targets: Any) -> Mapping[str, tf.Tensor]:
        variables = self.network.trainable_variables
        with tf.GradientTape() as tape:
            losses = self.work.loss(self.network(images, training=True), targets)
            scaled = self.optimizer.scale_loss(losses["loss"])
        # Summed before they are clipped, or found infinite: all devices then do the same.
        gradients = [sum_over_replicas(one) for one in tape.gradient(scaled, variables)]
        self.optimizer.apply(gradients, variables)
        return losses

    def _follow(self) -> None:
        """Draws the averages towards the live variables."""
        step = tf.cast(self.optimizer.iterations.value, tf.float32)
        # (1 + step) / (10 + step) lets the average follow quickly at first (tf.train.ExponentialMovingAverage).
        decay = tf.minimum(self.settings.average_decay, (1.0 + step) / (10.0 + step))
        for slow, live in self._pairs:
            if slow.dtype.startswith("float"):  # dropout's seed counters are not averaged
                self.strategy.extended.update(
                    slow.value,
                    lambda one, other: one.assign(decay * one + (1.0 - decay) * other),
                    args=(live.value,),
                )

    def fit(
        self,
        say: Callable[[str], None],
        progress: Callable[[str], None] = _nothing,
        stopped: Callable[[], bool] = _never,
    ) -> keras.Model:
        """Trains until the epochs or the patience run out.

        Args:
            say: Gets one line of progress an epoch.
            progress: Gets a line a step, to be shown over the one before.
            stopped: Asked after every step; once it says true, everything is saved and the training ends.

        Returns:
            The averaged network with the weights of the best validation.

        Raises:
            AcneEdgeError: The loss is no longer a number, or nothing can be saved; the best model so far stays in the
                run folder.
            StoppedError: `stopped` said so.
        """
        self._resume(say)
        started, first = time.monotonic(), len(self.history) + self._begun["step"] / self.work.steps
        for epoch in range(len(self.history), self.settings.epochs):
            if self._stale() >= self.settings.patience:
                say(f"stopped: {self.work.monitor} has not improved for {self.settings.patience} validations")
                break

            def left(step: int, epoch: int = epoch) -> str:
                done = epoch + step / self.work.steps
                seconds = (time.monotonic() - started) / (done - first) * (self.settings.epochs - done)
                return f"{seconds / 60:.0f} min left"

            row = {"epoch": epoch + 1.0, **self._run_epoch(epoch, left, progress, stopped)}
            if (epoch + 1) % self.settings.validate_every == 0 or epoch + 1 == self.settings.epochs:
                row |= self.work.validate(self.average)
            self.history.append(row)
            self._checkpoint(best=self._is_best(row))
            self._log(row)
            figures = "  ".join(f"{name} {value:.4g}" for name, value in row.items() if name != "epoch")
            say(f"epoch {epoch + 1}/{self.settings.epochs}  {figures}  ({left(self.work.steps)})")
        # Where no epoch since the resumption was better, only the first machine's folder has the best.
        best = self._best_weights if self._best_weights.exists() else self._resume_from / self._best_weights.name
        self.average.load_weights(best)
        return self.average

    def _run_epoch(
        self,
        epoch: int,
        left: Callable[[int], str],
        progress: Callable[[str], None],
        stopped: Callable[[], bool],
    ) -> dict[str, float]:
        begun, self._begun = self._begun, {"step": 0, "sums": {}, "seconds": 0.0}
        started, sums = time.monotonic() - begun["seconds"], dict(begun["sums"])
        for step, batch in enumerate(self.work.batches(epoch, begun["step"]), start=begun["step"] + 1):
            losses = {name: float(value) for name, value in self._step(*per_replica(self.strategy, batch)).items()}
            if not math.isfinite(losses["loss"]):
                raise AcneEdgeError(
                    f"the loss became {losses['loss']} in epoch {epoch + 1}, batch {step}; {self._way_out(epoch)}"
                )
            sums = {name: sums.get(name, 0.0) + value for name, value in losses.items()}
            progress(
                f"epoch {epoch + 1}/{self.settings.epochs}  step {step}/{self.work.steps}  "
                f"loss {sums['loss'] / step:.4g}  ({left(step)})"
            )
            if step < self.work.steps and on_any_machine(self.strategy, stopped()):
                self._begun = {"step": step, "sums": sums, "seconds": time.monotonic() - started}
                self._checkpoint(best=False)
                raise StoppedError(f"stopped in epoch {epoch + 1} after step {step} of {self.work.steps}")
        return {name: value / self.work.steps for name, value in sums.items()} | {"seconds": time.monotonic() - started}

    def _way_out(self, epochs: int) -> str:
        begin_anew = "lower --learning-rate and start again in another --run"
        if not self._best_weights.exists():
            return begin_anew
        keep = f"acne-train fit {self.settings.model} --run {self.run} --resume --epochs {epochs}"
        return f"{keep} finishes with the best model so far; or {begin_anew}"

    def _scores(self) -> list[float]:
        sign = 1 if self.work.higher_is_better else -1
        scores = [sign * row[self.work.monitor] for row in self.history if self.work.monitor in row]
        return [score if math.isfinite(score) else -math.inf for score in scores]

    def _is_best(self, row: Mapping[str, float]) -> bool:
        scores = self._scores()
        return self.work.monitor in row and scores[-1] > max(scores[:-1], default=-math.inf)

    def _stale(self) -> int:
        scores = self._scores()
        return len(scores) - 1 - scores.index(max(scores)) if scores else 0

    @property
    def _best_weights(self) -> Path:
        return self.run / "best.weights.h5"

    @property
    def _state(self) -> tf.train.Checkpoint:
        # Keras hides the counters of dropout from TensorFlow's checkpoints.
        counters = [one.value for one in self.network.variables if not one.dtype.startswith("float")]
        return tf.train.Checkpoint(
            network=self.network, average=self.average, optimizer=self.optimizer, counters=counters
        )

    def _checkpoint(self, best: bool) -> None:
        """Saves all that a resumed run needs; `history.json`, written last, names the checkpoint that is whole."""
        try:
            (self.run / "checkpoints").mkdir(parents=True, exist_ok=True)
            if best:
                part = self.run / "best.part.weights.h5"
                self.average.save_weights(part)
                part.replace(self._best_weights)
            name = f"epoch-{len(self.history)}-{self._begun['step']}"
            saved = self._state.write(str(self.run / "checkpoints" / name))
            record = {"checkpoint": Path(saved).name, "history": self.history, "begun": self._begun}
            write_atomically(self.run / "checkpoints" / "history.json", json.dumps(record).encode())
            for old in (self.run / "checkpoints").glob("epoch-*"):
                if not old.name.startswith(f"{Path(saved).name}."):
                    old.unlink()
            write_history(self.history, self.run)
        except (OSError, tf.errors.OpError) as error:
            reason = one_line(error)
            raise AcneEdgeError(
                f"{self.run}: cannot be saved ({reason}); make room, then --resume goes on from what was saved last"
            ) from error

    def _log(self, row: Mapping[str, float]) -> None:
        """Writes the epoch's figures for TensorBoard."""
        if self._logs is None:
            self._logs = tf.summary.create_file_writer(str(self.run / "tensorboard"))
        with self._logs.as_default(step=int(row["epoch"])):
            for name, value in row.items():
                if name != "epoch":
                    tf.summary.scalar(name, value)
        self._logs.flush()

    def _resume(self, say: Callable[[str], None]) -> None:
        record_file = self._resume_from / "checkpoints" / "history.json"
        if not record_file.exists():
            return
        try:
            record = json.loads(record_file.read_text())
            self._state.read(str(record_file.with_name(record["checkpoint"]))).assert_consumed()
            self.history, self._begun = record["history"], record["begun"]
        except (AssertionError, ValueError, KeyError, TypeError, tf.errors.OpError) as error:
            reason = one_line(error)
            raise AcneEdgeError(
                f"{record_file}: damaged, or of another training ({reason}); begin anew in another --run"
            ) from error
        step = self._begun["step"]
        say(f"resumed after epoch {len(self.history)}" + (f" and {step} steps" if step else ""))
