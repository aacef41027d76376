"""ONNX files through tf2onnx."""

from __future__ import annotations

import keras
import onnx
import tensorflow as tf
import tf2onnx
from onnxruntime.transformers.float16 import convert_float_to_float16

from acne_export.graph.fold import Finish, unchanged
from acne_export.onnx_export.canonical import canonicalize
from acne_export.onnx_export.layout import optimize_layout
from acne_export.onnx_export.quantize import quantize_qdq
from acne_export.quantization.fake_quant import insert_fake_quant
from acne_export.recipe import Recipe
from acne_export.run_folder import Ranges
from acne_runtime.manifest import METADATA_KEY, Manifest

OPSET = 17
"""The newest operator set that every ONNX Runtime since 1.12 reads."""


def float32_onnx(model: keras.Model, recipe: Recipe, ranges: Ranges, finish: Finish = unchanged) -> bytes:
    """Converts a simplified model with float32 arithmetic."""
    return _file(_graph(finish(model), recipe))


def float16_onnx(model: keras.Model, recipe: Recipe, ranges: Ranges, finish: Finish = unchanged) -> bytes:
    """Converts a simplified model to float16 weights and arithmetic; outputs stay float32."""
    # In canonical order: the conversion names what it adds by where it stands.
    return _file(convert_float_to_float16(canonicalize(_graph(finish(model), recipe)), keep_io_types=True))


def int8_onnx(model: keras.Model, recipe: Recipe, ranges: Ranges, finish: Finish = unchanged) -> bytes:
    """Converts a simplified model to int8 weights and uint8 activations in QDQ form; outputs stay float32."""
    return _file(quantize_qdq(_graph(finish(insert_fake_quant(model, ranges)), recipe)))


def embed_manifest_in_onnx(file: bytes, manifest: Manifest) -> bytes:
    """Returns the ONNX file with the manifest in its `metadata_props`."""
    model = onnx.load_from_string(file)
    onnx.helper.set_model_props(model, {METADATA_KEY: manifest.to_json()})
    return bytes(model.SerializeToString(deterministic=True))


def _graph(model: keras.Model, recipe: Recipe) -> onnx.ModelProto:
    """Converts what is in the graph already, the input cast inside."""
    dtype = tf.as_dtype(recipe.input)
    spec = tf.TensorSpec(model.inputs[0].shape, dtype, name=model.inputs[0].name)

    @tf.function(input_signature=[spec])  # type: ignore[untyped-decorator]
    def call(image: tf.Tensor) -> dict[str, tf.Tensor]:
        outputs: dict[str, tf.Tensor] = model(tf.cast(image, tf.float32), training=False)
        return outputs

    converted, _ = tf2onnx.convert.from_function(call, input_signature=[spec], opset=OPSET)
    return optimize_layout(converted)


def _file(model: onnx.ModelProto) -> bytes:
    model = canonicalize(model)
    onnx.checker.check_model(model)
    return bytes(model.SerializeToString(deterministic=True))
