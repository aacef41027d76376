"""The optimizer: Adam or RMSprop, clipped, on a schedule, on one device or several."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from acne_trainer.config import TrainConfig

CLIP_NORM = 10.0
"""Largest global gradient norm, as in the YOLOv8 recipe."""


class Schedule(keras.optimizers.schedules.LearningRateSchedule):  # type: ignore[misc]
    """Linear warm-up, then half a cosine down to `final_rate` of the peak."""

    def __init__(self, settings: TrainConfig, steps: int):
        self.settings, self.total = settings, settings.epochs * steps

    def __call__(self, step: tf.Tensor) -> tf.Tensor:
        """Returns the learning rate at a step."""
        step = tf.cast(step, tf.float32)
        warmup = tf.minimum(1.0, (step + 1.0) / max(1.0, float(self.settings.warmup_steps)))
        cosine = 0.5 * (1.0 + tf.cos(math.pi * tf.minimum(1.0, step / self.total)))
        floor = self.settings.final_rate
        return self.settings.learning_rate * warmup * (floor + (1.0 - floor) * cosine)


def _same_rate(_: Any) -> float:
    return 1.0


class _OfSums:
    """Takes gradients that are summed over all devices; Keras would clip each device's own and sum then."""

    def _all_reduce_sum_gradients(self, grads_and_vars: Any) -> Any:
        return list(grads_and_vars)


class _RatePerVariable:
    """Has a learning rate per variable: `rate_factor` tells how many times the schedule's.

    The update is scaled, not the gradient: Adam and RMSprop divide by the gradient's own size, so that a scaled
    gradient changes nothing.
    """

    rate_factor: Callable[[Any], float] = staticmethod(_same_rate)

    def build(self, variables: list[Any]) -> None:
        super().build(variables)  # type: ignore[misc]
        # An array, since Keras would write a list into the checkpoints.
        self._factors = np.array([self.rate_factor(variable) for variable in variables])

    def update_step(self, gradient: Any, variable: Any, learning_rate: Any) -> None:
        factor = float(self._factors[self._get_variable_index(variable)])  # type: ignore[attr-defined]
        super().update_step(gradient, variable, learning_rate * factor)  # type: ignore[misc]


class _Adam(_RatePerVariable, _OfSums, keras.optimizers.Adam):  # type: ignore[misc]
    pass


class _RmsProp(_RatePerVariable, _OfSums, keras.optimizers.RMSprop):  # type: ignore[misc]
    pass


def make_optimizer(
    settings: TrainConfig, steps: int, rate_factor: Callable[[Any], float] = _same_rate
) -> keras.optimizers.Optimizer:
    """Returns the optimizer of a training of `steps` steps an epoch, with loss scaling where float16 needs it.

    It is to be given gradients summed over all devices.

    Args:
        settings: The training's.
        steps: Steps in an epoch.
        rate_factor: From a Keras variable to the factor on its learning rate.
    """
    kind = {"adam": _Adam, "rmsprop": _RmsProp}[settings.optimizer]
    optimizer = kind(Schedule(settings, steps), global_clipnorm=CLIP_NORM, name=settings.optimizer)
    optimizer.rate_factor = rate_factor
    if settings.precision == "mixed_float16":  # small gradients would be zero in float16
        return keras.optimizers.LossScaleOptimizer(optimizer)
    return optimizer
