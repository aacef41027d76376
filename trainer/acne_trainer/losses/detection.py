"""The detector's objective: binary cross-entropy, complete IoU and distribution focal loss.

KerasCV's own objective for this architecture trains poorly (keras-cv issues 2442, 2333, 2522); this one follows the
papers, with YOLOv8's weights.
"""

from __future__ import annotations

from collections.abc import Mapping

import tensorflow as tf

from acne_trainer.distributed import sum_over_replicas
from acne_trainer.losses.box_ops import anchor_points, ciou
from acne_trainer.losses.task_aligned_assigner import task_aligned_assign

BOX_WEIGHT = 7.5
CLASS_WEIGHT = 0.5
DISTRIBUTION_WEIGHT = 1.5
_LEAST_PROBABILITY = 1e-7
"""Keeps the logarithm of a lesion's probability finite where every type's is zero in float32."""


def detection_loss(
    heads: Mapping[str, tf.Tensor],
    true_boxes: tf.Tensor,
    true_classes: tf.Tensor,
    strides: tuple[int, ...],
    bins: int,
    background: tf.Tensor | None = None,
    box_weight: tf.Tensor | None = None,
    possible: tf.Tensor | None = None,
    focal: float = 0.0,
    label_smoothing: float = 0.0,
) -> dict[str, tf.Tensor]:
    """Returns the scalars `loss` (to minimise), `box_loss`, `class_loss` and `dfl_loss`, float32.

    Where several devices share a batch, each returns its summand of the whole batch's losses.

    Args:
        heads: Per stride s, `box_s` `[batch, h, w, 4 * bins]` and `score_s` `[batch, h, w, classes]` logits.
        true_boxes: `[batch, lesions, 4]` float32, `xyxy` pixels; rows of padding have no area.
        true_classes: `[batch, lesions]` int32; the number of classes itself is a lesion of unknown type.
        strides: Pixels a cell, finest first.
        bins: Bins of each side's distance distribution.
        background: `[batch, classes]` float32, 0 to 1, what a class's absence weighs; 0 where it was not looked for.
        box_weight: `[batch, 2]` float32, weight of an image's boxes in `box_loss` and `dfl_loss`, of lesions of known
            type and of unknown type.
        possible: `[batch, classes]` float32, 1 for the types that a lesion of unknown type may be of, else 0.
        focal: Power of |target - probability| that weighs the classification (quality focal loss, Li et al. 2020,
            eq. 3); 0 weighs all alike.
        label_smoothing: Share of each lesion's class that is spread evenly over all classes.
    """
    finest = heads[f"box_{strides[0]}"]
    batch, rows, columns = tf.unstack(tf.shape(finest)[:3])
    centres, cell_strides = anchor_points(rows * strides[0], columns * strides[0], strides)
    distances = tf.concat(
        [tf.reshape(tf.cast(heads[f"box_{s}"], tf.float32), [batch, -1, 4, bins]) for s in strides], axis=1
    )
    classes = heads[f"score_{strides[0]}"].shape[-1]
    logits = tf.concat(
        [tf.reshape(tf.cast(heads[f"score_{s}"], tf.float32), [batch, -1, classes]) for s in strides], axis=1
    )

    sides = tf.linalg.matvec(tf.nn.softmax(distances), tf.range(bins, dtype=tf.float32)) * cell_strides[:, None]
    boxes = tf.concat([centres - sides[..., :2], centres + sides[..., 2:]], axis=-1)
    probabilities = tf.sigmoid(logits)
    # That a cell holds a lesion of any type is the noisy-or of the types: 1 - prod(1 - p), in logs for precision.
    may_be = tf.ones([batch, 1, classes]) if possible is None else tf.cast(possible, tf.float32)[:, None]
    log_none = tf.reduce_sum(tf.math.log_sigmoid(-logits) * may_be, axis=-1)
    any_type = -tf.math.expm1(log_none)
    columns = tf.concat([probabilities, any_type[..., None]], axis=-1)
    target = task_aligned_assign(columns, boxes, centres, true_boxes, true_classes, float(strides[0]))
    typed, untyped = target.scores[..., :classes], target.scores[..., classes]

    strength = tf.reduce_sum(target.scores, axis=-1)
    total = tf.maximum(sum_over_replicas(tf.reduce_sum(strength)), 1.0)

    wanted = typed * (1.0 - label_smoothing) + tf.reduce_sum(typed, -1, keepdims=True) * (label_smoothing / classes)
    crossentropy = tf.nn.sigmoid_cross_entropy_with_logits(wanted, logits)
    if focal:
        crossentropy *= tf.abs(wanted - probabilities) ** focal
    if background is not None:
        crossentropy *= tf.where(typed > 0, 1.0, background[:, None])
    # A cell that owns a lesion of unknown type learns that one of the types is there, not which.
    log_any = tf.math.log(tf.maximum(any_type, _LEAST_PROBABILITY))
    of_untyped = -untyped * log_any - (1.0 - untyped) * log_none
    if focal:
        of_untyped *= tf.abs(untyped - any_type) ** focal
    of_untyped += tf.reduce_sum(crossentropy * (1.0 - may_be), axis=-1)  # the types that it cannot be of
    class_loss = tf.reduce_sum(tf.where(untyped > 0, of_untyped, tf.reduce_sum(crossentropy, axis=-1))) / total

    # Boxes are learnt by the cells that own a lesion only; the rest is not even computed.
    owned = tf.where(strength > 0)
    weight = tf.gather_nd(strength, owned)
    if box_weight is not None:
        is_untyped = tf.cast(tf.gather_nd(untyped, owned) > 0, tf.int32)
        weight *= tf.gather_nd(box_weight, tf.stack([tf.cast(owned[:, 0], tf.int32), is_untyped], axis=1))
    box, true_box = tf.gather_nd(boxes, owned), tf.gather_nd(target.boxes, owned)
    box_loss = tf.reduce_sum(weight * (1.0 - ciou(box, true_box))) / total

    cell = owned[:, 1]
    centre, stride = tf.gather(centres, cell), tf.gather(cell_strides, cell)[:, None]
    true_sides = tf.concat([centre - true_box[:, :2], true_box[:, 2:] - centre], axis=-1) / stride
    dfl = distribution_focal_loss(tf.gather_nd(distances, owned), true_sides)
    dfl_loss = tf.reduce_sum(weight * tf.reduce_mean(dfl, axis=-1)) / total

    loss = BOX_WEIGHT * box_loss + CLASS_WEIGHT * class_loss + DISTRIBUTION_WEIGHT * dfl_loss
    return {"loss": loss, "box_loss": box_loss, "class_loss": class_loss, "dfl_loss": dfl_loss}


def distribution_focal_loss(logits: tf.Tensor, distances: tf.Tensor) -> tf.Tensor:
    """Returns the cross-entropy against the two bins around each true distance (Li et al. 2020, eq. 6).

    Args:
        logits: `[..., bins]`.
        distances: `[...]` in strides; clipped to what the bins can express.
    """
    bins = logits.shape[-1]
    distances = tf.clip_by_value(distances, 0.0, bins - 1 - 0.01)
    below = tf.floor(distances)
    share_above = distances - below
    below = tf.cast(below, tf.int32)

    def crossentropy(labels: tf.Tensor) -> tf.Tensor:
        return tf.nn.sparse_softmax_cross_entropy_with_logits(labels, logits)

    return crossentropy(below) * (1.0 - share_above) + crossentropy(below + 1) * share_above
