"""Exponential moving average of a network's weights."""

from __future__ import annotations

import keras
import tensorflow as tf

from acne_runtime.backends.keras import copy_weights


class ExponentialMovingAverage:
    """A copy of a network whose variables follow those being trained.

    Attributes:
        network: The averaged network; the trained network itself where the decay is 0.
    """

    def __init__(self, network: keras.Model, decay: float):
        """Copies the network.

        Args:
            network: The network being trained.
            decay: Decay a step, 0 to below 1.
        """
        self._decay = decay
        self._strategy = tf.distribute.get_strategy()
        # Averages of *all* variables: averaged weights with live batch-norm statistics do not belong together.
        self.network = network
        if decay:
            self.network = keras.models.clone_model(network)
            copy_weights(network, self.network)
        self._pairs = [
            pair
            for layer in network.layers
            if layer.trainable  # what is frozen stays as it is, to the last bit
            for pair in zip(self.network.get_layer(layer.name).variables, layer.variables, strict=True)
            if pair[0].dtype.startswith("float")  # dropout's seed counters are not averaged
        ]

    def update(self, step: tf.Tensor) -> None:
        """Moves the averages towards the live variables.

        Args:
            step: Number of steps trained, an integer scalar.
        """
        if not self._decay:
            return
        step = tf.cast(step, tf.float32)
        # (1 + step) / (10 + step) lets the average follow quickly at first (tf.train.ExponentialMovingAverage).
        decay = tf.minimum(self._decay, (1.0 + step) / (10.0 + step))
        for average, live in self._pairs:
            self._strategy.extended.update(
                average.value,
                lambda old, new: old.assign(decay * old + (1.0 - decay) * new),
                args=(live.value,),
            )
