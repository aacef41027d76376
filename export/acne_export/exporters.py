"""The supported pairs of format and precision: how each is converted, what it needs, and its limits."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass

from acne_export.onnx_export.convert import float16_onnx, float32_onnx, int8_onnx
from acne_export.recipe import Format, Precision, Recipe
from acne_export.tflite_export.convert import dynamic_tflite, float16_tflite, float32_tflite, int8_tflite, w8a16_tflite
from acne_export.validation import Limits
from acne_runtime.errors import ModelError


@dataclass(frozen=True, slots=True)
class Exporter:
    """One pair of format and precision.

    Attributes:
        convert: Makes the file's bytes from a simplified model, the recipe, the activation ranges and a `Finish`.
        limits: How far it may differ from the Keras model; `None` for float32, where only rounding may differ.
        needs_ranges: Whether it needs activation ranges.
        integer_only: Whether no operation may be left in float32.
        no_nms: Why NMS cannot be part of the graph; empty if it can.
    """

    convert: Callable[..., bytes]
    limits: Limits | None = None
    needs_ranges: bool = False
    integer_only: bool = False
    no_nms: str = ""


EXPORTERS: dict[tuple[Format, Precision], Exporter] = {
    ("onnx", "float32"): Exporter(float32_onnx),
    ("onnx", "float16"): Exporter(
        float16_onnx, Limits(0.999, 0.005, 0.05, 0.6), no_nms="float16 rounds box coordinates to 2 pixels"
    ),
    ("onnx", "int8"): Exporter(int8_onnx, Limits(0.98, 0.05, 0.4, 0.4), needs_ranges=True),
    ("tflite", "float32"): Exporter(float32_tflite),
    ("tflite", "float16"): Exporter(float16_tflite, Limits(0.999, 0.005, 0.05, 0.6)),
    ("tflite", "dynamic"): Exporter(dynamic_tflite, Limits(0.98, 0.05, 0.4, 0.4)),
    ("tflite", "int8"): Exporter(
        int8_tflite,
        Limits(0.98, 0.05, 0.4, 0.4),
        needs_ranges=True,
        integer_only=True,
        no_nms="TFLite would round box coordinates to int8",
    ),
    ("tflite", "w8a16"): Exporter(
        w8a16_tflite,
        Limits(0.99, 0.02, 0.15, 0.4),
        needs_ranges=True,
        no_nms="TFLite has no int16 NMS",
    ),
}

FALLBACKS: dict[tuple[Format, Precision], tuple[Precision, ...]] = {
    ("tflite", "int8"): ("w8a16", "dynamic"),
    ("tflite", "w8a16"): ("dynamic",),
    ("onnx", "int8"): ("float16",),
}
"""The precisions to try next if a file fails validation or loses too much accuracy."""


def exporter_of(recipe: Recipe) -> Exporter:
    """Returns the exporter of a recipe's format and precision.

    Raises:
        ModelError: The format does not have this precision.
    """
    if (recipe.format, recipe.precision) not in EXPORTERS:
        known = ", ".join(precision for format, precision in EXPORTERS if format == recipe.format)
        raise ModelError(
            f"`precision` {recipe.precision}: not available for `format` {recipe.format}, which has {known}",
            parameter="precision",
        )
    return EXPORTERS[recipe.format, recipe.precision]


def fallbacks_of(recipe: Recipe) -> tuple[Precision, ...]:
    """Returns the precisions to try after a recipe's, without those that cannot have NMS in the graph if it asks so."""
    precisions = FALLBACKS.get((recipe.format, recipe.precision), ())
    exporters = {precision: exporter_of(dataclasses.replace(recipe, precision=precision)) for precision in precisions}
    return tuple(precision for precision in precisions if not (recipe.nms and exporters[precision].no_nms))
