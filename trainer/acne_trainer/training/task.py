"""What a kind of model brings to the training loop."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Protocol

import keras
import tensorflow as tf


class Task(Protocol):
    """A network and what it is trained and validated on.

    Attributes:
        network: The model in its training form, made within the strategy's scope.
        steps: Steps in an epoch.
        monitor: The validation metric that decides which epoch is the best.
        higher_is_better: Direction of `monitor`.
        layer_rates: Factor of the learning rate by layer name; 1 for layers that are not named.
    """

    network: keras.Model
    steps: int
    monitor: str
    higher_is_better: bool
    layer_rates: Mapping[str, float]

    def batches(self, epoch: int, first: int = 0) -> Iterable[tuple[Any, Any]]:
        """Yields the batches (images, targets) of an epoch from step `first` on: arrays of equally many rows."""

    def loss(self, outputs: Any, targets: Any) -> Mapping[str, tf.Tensor]:
        """Returns scalar losses; the one named `loss` is minimised.

        Where several devices share a batch, each computes its own summand: they add up to the losses of the batch.
        """

    def validate(self, network: keras.Model) -> Mapping[str, float]:
        """Returns the metrics of a network on the validation images."""
