"""Appends box decoding and NMS to the graph, for callers who do no postprocessing of their own."""

from __future__ import annotations

from collections.abc import Mapping

import keras
import numpy as np
import tensorflow as tf

from acne_runtime.manifest import NMS_KINDS, Manifest, OutputSpec


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
        kept, count = tf.raw_ops.NonMaxSuppressionV4(
            boxes=box,
            scores=score,
            max_output_size=manifest.max_detections,
            iou_threshold=manifest.nms_iou,
            score_threshold=threshold / 2,
            pad_to_max_output_size=True,
        )
        real = tf.cast(tf.range(manifest.max_detections) < count, tf.float32)
        outputs = (
            tf.gather(box, kept) * real[:, None],
            tf.gather(score, kept) * real,
            tf.gather(probability, kept) * real[:, None],
            tf.cast(tf.reshape(count, [1]), tf.float32),
        )
        return {kind: tf.expand_dims(output, 0) for kind, output in zip(NMS_KINDS, outputs, strict=True)}


def append_nms(model: keras.Model, manifest: Manifest) -> keras.Model:
    """Returns the model with `DecodeAndSuppress` behind its heads."""
    image = keras.Input(batch_shape=model.inputs[0].shape, name=model.inputs[0].name)
    return keras.Model(image, DecodeAndSuppress(manifest)(model(image)), name=model.name)


def nms_outputs() -> tuple[OutputSpec, ...]:
    """Returns the outputs of such a file."""
    return tuple(OutputSpec(kind, kind) for kind in NMS_KINDS)
