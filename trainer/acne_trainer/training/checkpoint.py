"""What a stopped training needs to resume, on disk: weights, optimizer, history, and the best weights so far."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import keras
import tensorflow as tf

from acne_runtime.atomic_write import write_atomically
from acne_runtime.errors import AcneEdgeError, one_line


@dataclass(slots=True)
class Progress:
    """How far a training has come.

    Attributes:
        history: One row of metrics a finished epoch.
        step: Steps done in the epoch under way.
        loss_sums: The sums of its losses over those steps.
        seconds: What they took.
    """

    history: list[dict[str, float]] = field(default_factory=list)
    step: int = 0
    loss_sums: dict[str, float] = field(default_factory=dict)
    seconds: float = 0.0


def write_history(history: Sequence[dict[str, float]], run: Path) -> None:
    """Writes `history.csv`: one row an epoch, a column for every metric that any epoch has."""
    columns = list(dict.fromkeys(name for row in history for name in row))
    text = io.StringIO()
    writer = csv.DictWriter(text, columns)
    writer.writeheader()
    writer.writerows(history)
    write_atomically(run / "history.csv", text.getvalue().encode())


class CheckpointStore:
    """The checkpoints of one run folder; the latest only, and the best weights."""

    def __init__(self, folder: Path, resume_from: Path, state: dict[str, Any], average: keras.Model):
        """Remembers what to save.

        Args:
            folder: Where to write.
            resume_from: The folder whose checkpoint is restored: the same, but for the further workers of a training
                on several machines.
            state: What TensorFlow saves, by name.
            average: The network whose weights may be the best.
        """
        self._folder, self._resume_from = folder, resume_from
        self._state = tf.train.Checkpoint(**state)
        self._average = average

    @property
    def best_weights(self) -> Path:
        """The file of the best weights."""
        return self._folder / "best.weights.h5"

    def save(self, progress: Progress, is_best: bool) -> None:
        """Saves all that a resumed run needs; `history.json`, written last, names the checkpoint that is complete.

        Raises:
            AcneEdgeError: The folder cannot be written to, or is full.
        """
        checkpoints = self._folder / "checkpoints"
        try:
            checkpoints.mkdir(parents=True, exist_ok=True)
            if is_best:
                part = self._folder / "best.part.weights.h5"
                self._average.save_weights(part)
                part.replace(self.best_weights)
            saved = self._state.write(str(checkpoints / f"epoch-{len(progress.history)}-{progress.step}"))
            record = {
                "checkpoint": Path(saved).name,
                "history": progress.history,
                "begun": {"step": progress.step, "sums": progress.loss_sums, "seconds": progress.seconds},
            }
            write_atomically(checkpoints / "history.json", json.dumps(record).encode())
            for old in checkpoints.glob("epoch-*"):
                if not old.name.startswith(f"{Path(saved).name}."):
                    old.unlink()
            write_history(progress.history, self._folder)
        except (OSError, tf.errors.OpError) as error:
            raise AcneEdgeError(
                f"{self._folder}: cannot be saved ({one_line(error)}); make room, then --resume continues from the "
                "last checkpoint"
            ) from error

    def restore(self) -> Progress | None:
        """Restores the latest checkpoint.

        Returns:
            How far the training had come; `None` where there is no checkpoint.

        Raises:
            AcneEdgeError: The checkpoint is corrupt, or of another training.
        """
        file = self._resume_from / "checkpoints" / "history.json"
        if not file.exists():
            return None
        try:
            record = json.loads(file.read_text())
            self._state.read(str(file.with_name(record["checkpoint"]))).assert_consumed()
            begun = record["begun"]
            return Progress(record["history"], begun["step"], begun["sums"], begun["seconds"])
        except (AssertionError, ValueError, KeyError, TypeError, tf.errors.OpError) as error:
            raise AcneEdgeError(
                f"{file}: corrupt, or of another training ({one_line(error)}); start over in another --run"
            ) from error

    def load_best(self) -> None:
        """Loads the best weights into the averaged network."""
        # Where no epoch since the resumption was better, only the folder resumed from has them.
        best = self.best_weights if self.best_weights.exists() else self._resume_from / self.best_weights.name
        self._average.load_weights(best)
