"""Box decoding and suppression inside the graph, for callers who want no postprocessing of their own."""

from __future__ import annotations

from collections.abc import Mapping

import keras
import numpy as np
import tensorflow as tf

from acne_runtime.manifest import NMS_KINDS, Manifest, OutputSpec


class DecodeAndSuppress(keras.layers.Layer):  # type: ignore[misc]
    """What `acne_runtime.postprocess` does, in operations that ONNX and TFLite have."""

    def __init__(self, manifest: Manifest):
        super().__init__(name="lesions")
        self.manifest = manifest

    def call(self, heads: Mapping[str, tf.Tensor]) -> dict[str, tf.Tensor]:
        """Returns the tensors that `NMS_KINDS` names, from the raw heads of one photograph."""
        manifest, classes = self.manifest, len(self.manifest.classes)
        (threshold,) = manifest.thresholds
        boxes, types = [], []
        for spec in manifest.outputs:
            if spec.kind != "box":
                continue
            rows, columns = manifest.input.height // spec.stride, manifest.input.width // spec.stride
            y, x = np.mgrid[:rows, :columns].reshape(2, -1).astype(np.float32) + np.float32(0.5)
            logits = tf.reshape(heads[spec.name], [rows * columns * 4, manifest.bins])
            # A sum, no matrix product: int8 converters would round its constants as if they were weights.
            sides = tf.reduce_sum(tf.nn.softmax(logits) * np.arange(manifest.bins, dtype=np.float32), axis=-1)
            left, top, right, bottom = tf.unstack(tf.reshape(sides, [-1, 4]), axis=-1)
            boxes.append(tf.stack([x - left, y - top, x + right, y + bottom], axis=-1) * float(spec.stride))
            score = next(one.name for one in manifest.outputs if one.kind == "score" and one.stride == spec.stride)
            types.append(tf.reshape(heads[score], [-1, classes]))
        box, probability = tf.concat(boxes, axis=0), tf.concat(types, axis=0)
        # The lesion score, in the order of `acne_runtime.postprocess.decode.lesion_scores`. One below the threshold
        # counts as none.
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
        answers = (
            tf.gather(box, kept) * real[:, None],
            tf.gather(score, kept) * real,
            tf.gather(probability, kept) * real[:, None],
            tf.cast(tf.reshape(count, [1]), tf.float32),
        )
        return {kind: tf.expand_dims(one, 0) for kind, one in zip(NMS_KINDS, answers, strict=True)}


def with_nms(model: keras.Model, manifest: Manifest) -> keras.Model:
    """Returns the model with `DecodeAndSuppress` behind its heads."""
    image = keras.Input(batch_shape=model.inputs[0].shape, name=model.inputs[0].name)
    return keras.Model(image, DecodeAndSuppress(manifest)(model(image)), name=model.name)


def nms_outputs() -> tuple[OutputSpec, ...]:
    """Returns the outputs of such a file."""
    return tuple(OutputSpec(kind, kind) for kind in NMS_KINDS)
