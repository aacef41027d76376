"""TFLite files through TensorFlow's converter."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import keras
import tensorflow as tf
from tensorflow.lite.python.lite import TFLiteConverterV2
from tensorflow.lite.python.optimize.calibrator import Calibrator

from acne_export.graph.fold import Finish, unchanged
from acne_export.quantization.fake_quant import insert_fake_quant
from acne_export.recipe import Recipe
from acne_export.run_folder import Ranges
from acne_export.tflite_export.canonical import canonicalize
from acne_export.tflite_export.tensor_ranges import add_tensor_ranges


def float32_tflite(model: keras.Model, recipe: Recipe, ranges: Ranges, finish: Finish = unchanged) -> bytes:
    """Converts a simplified model with float32 arithmetic."""
    return _converted(finish(model), recipe.input)


def float16_tflite(model: keras.Model, recipe: Recipe, ranges: Ranges, finish: Finish = unchanged) -> bytes:
    """Converts a simplified model to float16 weights; the arithmetic is the delegate's, float32 on CPUs."""

    def configure(converter: Any) -> None:
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
        converter.target_spec.supported_types = [tf.float16]

    return _converted(finish(model), recipe.input, configure)


def dynamic_tflite(model: keras.Model, recipe: Recipe, ranges: Ranges, finish: Finish = unchanged) -> bytes:
    """Converts a simplified model to int8 weights; activations are quantized as they come, so that none has a range."""

    def configure(converter: Any) -> None:
        converter.optimizations = [tf.lite.Optimize.DEFAULT]

    return _converted(finish(model), recipe.input, configure)


def int8_tflite(model: keras.Model, recipe: Recipe, ranges: Ranges, finish: Finish = unchanged) -> bytes:
    """Converts a simplified model to int8 weights and activations; outputs stay float32."""

    def configure(converter: Any) -> None:
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
        converter.inference_input_type = tf.as_dtype(recipe.input)

    return _converted(finish(insert_fake_quant(model, ranges)), "float32", configure)


def w8a16_tflite(model: keras.Model, recipe: Recipe, ranges: Ranges, finish: Finish = unchanged) -> bytes:
    """Converts a simplified model to int8 weights and int16 activations; outputs stay float32."""
    bounded = add_tensor_ranges(_converted(finish(model), recipe.input), model, ranges)
    # Fed with nothing: the ranges are in the file already. The newer quantizer makes int16 files that LiteRT refuses.
    return canonicalize(
        Calibrator(bounded).calibrate_and_quantize(
            dataset_gen=lambda: iter(()),
            input_type=tf.float32,
            output_type=tf.float32,
            allow_float=True,
            activations_type=tf.int16,
            bias_type=tf.int64,
        )
    )


def _converted(model: keras.Model, dtype: str, configure: Callable[[Any], None] = lambda _: None) -> bytes:
    with _saved(model, tf.as_dtype(dtype)) as folder:
        converter: TFLiteConverterV2 = tf.lite.TFLiteConverter.from_saved_model(str(folder))
        configure(converter)
        return canonicalize(bytes(converter.convert()))


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
