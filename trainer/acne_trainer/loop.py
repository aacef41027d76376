"""The training loop: steps, validation, averaging, checkpoints. It knows neither photographs nor boxes."""

from __future__ import annotations

import csv
import io
import json
import math
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras
import tensorflow as tf

from acne_runtime import files
from acne_runtime.errors import AcneEdgeError
from acne_trainer.settings import Settings

CLIP_NORM = 10.0
"""Largest global gradient norm, as in the YOLOv8 recipe."""


@dataclass(frozen=True, slots=True)
class Work:
    """What one kind of model brings to the loop.

    Attributes:
        network: The model in its training form.
        steps: Steps in an epoch.
        batches: Epoch number to `steps` batches of (images, targets).
        loss: (network outputs, targets) to scalar losses; the one named `loss` is minimised.
        validate: The network to scores on the validation photographs.
        monitor: The score that decides which epoch was best.
        higher_is_better: Direction of `monitor`.
    """

    network: keras.Model
    steps: int
    batches: Callable[[int], Iterable[tuple[Any, Any]]]
    loss: Callable[[Any, Any], Mapping[str, tf.Tensor]]
    validate: Callable[[keras.Model], Mapping[str, float]]
    monitor: str
    higher_is_better: bool


class _Schedule(keras.optimizers.schedules.LearningRateSchedule):  # type: ignore[misc]
    """Linear warm-up, then half a cosine down to `final_rate` of the peak."""

    def __init__(self, settings: Settings, steps: int):
        self.settings, self.total = settings, settings.epochs * steps

    def __call__(self, step: tf.Tensor) -> tf.Tensor:
        step = tf.cast(step, tf.float32)
        warmup = tf.minimum(1.0, (step + 1.0) / max(1.0, float(self.settings.warmup_steps)))
        cosine = 0.5 * (1.0 + tf.cos(math.pi * tf.minimum(1.0, step / self.total)))
        floor = self.settings.final_rate
        return self.settings.learning_rate * warmup * (floor + (1.0 - floor) * cosine)


class Loop:
    """Trains a network in a run folder; a second `Loop` on the same folder goes on where the first was stopped."""

    def __init__(self, work: Work, settings: Settings, run: Path):
        self.work, self.settings, self.run = work, settings, run
        self.network = work.network
        # Averages of *all* variables: averaged weights with live batch-norm statistics do not belong together.
        self.average = keras.models.clone_model(self.network)
        self.average.set_weights(self.network.get_weights())
        self.optimizer = keras.optimizers.Adam(_Schedule(settings, work.steps), global_clipnorm=CLIP_NORM)
        self.optimizer.build(self.network.trainable_variables)
        self.history: list[dict[str, float]] = []
        self._step = tf.function(self._train_step, reduce_retracing=True)

    def _train_step(self, images: tf.Tensor, targets: Any) -> Mapping[str, tf.Tensor]:
        with tf.GradientTape() as tape:
            losses = self.work.loss(self.network(images, training=True), targets)
        variables = self.network.trainable_variables
        self.optimizer.apply_gradients(zip(tape.gradient(losses["loss"], variables), variables, strict=True))
        step = tf.cast(self.optimizer.iterations, tf.float32)
        # (1 + step) / (10 + step) lets the average follow quickly at first (tf.train.ExponentialMovingAverage).
        decay = tf.minimum(self.settings.average_decay, (1.0 + step) / (10.0 + step))
        for slow, live in zip(self.average.variables, self.network.variables, strict=True):
            if slow.dtype.startswith("float"):  # dropout's seed counters are not averaged
                slow.assign(decay * slow + (1.0 - decay) * live)
        return losses

    def fit(self, say: Callable[[str], None]) -> keras.Model:
        """Trains until the epochs or the patience run out.

        Args:
            say: Gets one line of progress an epoch.

        Returns:
            The averaged network with the weights of the best validation.

        Raises:
            AcneEdgeError: The loss is no longer a number; the best model so far stays in the run folder.
        """
        self._resume(say)
        started, first = time.monotonic(), len(self.history)
        for epoch in range(first, self.settings.epochs):
            if self._stale() >= self.settings.patience:
                say(f"stopped: {self.work.monitor} has not improved for {self.settings.patience} validations")
                break
            row = {"epoch": epoch + 1.0, **self._run_epoch(epoch)}
            if (epoch + 1) % self.settings.validate_every == 0 or epoch + 1 == self.settings.epochs:
                row |= self.work.validate(self.average)
            self.history.append(row)
            self._checkpoint(best=self._is_best(row))
            left = (time.monotonic() - started) / (epoch + 1 - first) * (self.settings.epochs - epoch - 1)
            figures = "  ".join(f"{name} {value:.4g}" for name, value in row.items() if name != "epoch")
            say(f"epoch {epoch + 1}/{self.settings.epochs}  {figures}  ({left / 60:.0f} min left)")
        self.average.load_weights(self._best_weights)
        return self.average

    def _run_epoch(self, epoch: int) -> dict[str, float]:
        started = time.monotonic()
        sums: dict[str, float] = {}
        for step, (images, targets) in enumerate(self.work.batches(epoch), start=1):
            losses = {name: float(value) for name, value in self._step(images, targets).items()}
            if not math.isfinite(losses["loss"]):
                raise AcneEdgeError(
                    f"the loss became {losses['loss']} in epoch {epoch + 1}, batch {step}; the best model so far is in "
                    f"{self.run}; lower --learning-rate and start again"
                )
            sums = {name: sums.get(name, 0.0) + value for name, value in losses.items()}
        return {name: value / step for name, value in sums.items()} | {"seconds": time.monotonic() - started}

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
        if best:
            part = self.run / "best.part.weights.h5"
            self.average.save_weights(part)
            part.replace(self._best_weights)
        saved = self._state.write(str(self.run / "checkpoints" / f"epoch-{len(self.history)}"))
        record = {"checkpoint": Path(saved).name, "history": self.history}
        files.write_atomically(self.run / "checkpoints" / "history.json", json.dumps(record).encode())
        for old in (self.run / "checkpoints").glob("epoch-*"):
            if not old.name.startswith(f"{Path(saved).name}."):
                old.unlink()
        self._write_history()

    def _write_history(self) -> None:
        columns = list(dict.fromkeys(name for row in self.history for name in row))
        text = io.StringIO()
        writer = csv.DictWriter(text, columns)
        writer.writeheader()
        writer.writerows(self.history)
        files.write_atomically(self.run / "history.csv", text.getvalue().encode())

    def _resume(self, say: Callable[[str], None]) -> None:
        record_file = self.run / "checkpoints" / "history.json"
        if not record_file.exists():
            return
        record = json.loads(record_file.read_text())
        self._state.read(str(record_file.with_name(record["checkpoint"]))).assert_consumed()
        self.history = record["history"]
        say(f"resumed after epoch {len(self.history)}")
