"""The recipe of an export: plain data, stored in every file that was made from it."""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args

from acne_runtime.errors import ModelError

Format = Literal["onnx", "tflite"]
Precision = Literal["float32", "float16", "dynamic", "int8", "w8a16"]
Input = Literal["uint8", "float32"]

DEFAULT_PRECISION: dict[Format, Precision] = {"onnx": "float32", "tflite": "int8"}
ANY_BATCH = 0

OWN_SIZE = 0
"""As the `size` of a recipe: that of the model."""


@dataclass(frozen=True, slots=True)
class Recipe:
    """The file to make.

    Attributes:
        format: `onnx` or `tflite`.
        precision: `float32`, `float16`, `dynamic` (int8 weights, float32 arithmetic), `int8`, or `w8a16` (int8 weights,
            int16 activations).
        input: The input's dtype; values are 0 to 255 in both.
        size: Width and height of the model's input in pixels; `OWN_SIZE` keeps that of the model.
        batch: Images per call; `ANY_BATCH` leaves it open.
        nms: Whether box decoding and NMS are part of the graph.
    """

    format: Format
    precision: Precision = "float32"
    input: Input = "uint8"
    size: int = OWN_SIZE
    batch: int = 1
    nms: bool = False

    def file_name(self, model: str, trained_size: int) -> str:
        """Returns the default file name: `m.onnx`, `m-int8.tflite`, `m-int8-416-nms.tflite`."""
        parts = [model]
        parts += [self.precision] * (self.precision != "float32")
        parts += [str(self.size)] * (self.size != trained_size)
        parts += ["float-input"] * (self.input == "float32")
        parts += ["any-batch" if self.batch == ANY_BATCH else f"batch{self.batch}"] * (self.batch != 1)
        parts += ["nms"] * self.nms
        return f"{'-'.join(parts)}.{self.format}"

    def to_dict(self) -> dict[str, Any]:
        """Returns plain JSON values; the format's key is `form`."""
        values = dataclasses.asdict(self)
        return {"form": values.pop("format")} | values

    @classmethod
    def from_dict(cls, raw: Any, origin: str) -> Recipe:
        """Reads what `to_dict` returned.

        Raises:
            ModelError: It is not a recipe.
        """
        try:
            values = dict(raw)
            recipe = cls(format=values.pop("form"), **values)
            known = (
                recipe.format in get_args(Format)
                and recipe.precision in get_args(Precision)
                and recipe.input in get_args(Input)
                and type(recipe.size) is type(recipe.batch) is int
                and recipe.size >= 32
                and recipe.batch >= 0
                and type(recipe.nms) is bool
            )
        except (TypeError, ValueError, KeyError) as error:
            raise ModelError(f"{origin}: not a recipe of acne-export ({error})") from None
        if not known:
            raise ModelError(f"{origin}: not a recipe of acne-export ({raw})")
        return recipe


def read_recipe(file: Path) -> Recipe:
    """Reads the recipe of an exported file from the manifest next to it.

    Raises:
        ModelError: The file is not such a manifest.
    """
    try:
        raw = json.loads(file.read_bytes())["provenance"]["recipe"]
    except (ValueError, KeyError, TypeError):
        raise ModelError(f"{file}: not the .json file next to an exported model") from None
    return Recipe.from_dict(raw, str(file))
