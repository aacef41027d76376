"""The training loop. It knows neither images nor boxes."""

from __future__ import annotations

import logging
import math
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import keras
import tensorflow as tf

from acne_runtime.errors import AcneEdgeError
from acne_trainer.config import TrainConfig
from acne_trainer.distributed import any_worker, is_chief, per_replica, sum_over_replicas
from acne_trainer.training.checkpoint import CheckpointStore, Progress
from acne_trainer.training.early_stopping import EarlyStopping
from acne_trainer.training.ema import ExponentialMovingAverage
from acne_trainer.training.errors import StoppedError
from acne_trainer.training.optimizer import make_optimizer
from acne_trainer.training.task import Task

logger = logging.getLogger(__name__)


def _show_nothing(_: str) -> None:
    """Shows no progress."""


def _never() -> bool:
    return False


class Trainer:
    """Trains a network in a run folder; a second `Trainer` on the same folder resumes where the first was stopped.

    Attributes:
        network: The network being trained.
        average: Its averaged weights, which are validated and saved; the same network without averaging.
        optimizer: What applies the gradients.
    """

    def __init__(self, task: Task, settings: TrainConfig, run: Path):
        self._task, self._settings = task, settings
        self._strategy = tf.distribute.get_strategy()
        # Every worker saves, since saving may need all of them; but only the chief's files are kept.
        self._elsewhere = None if is_chief(self._strategy) else tempfile.TemporaryDirectory()
        self._run = run if self._elsewhere is None else Path(self._elsewhere.name)
        self.network = task.network
        self._ema = ExponentialMovingAverage(self.network, settings.average_decay)
        self.average = self._ema.network
        self.optimizer = make_optimizer(settings, task.steps, self._rate_factor())
        self.optimizer.build(self.network.trainable_variables)
        self._early_stopping = EarlyStopping(task.monitor, task.higher_is_better, settings.patience)
        # Keras hides the counters of dropout from TensorFlow's checkpoints.
        counters = [variable.value for variable in self.network.variables if not variable.dtype.startswith("float")]
        state = {"network": self.network, "average": self.average, "optimizer": self.optimizer, "counters": counters}
        self._checkpoints = CheckpointStore(self._run, run, state, self.average)
        self._progress = Progress()
        self.train_step = tf.function(self._distributed_step, reduce_retracing=True, jit_compile=settings.jit or None)
        self._logs: tf.summary.SummaryWriter | None = None

    @property
    def history(self) -> list[dict[str, float]]:
        """One row of metrics a finished epoch."""
        return self._progress.history

    def fit(self, progress: Callable[[str], None] = _show_nothing, stopped: Callable[[], bool] = _never) -> keras.Model:
        """Trains until the epochs or the patience run out; each epoch is logged.

        Args:
            progress: Gets a line a step, to be shown over the one before.
            stopped: Called after every step; once it returns true, everything is saved and the training ends.

        Returns:
            The averaged network with the weights of the best validation.

        Raises:
            AcneEdgeError: The loss is no longer finite, or nothing can be saved; the best model so far stays in the run
                folder.
            StoppedError: `stopped` returned true.
        """
        self._resume()
        epochs = self._settings.epochs
        remaining = _RemainingTime(epochs, self._task.steps, len(self.history) + self._progress.step / self._task.steps)
        for epoch in range(len(self.history), epochs):
            if self._early_stopping.is_exhausted(self.history):
                patience = self._settings.patience
                logger.info("stopped: %s has not improved for %d validations", self._task.monitor, patience)
                break
            row = {"epoch": epoch + 1.0, **self._train_epoch(epoch, remaining, progress, stopped)}
            if (epoch + 1) % self._settings.validate_every == 0 or epoch + 1 == epochs:
                row |= self._task.validate(self.average)
            self.history.append(row)
            self._checkpoints.save(self._progress, self._early_stopping.is_best(self.history))
            self._write_summary(row)
            metrics = "  ".join(f"{name} {value:.4g}" for name, value in row.items() if name != "epoch")
            logger.info("epoch %d/%d  %s  (%s)", epoch + 1, epochs, metrics, remaining(epoch, self._task.steps))
        self._checkpoints.load_best()
        return self.average

    def _train_epoch(
        self,
        epoch: int,
        remaining: _RemainingTime,
        progress: Callable[[str], None],
        stopped: Callable[[], bool],
    ) -> dict[str, float]:
        done, steps = self._progress, self._task.steps
        started, sums = time.monotonic() - done.seconds, dict(done.loss_sums)
        for step, batch in enumerate(self._task.batches(epoch, done.step), start=done.step + 1):
            tensors = self.train_step(*per_replica(self._strategy, batch))
            losses = {name: float(value) for name, value in tensors.items()}
            if not math.isfinite(losses["loss"]):
                raise AcneEdgeError(
                    f"the loss became {losses['loss']} in epoch {epoch + 1}, batch {step}; {self._way_out(epoch)}"
                )
            sums = {name: sums.get(name, 0.0) + value for name, value in losses.items()}
            progress(
                f"epoch {epoch + 1}/{self._settings.epochs}  step {step}/{steps}  "
                f"loss {sums['loss'] / step:.4g}  ({remaining(epoch, step)})"
            )
            if step < steps and any_worker(self._strategy, stopped()):
                self._progress = Progress(self.history, step, sums, time.monotonic() - started)
                self._checkpoints.save(self._progress, is_best=False)
                raise StoppedError(f"stopped in epoch {epoch + 1} after step {step} of {steps}")
        if sums["loss"] == 0:  # not one batch had anything to learn: the weights are so large that all is saturated
            raise AcneEdgeError(f"the loss was exactly 0 throughout epoch {epoch + 1}; {self._way_out(epoch)}")
        self._progress = Progress(self.history)
        return {name: value / steps for name, value in sums.items()} | {"seconds": time.monotonic() - started}

    def _distributed_step(self, images: tf.Tensor, targets: Any) -> Mapping[str, tf.Tensor]:
        losses: Mapping[str, tf.Tensor] = self._strategy.run(self._replica_step, (images, targets))
        if self._strategy.num_replicas_in_sync > 1:
            losses = {
                name: self._strategy.reduce(tf.distribute.ReduceOp.SUM, value, axis=None)
                for name, value in losses.items()
            }
        self._ema.update(self.optimizer.iterations.value)
        return losses

    def _replica_step(self, images: tf.Tensor, targets: Any) -> Mapping[str, tf.Tensor]:
        variables = self.network.trainable_variables
        with tf.GradientTape() as tape:
            losses = self._task.loss(self.network(images, training=True), targets)
            scaled = self.optimizer.scale_loss(losses["loss"])
        # Summed before they are clipped, or found infinite: all devices then do the same.
        gradients = [sum_over_replicas(gradient) for gradient in tape.gradient(scaled, variables)]
        self.optimizer.apply(gradients, variables)
        return losses

    def _rate_factor(self) -> Callable[[keras.Variable], float]:
        """Returns the factor of each variable's learning rate."""
        rates = {
            id(variable): self._task.layer_rates.get(layer.name, 1.0)
            for layer in self.network.layers
            for variable in layer.variables
        }
        return lambda variable: rates.get(id(variable), 1.0)

    def _resume(self) -> None:
        restored = self._checkpoints.restore()
        if restored is not None:
            self._progress = restored
            steps = f" and {restored.step} steps" if restored.step else ""
            logger.info("resumed after epoch %d%s", len(restored.history), steps)

    def _way_out(self, epochs: int) -> str:
        start_over = "lower --learning-rate and start over in another --run"
        if not self._checkpoints.best_weights.exists():
            return start_over
        keep = f"acne-train fit {self._settings.model} --run {self._run} --resume --epochs {epochs}"
        return f"{keep} finishes with the best model so far; or {start_over}"

    def _write_summary(self, row: Mapping[str, float]) -> None:
        """Writes the epoch's metrics for TensorBoard."""
        if self._logs is None:
            self._logs = tf.summary.create_file_writer(str(self._run / "tensorboard"))
        with self._logs.as_default(step=int(row["epoch"])):
            for name, value in row.items():
                if name != "epoch":
                    tf.summary.scalar(name, value)
        self._logs.flush()


class _RemainingTime:
    """Estimates the time left from the speed since the training began or resumed."""

    def __init__(self, epochs: int, steps: int, first: float):
        self._epochs, self._steps, self._first = epochs, steps, first
        self._started = time.monotonic()

    def __call__(self, epoch: int, step: int) -> str:
        done = epoch + step / self._steps
        seconds = (time.monotonic() - self._started) / (done - self._first) * (self._epochs - done)
        return f"{seconds / 60:.0f} min left"
