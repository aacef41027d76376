"""TensorFlow Lite's standard metadata, as Netron, MediaPipe and ML Kit's tools read it.

The numbers are those of `metadata_schema.fbs`, schema 1.5.0 (google-ai-edge/mediapipe). Its Python library,
tflite-support, is no longer made for the Pythons that TensorFlow asks for; MediaPipe's copy brings a second OpenCV.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from flatbuffers import Builder, number_types

from acne_runtime.manifest import InputSpec, Manifest, OutputSpec

NAME = "TFLITE_METADATA"
"""Under which it lies in the file."""
LABELS_FILE = "labels.txt"
"""The class names, a line each; in the ZIP archive behind the model, as the standard has it."""

_IDENTIFIER = b"M001"
_MIN_PARSER_VERSION = "1.2.1"
_RGB = np.int8(1)
_IMAGE_PROPERTIES, _BOX_PROPERTIES, _FEATURE_PROPERTIES = np.uint8(2), np.uint8(3), np.uint8(1)
_NORMALIZATION = np.uint8(1)
_BOUNDARIES, _PIXEL = np.int8(1), np.int8(1)
_AXIS_LABELS = np.int8(2)

_SHAPES = {
    "box": "distances to the four sides of a box, in bins; logits",
    "score": "probability of each type at each cell of the grid",
    "label": "probability of each type",
    "lesion_box": "left, top, right, bottom in pixels of the input",
    "lesion_score": "probability that it is a lesion, of whatever type",
    "lesion_types": "probability of each type, by lesion",
    "lesion_count": "how many of the boxes are lesions",
}

Fields = Mapping[int, Any]
"""A table by field number: text, a table, a list of tables or of floats, or a NumPy scalar of the field's own type."""


def standard_metadata(manifest: Manifest, outputs: Sequence[str]) -> bytes:
    """Returns the metadata's flatbuffer.

    Args:
        manifest: The model's.
        outputs: Its output names in the order of the file's graph.
    """
    specs = {spec.name: spec for spec in manifest.outputs}
    graph = {2: [_input(manifest.input)], 3: [_output(specs[name]) for name in outputs]}
    licence = str(manifest.provenance.get("licence", ""))
    description = "Acne lesions on facial skin: decision support for education and monitoring, no diagnosis."
    builder = Builder()
    fields = {0: manifest.name, 1: description, 3: [graph], 4: "Acne Edge", 5: licence, 7: _MIN_PARSER_VERSION}
    builder.Finish(_table(builder, fields), file_identifier=_IDENTIFIER)
    return bytes(builder.Output())


def _input(spec: InputSpec) -> Fields:
    size = {0: np.uint32(spec.width), 1: np.uint32(spec.height)}
    # The graph scales inside: what goes in are the pixels as they are.
    normalization = {0: [0.0], 1: [1.0 / spec.scale]}
    return {
        0: spec.name,
        1: f"RGB photograph, 0 to 255, fitted by {spec.resize}",
        3: {0: _IMAGE_PROPERTIES, 1: {0: _RGB, 1: size}},
        4: [{0: _NORMALIZATION, 1: normalization}],
    }


def _output(spec: OutputSpec) -> Fields:
    content: Fields = {0: _FEATURE_PROPERTIES, 1: {}}
    if spec.kind == "lesion_box":
        content = {0: _BOX_PROPERTIES, 1: {1: _BOUNDARIES, 2: _PIXEL}}
    fields: dict[int, Any] = {0: spec.name, 1: _SHAPES[spec.kind], 3: content}
    if spec.kind in ("score", "label", "lesion_types"):
        fields[6] = [{0: LABELS_FILE, 1: "types", 2: _AXIS_LABELS}]
    return fields


def _table(builder: Builder, fields: Fields) -> int:
    """Writes a table and returns where; what it refers to has to be written first."""
    ready = {
        slot: value if isinstance(value, np.generic) else _written(builder, value) for slot, value in fields.items()
    }
    builder.StartObject(max(fields, default=-1) + 1)
    for slot, value in ready.items():
        if isinstance(value, np.generic):
            builder.PrependSlot(getattr(number_types, f"{type(value).__name__.capitalize()}Flags"), slot, int(value), 0)
        else:
            builder.PrependUOffsetTRelativeSlot(slot, value, 0)
    return int(builder.EndObject())


def _written(builder: Builder, value: Any) -> int:
    if isinstance(value, str):
        return int(builder.CreateString(value))
    if isinstance(value, Mapping):
        return _table(builder, value)
    if all(isinstance(item, float) for item in value):
        return int(builder.CreateNumpyVector(np.array(value, np.float32)))
    tables = [_table(builder, item) for item in value]
    builder.StartVector(4, len(tables), 4)
    for table in reversed(tables):
        builder.PrependUOffsetTRelative(table)
    return int(builder.EndVector())
