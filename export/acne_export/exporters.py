"""Every kind of file there is: how it is made, what it needs, and what it may lose."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from acne_export.onnx_export.convert import float16_onnx, float32_onnx, int8_onnx
from acne_export.recipe import Format, Precision, Recipe
from acne_export.tflite_export.convert import dynamic_tflite, float16_tflite, float32_tflite, int8_tflite, w8a16_tflite
from acne_runtime.errors import ModelError


@dataclass(frozen=True, slots=True)
class Limits:
    """What a file may lose against its source; beyond it, it is refused.

    The figures are several times what sound conversions of our models measure, and far below what broken ones do.

    Attributes:
        least_cosine: Between a box output and its source's; 1 where the two point alike.
        score_error: Largest mean difference of a score or label output.
        relative_error: Largest error of the scores that matter, relative to them (root mean square).
        most_bytes: Largest size as a share of the float32 weights.
    """

    least_cosine: float
    score_error: float
    relative_error: float
    most_bytes: float


@dataclass(frozen=True, slots=True)
class Exporter:
    """One kind of file.

    Attributes:
        convert: Makes the file's bytes of a simplified model, the recipe, the activations' ranges and a `Finish`.
        limits: What it may lose; `None` for float32, which may lose nothing but rounding.
        needs_ranges: Whether it needs the ranges of activations.
        integer_only: Whether no operation may be left in float32.
        no_nms: Why suppression cannot lie inside; empty where it can.
    """

    convert: Callable[..., bytes]
    limits: Limits | None = None
    needs_ranges: bool = False
    integer_only: bool = False
    no_nms: str = ""


EXPORTERS: dict[tuple[Format, Precision], Exporter] = {
    ("onnx", "float32"): Exporter(float32_onnx),
    ("onnx", "float16"): Exporter(
        float16_onnx, Limits(0.999, 0.005, 0.05, 0.6), no_nms="half precision places boxes 2 pixels apart"
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
        no_nms="TFLite would round the boxes to int8 as well",
    ),
    ("tflite", "w8a16"): Exporter(
        w8a16_tflite, Limits(0.99, 0.02, 0.15, 0.4), needs_ranges=True, no_nms="TFLite has no suppression in int16"
    ),
}

FALLBACKS: dict[tuple[Format, Precision], tuple[Precision, ...]] = {
    ("tflite", "int8"): ("w8a16", "dynamic"),
    ("tflite", "w8a16"): ("dynamic",),
    ("onnx", "int8"): ("float16",),
}
"""What `--fallback` tries next where a file loses too much."""


def exporter_of(recipe: Recipe) -> Exporter:
    """Returns what makes a recipe's kind of file.

    Raises:
        ModelError: There is none.
    """
    if (recipe.form, recipe.precision) not in EXPORTERS:
        known = ", ".join(precision for form, precision in EXPORTERS if form == recipe.form)
        raise ModelError(f"--precision {recipe.precision}: not for --format {recipe.form}, which has {known}")
    return EXPORTERS[recipe.form, recipe.precision]
