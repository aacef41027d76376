"""Reads metadata of a TFLite file without TensorFlow.

The field numbers are those of TensorFlow's `schema.fbs`: a `Model` holds `buffers` (4) and `metadata` (6), a `Metadata`
holds `name` (0) and the index `buffer` (1), a `Buffer` holds `data` (0).
"""

from __future__ import annotations

import ast
import io
import json
import zipfile
import zlib

try:
    from lzma import LZMAError
except ImportError:  # some builds of Python leave it out, and zipfile then raises RuntimeError
    LZMAError = RuntimeError  # type: ignore[misc, assignment]

from flatbuffers import encode, number_types, packer
from flatbuffers.table import Table

_MODEL_BUFFERS, _MODEL_METADATA = 4, 6
_METADATA_NAME, _METADATA_BUFFER = 0, 1
_BUFFER_DATA = 0
_ARCHIVED = ("TFLITE_ULTRALYTICS_METADATA.json", "metadata.json", "temp_meta.txt", "meta.txt")
"""File names of the metadata in versions of Ultralytics' exporter; a Python literal in those before 8.3.117."""
_MAX_ARCHIVED = 1 << 20
"""Maximum bytes unpacked; more would be a ZIP bomb."""
_PARSE_ERRORS = (
    zipfile.BadZipFile,
    zlib.error,
    LZMAError,
    EOFError,
    OSError,
    ValueError,
    KeyError,
    SyntaxError,
    TypeError,
    MemoryError,
    RuntimeError,  # a password, an unknown compression, or endless nesting
)
"""Raised while reading an archive and the text in it."""


def read_metadata(file: bytes, name: str) -> bytes | None:
    """Returns the bytes of the entry `name` of a TFLite file, or None if there is no such entry.

    Raises:
        ValueError: The file is not a TFLite model, or is truncated.
    """
    if file[4:8] != b"TFL3":
        raise ValueError("not a TFLite file")
    try:
        model = Table(file, encode.Get(packer.uoffset, file, 0))
        for entry in _tables(model, _MODEL_METADATA):
            if _bytes(entry, _METADATA_NAME) == name.encode():
                index = _field(entry, _METADATA_BUFFER)
                number = entry.Get(number_types.Uint32Flags, index) if index else 0
                return _bytes(_tables(model, _MODEL_BUFFERS)[number], _BUFFER_DATA)
    except (IndexError, OverflowError, TypeError) as error:
        raise ValueError("corrupt TFLite file") from error
    except Exception as error:  # struct.error, which flatbuffers does not catch
        raise ValueError(f"corrupt TFLite file ({error})") from error
    return None


def archived_metadata(tflite: bytes) -> dict[str, str]:
    """Returns the Ultralytics metadata in the archive appended to a TFLite file, empty if there is none."""
    try:
        with zipfile.ZipFile(io.BytesIO(tflite)) as archive:
            name = next((name for name in archive.namelist() if name in _ARCHIVED), None)
            if name is None or archive.getinfo(name).file_size > _MAX_ARCHIVED:
                return {}
            text = archive.read(name).decode()
            raw = json.loads(text) if name.endswith(".json") else ast.literal_eval(text)
    except _PARSE_ERRORS:
        return {}
    return {str(key): str(value) for key, value in raw.items()} if isinstance(raw, dict) else {}


def _field(table: Table, number: int) -> int:
    offset = table.Offset(4 + 2 * number)
    return table.Pos + offset if offset else 0


def _tables(table: Table, number: int) -> list[Table]:
    offset = table.Offset(4 + 2 * number)
    if not offset:
        return []
    start = table.Vector(offset)
    return [Table(table.Bytes, table.Indirect(start + 4 * i)) for i in range(table.VectorLen(offset))]


def _bytes(table: Table, number: int) -> bytes:
    offset = table.Offset(4 + 2 * number)
    if not offset:
        return b""
    start = table.Vector(offset)
    return bytes(table.Bytes[start : start + table.VectorLen(offset)])
