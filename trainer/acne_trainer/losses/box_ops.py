"""Box arithmetic of the detector's training, on TensorFlow tensors; boxes are `xyxy` in pixels."""

from __future__ import annotations

import math

import tensorflow as tf

_TINY = 1e-7


def anchor_points(height: tf.Tensor, width: tf.Tensor, strides: tuple[int, ...]) -> tuple[tf.Tensor, tf.Tensor]:
    """Returns the centres `[anchors, 2]` (x, y in pixels) of all grid cells and their strides `[anchors]`, float32.

    Cells come in the order of the heads' own layout: stride by stride, row by row.
    """
    centres, cell_strides = [], []
    for stride in strides:
        y = (tf.range(tf.cast(height // stride, tf.float32)) + 0.5) * float(stride)
        x = (tf.range(tf.cast(width // stride, tf.float32)) + 0.5) * float(stride)
        grid_y, grid_x = tf.meshgrid(y, x, indexing="ij")
        centres.append(tf.reshape(tf.stack([grid_x, grid_y], axis=-1), [-1, 2]))
        cell_strides.append(tf.fill([tf.shape(centres[-1])[0]], float(stride)))
    return tf.concat(centres, axis=0), tf.concat(cell_strides, axis=0)


def _sides(boxes: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    return tf.maximum(boxes[..., 2] - boxes[..., 0], 0.0), tf.maximum(boxes[..., 3] - boxes[..., 1], 0.0)


def iou(a: tf.Tensor, b: tf.Tensor) -> tf.Tensor:
    """Returns the intersection over union of boxes `[..., 4]`, 0 to 1; leading dimensions broadcast."""
    width = tf.maximum(tf.minimum(a[..., 2], b[..., 2]) - tf.maximum(a[..., 0], b[..., 0]), 0.0)
    height = tf.maximum(tf.minimum(a[..., 3], b[..., 3]) - tf.maximum(a[..., 1], b[..., 1]), 0.0)
    (a_width, a_height), (b_width, b_height) = _sides(a), _sides(b)
    shared = width * height
    return shared / (a_width * a_height + b_width * b_height - shared + _TINY)


def ciou(a: tf.Tensor, b: tf.Tensor) -> tf.Tensor:
    """Returns CIoU of boxes `[..., 4]`, -1.5 to 1: IoU less distance less aspect mismatch (Zheng et al. 2020)."""
    (a_width, a_height), (b_width, b_height) = _sides(a), _sides(b)
    hull_width = tf.maximum(a[..., 2], b[..., 2]) - tf.minimum(a[..., 0], b[..., 0])
    hull_height = tf.maximum(a[..., 3], b[..., 3]) - tf.minimum(a[..., 1], b[..., 1])
    diagonal = hull_width**2 + hull_height**2 + _TINY
    offset_x = (a[..., 0] + a[..., 2] - b[..., 0] - b[..., 2]) / 2
    offset_y = (a[..., 1] + a[..., 3] - b[..., 1] - b[..., 3]) / 2
    overlap = iou(a, b)
    aspect = tf.atan(b_width / (b_height + _TINY)) - tf.atan(a_width / (a_height + _TINY))
    mismatch = 4 / math.pi**2 * aspect**2
    weight = tf.stop_gradient(mismatch / (1 - overlap + mismatch + _TINY))
    return overlap - (offset_x**2 + offset_y**2) / diagonal - weight * mismatch
