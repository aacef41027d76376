"""Embeds the manifest and the standard metadata in a TFLite file."""

from __future__ import annotations

import io
import zipfile

from ai_edge_litert.interpreter import Interpreter
from ai_edge_litert.tools import flatbuffer_utils

from acne_export.tflite_export.standard_metadata import LABELS_FILE, NAME, standard_metadata
from acne_runtime.manifest import METADATA_KEY, Manifest

_CONVERSION = b"CONVERSION_METADATA"
"""The converter's own entry, which holds a random number; the manifest has the versions of the converters."""
_NO_TIME = (1980, 1, 1, 0, 0, 0)
"""The earliest date in ZIP: same input, same bytes."""


def embed_manifest_in_tflite(file: bytes, manifest: Manifest) -> bytes:
    """Returns the TFLite file with the manifest and the standard metadata inside, and the class names behind it."""
    model = flatbuffer_utils.convert_bytearray_to_object(bytearray(file))
    for entry in model.metadata or []:
        if entry.name == _CONVERSION:
            model.buffers[entry.buffer].data = None
    model.metadata = [entry for entry in model.metadata or [] if entry.name != _CONVERSION]
    entries = {METADATA_KEY: manifest.to_json().encode(), NAME: standard_metadata(manifest, _output_order(file))}
    for name, data in entries.items():
        buffer = flatbuffer_utils.schema_fb.BufferT()
        buffer.data = list(data)
        entry = flatbuffer_utils.schema_fb.MetadataT()
        entry.name, entry.buffer = name, len(model.buffers)
        model.buffers.append(buffer)
        model.metadata.append(entry)
    whole = io.BytesIO(bytes(flatbuffer_utils.convert_object_to_bytearray(model)))
    with zipfile.ZipFile(whole, "a", zipfile.ZIP_STORED) as archive:
        archive.writestr(zipfile.ZipInfo(LABELS_FILE, _NO_TIME), "\n".join(manifest.classes) + "\n")
    return whole.getvalue()


def _output_order(file: bytes) -> list[str]:
    """Returns the outputs' names, which the signature alone knows, in the graph's order."""
    interpreter = Interpreter(model_content=file)
    outputs = interpreter.get_signature_runner().get_output_details()
    names = {detail["index"]: name for name, detail in outputs.items()}
    return [names[detail["index"]] for detail in interpreter.get_output_details()]
