"""Golden vectors: what a shipped model returns at each stage, stored next to it for everyone who runs it elsewhere.

A folder `golden` holds `golden.json` and files that any language reads: PNG images, and gzip'd little-endian float32
tensors without a header, whose shapes are in `golden.json`. The stages: photograph, input tensor, raw outputs of each
model file, result.
"""

from __future__ import annotations

import dataclasses
import gzip
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from acne_export.golden.image import synthetic_skin
from acne_runtime.atomic_write import write_together
from acne_runtime.errors import ModelError
from acne_runtime.load import load_model
from acne_runtime.preprocess import preprocess

FOLDER = "golden"
_FILE = "golden.json"
_SCHEMA = 1
_PHOTOGRAPH = (360, 270, 20240608)
"""Height, width and seed of the generated photograph: neither the model's size nor its shape."""


@dataclass(frozen=True, slots=True)
class GoldenVectors:
    """The stages of one photograph.

    Attributes:
        photograph: `[height, width, 3]` uint8 BGR.
        tensor: `[1, height, width, 3]` uint8 RGB, the model's input before any change of its dtype.
        outputs: By model file, its raw outputs by name, float32.
        results: By model file, `lesions` or `labels` as `Result.to_dict()` has them.
    """

    photograph: NDArray[np.uint8]
    tensor: NDArray[np.uint8]
    outputs: Mapping[str, Mapping[str, NDArray[np.float32]]]
    results: Mapping[str, Mapping[str, Any]]


def write_golden_vectors(model_folder: Path) -> list[Path]:
    """Runs every model file of a folder on the generated photograph and stores the outputs.

    Returns:
        The files written.

    Raises:
        ModelError: The folder holds no model file.
    """
    model_files = sorted(file for file in model_folder.iterdir() if file.suffix in (".onnx", ".tflite"))
    if not model_files:
        raise ModelError(f"{model_folder}: no .onnx or .tflite file in this folder")
    height, width, seed = _PHOTOGRAPH
    photograph = np.ascontiguousarray(synthetic_skin(height, width, seed)[0, ..., ::-1])
    models = {file.name: load_model(file) for file in model_files}
    inputs = {dataclasses.replace(model.manifest.input, dtype="uint8", name="") for model in models.values()}
    if len(inputs) > 1:
        raise ModelError(f"{model_folder}: its files take different inputs; keep those of one size in one folder")
    tensor = preprocess(photograph, inputs.pop())[0].astype(np.uint8)
    contents = {"rendered_skin.png": _png(photograph), "tensor.png": _png(tensor[0, ..., ::-1])}
    record: dict[str, Any] = {"schema": _SCHEMA, "photograph": "rendered_skin.png", "tensor": "tensor.png", "files": {}}
    for name, model in models.items():
        outputs = model.backend.run(preprocess(photograph, model.manifest.input)[0])
        stored = {}
        for output, values in outputs.items():
            file = f"{name}.{output}.bin.gz"
            contents[file] = gzip.compress(np.ascontiguousarray(values, "<f4").tobytes(), mtime=0)
            stored[output] = {"file": file, "shape": list(values.shape)}
        record["files"][name] = {"outputs": stored, "result": _lesions_or_labels(model(photograph).to_dict())}
    contents[_FILE] = (json.dumps(record, indent=1) + "\n").encode()
    folder = model_folder / FOLDER
    write_together({folder / name: data for name, data in contents.items()})
    for old in folder.iterdir():
        if old.is_file() and old.name not in contents:
            old.unlink()
    return [folder / name for name in contents]


def read_golden_vectors(folder: Path) -> GoldenVectors:
    """Reads what `write_golden_vectors` wrote into a folder.

    Raises:
        ModelError: A file is missing or corrupt.
    """
    file = folder / _FILE
    try:
        record = json.loads(file.read_bytes())
        return GoldenVectors(
            photograph=_read_png(folder / record["photograph"]),
            tensor=np.ascontiguousarray(_read_png(folder / record["tensor"])[None, ..., ::-1]),
            outputs={
                name: {output: _tensor(folder, stored) for output, stored in entry["outputs"].items()}
                for name, entry in record["files"].items()
            },
            results={name: entry["result"] for name, entry in record["files"].items()},
        )
    except (OSError, EOFError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise ModelError(f"{file}: incomplete or corrupt golden vectors ({error})") from error


def _lesions_or_labels(result: Mapping[str, Any]) -> dict[str, Any]:
    return {name: result[name] for name in ("lesions", "labels") if name in result}


def _tensor(folder: Path, stored: Mapping[str, Any]) -> NDArray[np.float32]:
    raw = gzip.decompress((folder / stored["file"]).read_bytes())
    return np.frombuffer(raw, "<f4").reshape(stored["shape"])


def _png(image: NDArray[np.uint8]) -> bytes:
    return bytes(cv2.imencode(".png", image, [cv2.IMWRITE_PNG_COMPRESSION, 9])[1])


def _read_png(file: Path) -> NDArray[np.uint8]:
    image = cv2.imdecode(np.frombuffer(file.read_bytes(), np.uint8), cv2.IMREAD_COLOR)
    if image is None:
        raise ValueError(f"{file.name} is not an image")
    return image.astype(np.uint8)
