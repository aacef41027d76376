"""ONNX files through tf2onnx."""

from __future__ import annotations

import keras
import onnx
import tensorflow as tf
import tf2onnx

from acne_runtime.manifest import METADATA_KEY, Manifest

OPSET = 17
"""The newest operator set that every ONNX Runtime since 1.12 reads."""


def float32_onnx(model: keras.Model) -> bytes:
    """Converts a simplified model with float32 arithmetic and a uint8 input, cast inside."""
    spec = tf.TensorSpec(model.inputs[0].shape, tf.uint8, name=model.inputs[0].name)

    @tf.function(input_signature=[spec])  # type: ignore[untyped-decorator]
    def answer(image: tf.Tensor) -> dict[str, tf.Tensor]:
        outputs: dict[str, tf.Tensor] = model(tf.cast(image, tf.float32), training=False)
        return outputs

    converted, _ = tf2onnx.convert.from_function(answer, input_signature=[spec], opset=OPSET)
    onnx.checker.check_model(converted)
    return bytes(converted.SerializeToString(deterministic=True))


def onnx_with_manifest(file: bytes, manifest: Manifest) -> bytes:
    """Returns the ONNX file with the manifest in its `metadata_props`."""
    model = onnx.load_from_string(file)
    onnx.helper.set_model_props(model, {METADATA_KEY: manifest.to_json()})
    return bytes(model.SerializeToString(deterministic=True))
