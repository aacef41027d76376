"""Makes a manifest for a detector exported by Ultralytics, from the metadata in its file.

The metadata are `names`, `imgsz` and `task` in ONNX `metadata_props`, or as JSON in the ZIP archive appended to a
TFLite file. The one output is `[1, 4 + classes, anchors]`: centre x, centre y, width, height, then a score per class.
"""

from __future__ import annotations

import ast
from collections.abc import Mapping
from typing import Any

from acne_runtime.backends.base import OpenedFile
from acne_runtime.errors import ModelError, one_line
from acne_runtime.manifest import InputSpec, Manifest, OutputSpec

THRESHOLD = 0.25
"""Their default for every class."""
IOU = 0.7
"""Their default for NMS."""
PAD_VALUE = 114
_PARSE_ERRORS = (
    ValueError,
    SyntaxError,
    LookupError,
    TypeError,
    AttributeError,
    OverflowError,
    MemoryError,
    RecursionError,
)
"""Raised by `ast.literal_eval` and by converting its result."""


def is_ultralytics(metadata: Mapping[str, str]) -> bool:
    """Returns whether a file's metadata are Ultralytics'."""
    return {"names", "imgsz", "task"} <= metadata.keys()


def read_ultralytics_manifest(opened: OpenedFile, name: str) -> Manifest:
    """Returns a manifest for an Ultralytics detector, whose input is float32, 0 to 1.

    Boxes are in pixels of the input in ONNX files, in fractions of its sides in TFLite files. The input is
    `[1, 3, height, width]`, but `[1, height, width, 3]` in TFLite files converted with TensorFlow.

    Args:
        opened: The file.
        name: The model's name.

    Raises:
        ModelError: It is not a detector, or the metadata are invalid.
    """
    metadata, outputs = opened.foreign_metadata, opened.outputs
    if metadata["task"] != "detect":
        raise ModelError(f"{name}: an Ultralytics model for {metadata['task']!r}; only detectors are supported")
    try:
        if metadata.get("end2end", "False") == "True":
            raise ModelError("an Ultralytics model that selects its boxes itself; export it with end2end=False")
        if len(outputs) != 1 or _parse(metadata.get("args", "{}")).get("nms"):
            raise ModelError("an Ultralytics model with NMS inside the graph; export it with nms=False")
        names = _parse(metadata["names"])
        size = _parse(metadata["imgsz"])
        height, width = (size, size) if isinstance(size, int) else (int(side) for side in size)
        batch = opened.input_shape[0]
        by_index = names if isinstance(names, dict) else dict(enumerate(names))
        classes = tuple(str(by_index[index]) for index in sorted(by_index, key=int))  # JSON has string keys
        return Manifest(
            name=name,
            task="detection",
            classes=classes,
            input=InputSpec(
                "images",
                width,
                height,
                "letterbox",
                dtype="float32",
                layout="NHWC" if opened.input_shape[-1] == 3 else "NCHW",
                pad_value=PAD_VALUE,
                scale=1 / 255,
                batch=max(batch, 0) if isinstance(batch, int) else 0,
            ),
            outputs=(OutputSpec(outputs[0], "row" if opened.name == "onnx" else "unit_row"),),
            thresholds=(THRESHOLD,) * len(classes),
            nms_iou=IOU,
            provenance={"converted_with": {"ultralytics": metadata.get("version", "unknown")}},
        )
    except ModelError as error:
        raise ModelError(f"{name}: {error}") from error
    except _PARSE_ERRORS as error:
        raise ModelError(f"{name}: invalid Ultralytics metadata ({one_line(error)})") from error


def _parse(text: str) -> Any:
    return ast.literal_eval(text)
