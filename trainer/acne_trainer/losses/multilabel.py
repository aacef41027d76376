"""The multi-label objective: binary cross-entropy."""

from __future__ import annotations

import tensorflow as tf

from acne_trainer.distributed import sum_over_replicas


def multilabel_loss(
    targets: tf.Tensor,
    probabilities: tf.Tensor,
    unknown: tf.Tensor | None = None,
    focal: float = 0.0,
    label_smoothing: float = 0.0,
) -> dict[str, tf.Tensor]:
    """Returns `loss`: the mean binary cross-entropy, or this device's summand of it where several share the batch.

    Args:
        targets: `[batch, classes]` float32, 0 or 1.
        probabilities: `[batch, classes]`, 0 to 1.
        unknown: `[batch, classes]` float32, 1 where a class was not looked for: its absence costs nothing.
        focal: Power of 1 - (probability of the truth) that weighs each answer (Lin et al. 2017); 0 weighs all alike.
        label_smoothing: Share of each label that goes to its opposite and itself in equal parts.
    """
    probabilities = tf.clip_by_value(tf.cast(probabilities, tf.float32), 1e-7, 1 - 1e-7)
    wanted = targets * (1.0 - label_smoothing) + 0.5 * label_smoothing
    crossentropy = -wanted * tf.math.log(probabilities) - (1.0 - wanted) * tf.math.log1p(-probabilities)
    if focal:
        crossentropy *= tf.abs(targets - probabilities) ** focal
    if unknown is not None:
        crossentropy *= 1.0 - unknown * (1.0 - targets)
    count = sum_over_replicas(tf.cast(tf.size(targets), tf.float32))
    return {"loss": tf.reduce_sum(crossentropy) / count}
