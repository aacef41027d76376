"""Reads what Ultralytics' exporter writes into a detection file, as a manifest of ours.

Only the file's own statements are read: `names`, `imgsz` and `task` in ONNX `metadata_props`, or the same as JSON in
the ZIP archive behind a TFLite file. Their one output is `[1, 4 + classes, anchors]`: centre x, centre y, width and
height, then a score a class.
"""

from __future__ import annotations

import ast
from collections.abc import Mapping
from typing import Any

from acne_runtime.backends.base import OpenedFile
from acne_runtime.errors import ModelError
from acne_runtime.manifest import InputSpec, Manifest, OutputSpec

THRESHOLD = 0.25
"""Theirs for every class."""
IOU = 0.7
"""Theirs for suppression."""
PAD_VALUE = 114
_PARSE_ERRORS = (
    ValueError,
    SyntaxError,
    KeyError,
    TypeError,
    AttributeError,
    OverflowError,
    MemoryError,
    RecursionError,
)
"""What `ast.literal_eval`, and taking its answer for what it should be, raise."""


def is_ultralytics(metadata: Mapping[str, str]) -> bool:
    """Returns whether what a file says of itself is theirs."""
    return {"names", "imgsz", "task"} <= metadata.keys()


def read_ultralytics_manifest(opened: OpenedFile, name: str) -> Manifest:
    """Returns a manifest for one of their detectors, whose input is float32, 0 to 1.

    Boxes are in pixels of the input in ONNX files, in shares of its sides in TFLite files. The input is
    `[1, 3, height, width]`, but `[1, height, width, 3]` in TFLite files that were made through TensorFlow.

    Args:
        opened: The file.
        name: The model's name.

    Raises:
        ModelError: It is no detector, or the statements do not parse.
    """
    metadata, outputs = opened.foreign_metadata, opened.outputs
    if metadata["task"] != "detect":
        raise ModelError(f"{name}: an Ultralytics file for {metadata['task']!r}; only detectors run here")
    try:
        if len(outputs) != 1 or _parsed(metadata.get("args", "{}")).get("nms"):
            raise ModelError("an Ultralytics file with suppression inside; export it with nms=False")
        names = _parsed(metadata["names"])
        height, width = (int(side) for side in _parsed(metadata["imgsz"]))
        by_index = names if isinstance(names, dict) else dict(enumerate(names))
        classes = tuple(str(by_index[index]) for index in sorted(by_index, key=int))  # JSON makes texts of numbers
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
            ),
            outputs=(OutputSpec(outputs[0], "row" if opened.name == "onnx" else "unit_row"),),
            thresholds=(THRESHOLD,) * len(classes),
            nms_iou=IOU,
            provenance={"converted_with": {"ultralytics": metadata.get("version", "unknown")}},
        )
    except ModelError as error:
        raise ModelError(f"{name}: {error}") from error
    except _PARSE_ERRORS as error:
        said = (str(error).splitlines() or [""])[0]
        raise ModelError(f"{name}: its Ultralytics metadata does not parse ({said})") from error


def _parsed(text: str) -> Any:
    return ast.literal_eval(text)
