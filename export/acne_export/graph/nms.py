"""Appends box decoding, NMS and box voting to the graph, for callers who do no postprocessing of their own."""

from __future__ import annotations

from collections.abc import Mapping

import keras
import numpy as np
import tensorflow as tf

from acne_runtime.manifest import NMS_KINDS, Manifest, OutputSpec
from acne_runtime.postprocess.box_voting import MAX_VOTERS


class DecodeAndSuppress(keras.layers.Layer):  # type: ignore[misc]
    """Does what `acne_runtime.postprocess` does, in operations that ONNX and TFLite have."""

    def __init__(self, manifest: Manifest):
        super().__init__(name="lesions")
        self.manifest = manifest

    def call(self, heads: Mapping[str, tf.Tensor]) -> dict[str, tf.Tensor]:
        """Returns the tensors that `NMS_KINDS` names, from the raw outputs for one image."""
        manifest, classes = self.manifest, len(self.manifest.classes)
        (threshold,) = manifest.thresholds
        boxes, types = [], []
        for spec in manifest.outputs:
            if spec.kind != "box":
                continue
            rows, columns = manifest.input.height // spec.stride, manifest.input.width // spec.stride
            y, x = np.mgrid[:rows, :columns].reshape(2, -1).astype(np.float32) + np.float32(0.5)
            logits = tf.reshape(heads[spec.name], [rows * columns * 4, manifest.bins])
            # A sum, not a matrix product, whose constants int8 converters would round as if they were weights.
            distances = tf.reduce_sum(tf.nn.softmax(logits) * np.arange(manifest.bins, dtype=np.float32), axis=-1)
            left, top, right, bottom = tf.unstack(tf.reshape(distances, [-1, 4]), axis=-1)
            boxes.append(tf.stack([x - left, y - top, x + right, y + bottom], axis=-1) * float(spec.stride))
            score = next(
                output.name for output in manifest.outputs if output.kind == "score" and output.stride == spec.stride
            )
            types.append(tf.reshape(heads[score], [-1, classes]))
        box, probability = tf.concat(boxes, axis=0), tf.concat(types, axis=0)
        # The lesion score, in the order of `acne_runtime.postprocess.decode.lesion_scores`. One below the threshold
        # counts as zero.
        absent = 1.0 - probability[:, 0]
        for index in range(1, classes):
            absent = absent * (1.0 - probability[:, index])
        lesion = 1.0 - absent
        score = tf.where(lesion >= np.float32(threshold), lesion, 0.0)
        found = self._suppress(box, score, probability)
        if manifest.box_voting_score < 1:
            voted = self._vote(found[0], box, lesion)
            found = self._suppress(voted, found[1], found[2])
        if manifest.nms_containment < 1:
            found = self._suppress(found[0], found[1] * self._not_surrounding(found[0], found[3]), found[2])
        box, score, probability, real = found
        outputs = (box, score, probability, tf.reduce_sum(real, keepdims=True))
        return {kind: tf.expand_dims(output, 0) for kind, output in zip(NMS_KINDS, outputs, strict=True)}

    def _suppress(self, box: tf.Tensor, score: tf.Tensor, probability: tf.Tensor) -> tuple[tf.Tensor, ...]:
        """Returns boxes, scores and probabilities of what is kept, zeros after them, and which rows those are."""
        manifest = self.manifest
        kept, count = tf.raw_ops.NonMaxSuppressionV4(
            boxes=box,
            scores=score,
            max_output_size=manifest.max_detections,
            iou_threshold=manifest.nms_iou,
            score_threshold=manifest.thresholds[0] / 2,
            pad_to_max_output_size=True,
        )
        real = tf.cast(tf.range(manifest.max_detections) < count, tf.float32)
        parts = (box, score, probability)
        rows = (tf.gather(part, kept) * (real if part is score else real[:, None]) for part in parts)
        return (*rows, real)

    def _not_surrounding(self, box: tf.Tensor, real: tf.Tensor) -> tf.Tensor:
        """Returns 0 for boxes that `acne_runtime.postprocess.nms.drop_surrounding` drops, 1 for all others."""
        count = self.manifest.max_detections
        area = _areas(box)
        excess = tf.nn.relu(_overlaps(box, box) - np.float32(self.manifest.nms_containment) * area[:, None])
        larger = tf.cast(area > area[:, None], tf.float32)
        better = np.triu(np.ones((count, count), np.float32), 1)
        inside = tf.reduce_max(excess * larger * better * real[:, None], axis=0)
        return tf.cast(inside <= 0, tf.float32)

    def _vote(self, own: tf.Tensor, boxes: tf.Tensor, scores: tf.Tensor) -> tf.Tensor:
        """Returns the kept boxes as `acne_runtime.postprocess.box_voting` moves them."""
        scores, best = tf.math.top_k(scores, min(MAX_VOTERS, scores.shape[0]))
        boxes = tf.gather(boxes, best)
        overlap = _overlaps(own, boxes)
        iou = overlap / tf.maximum(_areas(own)[:, None] + _areas(boxes) - overlap, 1e-9)
        weight = tf.nn.relu(iou - self.manifest.nms_iou) * tf.nn.relu(scores - self.manifest.box_voting_score)
        total = tf.reduce_sum(weight, axis=1, keepdims=True)
        return tf.where(total > 0, tf.matmul(weight, boxes) / tf.maximum(total, 1e-20), own)


def _overlaps(boxes: tf.Tensor, others: tf.Tensor) -> tf.Tensor:
    """Returns `[n, m]`, the area that each of `[n, 4]` boxes shares with each of `[m, 4]` others."""
    left, top, right, bottom = tf.unstack(boxes[:, None], axis=-1)
    x1, y1, x2, y2 = tf.unstack(others[None], axis=-1)
    width = tf.nn.relu(tf.minimum(right, x2) - tf.maximum(left, x1))
    return width * tf.nn.relu(tf.minimum(bottom, y2) - tf.maximum(top, y1))


def _areas(boxes: tf.Tensor) -> tf.Tensor:
    x1, y1, x2, y2 = tf.unstack(boxes, axis=-1)
    return (x2 - x1) * (y2 - y1)


def append_nms(model: keras.Model, manifest: Manifest) -> keras.Model:
    """Returns the model with `DecodeAndSuppress` behind its heads."""
    image = keras.Input(batch_shape=model.inputs[0].shape, name=model.inputs[0].name)
    return keras.Model(image, DecodeAndSuppress(manifest)(model(image)), name=model.name)


def nms_outputs() -> tuple[OutputSpec, ...]:
    """Returns the outputs of such a file."""
    return tuple(OutputSpec(kind, kind) for kind in NMS_KINDS)
