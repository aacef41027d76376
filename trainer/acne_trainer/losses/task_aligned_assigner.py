"""Which grid cell learns which lesion: task-aligned assignment (TOOD, Feng et al. 2021)."""

from __future__ import annotations

from typing import NamedTuple

import tensorflow as tf

from acne_trainer.losses.box_ops import iou

TOP_K = 10
ALPHA = 0.5
BETA = 6.0
"""Cells a lesion, and the powers of score and overlap in the alignment (TOOD section 3.2; YOLOv8's values)."""


class Assignment(NamedTuple):
    """What every cell is to learn.

    Attributes:
        boxes: `[batch, anchors, 4]` float32, the assigned lesion's box; arbitrary where `scores` is zero.
        scores: `[batch, anchors, classes]` float32, 0 to 1; all zero for background.
    """

    boxes: tf.Tensor
    scores: tf.Tensor


def task_aligned_assign(
    scores: tf.Tensor,
    boxes: tf.Tensor,
    centres: tf.Tensor,
    true_boxes: tf.Tensor,
    true_classes: tf.Tensor,
    smallest_stride: float,
) -> Assignment:
    """Gives each lesion the `TOP_K` cells that align best with it, and each cell at most one lesion.

    The alignment is score^ALPHA * IoU^BETA. It uses IoU, which is never negative, as the paper does; CIoU to an even
    power makes boxes that miss by far look good. A lesion narrower than the finest grid would hold no cell's centre and
    never be learnt, so a cell is a candidate when its centre lies within the box widened to `smallest_stride`.

    Args:
        scores: `[batch, anchors, classes]` predicted probabilities.
        boxes: `[batch, anchors, 4]` predicted boxes, pixels.
        centres: `[anchors, 2]` cell centres, pixels.
        true_boxes: `[batch, lesions, 4]`, pixels; rows of padding have no area.
        true_classes: `[batch, lesions]` int32; any valid class for padding.
        smallest_stride: Width of the finest grid's cells, pixels.

    Returns:
        Targets without gradient.
    """
    class_count, anchor_count = tf.shape(scores)[2], tf.shape(scores)[1]
    real = (true_boxes[..., 2] > true_boxes[..., 0]) & (true_boxes[..., 3] > true_boxes[..., 1])

    middle = (true_boxes[..., :2] + true_boxes[..., 2:]) / 2
    half = tf.maximum((true_boxes[..., 2:] - true_boxes[..., :2]) / 2, smallest_stride / 2)
    inside = tf.reduce_all(tf.abs(centres[None, None] - middle[:, :, None]) <= half[:, :, None], axis=-1)

    # [batch, lesions, anchors] from here on.
    overlap = iou(true_boxes[:, :, None], boxes[:, None])
    class_score = tf.gather(tf.transpose(scores, [0, 2, 1]), true_classes, axis=1, batch_dims=1)
    candidate = tf.cast(inside & real[..., None], tf.float32)
    alignment = candidate * class_score**ALPHA * overlap**BETA

    best, where = tf.math.top_k(alignment, tf.minimum(TOP_K, anchor_count))
    batch, lesions = tf.shape(alignment)[0], tf.shape(alignment)[1]
    rows = tf.reshape(tf.range(batch * lesions), [batch, lesions, 1]) * anchor_count + where
    chosen = tf.scatter_nd(
        tf.reshape(rows, [-1, 1]),
        tf.reshape(tf.cast(best > 0, tf.float32), [-1]),
        [batch * lesions * anchor_count],
    )
    chosen = tf.reshape(chosen, tf.shape(alignment))

    # A cell wanted by several lesions goes to the one it overlaps most.
    owner = tf.argmax(overlap * chosen, axis=1, output_type=tf.int32)
    chosen *= tf.one_hot(owner, lesions, axis=1)

    # The best cell of a lesion is to score as high as its best overlap, the others in proportion (TOOD eq. 10).
    alignment *= chosen
    strongest = tf.reduce_max(alignment, axis=-1, keepdims=True)
    best_overlap = tf.reduce_max(overlap * chosen, axis=-1, keepdims=True)
    strength = tf.reduce_max(tf.math.divide_no_nan(alignment, strongest) * best_overlap, axis=1)

    owner_class = tf.gather(true_classes, owner, batch_dims=1)
    target_scores = tf.one_hot(owner_class, class_count) * strength[..., None]
    target_boxes = tf.gather(true_boxes, owner, batch_dims=1)
    return Assignment(tf.stop_gradient(target_boxes), tf.stop_gradient(target_scores))
