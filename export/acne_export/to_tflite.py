"""TFLite files through TensorFlow's converter."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import keras
import tensorflow as tf
from tensorflow.lite.tools import flatbuffer_utils

from acne_export.fake_quant import with_ranges
from acne_export.run_folder import Ranges
from acne_runtime.manifest import METADATA_KEY, Manifest


def float32_tflite(model: keras.Model) -> bytes:
    """Converts a simplified model with float32 arithmetic and a uint8 input, cast inside."""
    with _saved(model, tf.uint8) as folder:
        return bytes(tf.lite.TFLiteConverter.from_saved_model(str(folder)).convert())


def int8_tflite(model: keras.Model, ranges: Ranges) -> bytes:
    """Converts a simplified model to int8 weights and activations, uint8 input, float32 outputs.

    Args:
        model: The simplified model.
        ranges: The range of every activation.
    """
    with _saved(with_ranges(model, ranges), tf.float32) as folder:
        converter = tf.lite.TFLiteConverter.from_saved_model(str(folder))
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
        converter.inference_input_type = tf.uint8
        return bytes(converter.convert())


def tflite_with_manifest(file: bytes, manifest: Manifest) -> bytes:
    """Returns the TFLite file with the manifest as a metadata buffer inside."""
    model = flatbuffer_utils.convert_bytearray_to_object(bytearray(file))
    buffer = flatbuffer_utils.schema_fb.BufferT()
    buffer.data = list(manifest.to_json().encode())
    entry = flatbuffer_utils.schema_fb.MetadataT()
    entry.name, entry.buffer = METADATA_KEY, len(model.buffers)
    model.buffers.append(buffer)
    model.metadata = [*(model.metadata or []), entry]
    return bytes(flatbuffer_utils.convert_object_to_bytearray(model))


@contextmanager
def _saved(model: keras.Model, dtype: tf.DType) -> Iterator[Path]:
    """Writes a SavedModel; from a concrete function the converter would lose Keras 3's variables without a word."""
    spec = tf.TensorSpec(model.inputs[0].shape, dtype, name=model.inputs[0].name)
    with tempfile.TemporaryDirectory() as folder:
        archive = keras.export.ExportArchive()
        archive.track(model)
        archive.add_endpoint(
            "serving_default", lambda image: model(tf.cast(image, tf.float32), training=False), input_signature=[spec]
        )
        archive.write_out(folder, verbose=False)
        yield Path(folder)
