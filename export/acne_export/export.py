"""One export: run folder in, one verified model file and its readable manifest out."""

from __future__ import annotations

import dataclasses
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Literal

import keras
import numpy as np
import onnx
import tensorflow as tf
import tf2onnx
from numpy.typing import NDArray

from acne_export.golden import golden_input, sha256
from acne_export.graph import simplify
from acne_export.proof import keras_outputs, prove_float32, prove_int8, rounding_errors
from acne_export.run_folder import RunFolder
from acne_export.to_onnx import float32_onnx, onnx_with_manifest
from acne_export.to_tflite import float32_tflite, int8_tflite, tflite_with_manifest
from acne_runtime import files
from acne_runtime.backends.litert import LiteRtBackend
from acne_runtime.backends.onnx import OnnxBackend
from acne_runtime.errors import ModelError
from acne_runtime.manifest import manifest_beside

Format = Literal["onnx", "tflite"]
Precision = Literal["float32", "int8"]

DEFAULT_PRECISION: dict[Format, Precision] = {"onnx": "float32", "tflite": "int8"}


def file_name(model: str, form: Format, precision: Precision) -> str:
    """Returns what a file is called: `m.onnx`, `m.tflite`, `m-int8.tflite`."""
    return f"{model}{'' if precision == 'float32' else '-' + precision}.{form}"


def export(run: RunFolder, form: Format, precision: Precision, target: Path, say: Callable[[str], None]) -> None:
    """Converts, proves and writes one file.

    Args:
        run: What to convert.
        form: `onnx` or `tflite`.
        precision: `float32`, or for TFLite `int8`.
        target: The file to write; its manifest goes beside it.
        say: Gets one line a step.

    Raises:
        ModelError: The pair of format and precision is not supported, or the proof fails; no file is left then.
    """
    if form == "onnx" and precision != "float32":
        raise ModelError(f"--precision {precision}: ONNX files are float32 here; use --format tflite")
    if precision == "int8" and not run.ranges:
        raise ModelError(f"{run.path / 'calibration.json'}: not found; int8 needs it, acne-train writes it")
    say(f"reading {run.path / 'inference.keras'}")
    image = golden_input(run.manifest.input)
    # Asked first: the simplified graph shares layers with its source, and damage done to both would show in neither.
    source = keras_outputs(run.model, image)
    rounding = rounding_errors(run.model, image, source)
    model = simplify(run.model)
    with tempfile.TemporaryDirectory() as folder:
        draft = Path(folder) / target.name

        def answer(converted: bytes) -> dict[str, NDArray[np.float32]]:
            draft.write_bytes(converted)
            return _answer(draft, form, image)

        if form == "onnx":
            say("converting to ONNX")
            converted = float32_onnx(model)
            outputs = answer(converted)
            proof = prove_float32(source, outputs, rounding)
        else:
            say("converting to float32 TFLite")
            converted = float32_tflite(model)
            outputs = answer(converted)
            proof = prove_float32(source, outputs, rounding)
            if precision == "int8":
                say("quantizing to int8")
                float32_bytes, converted = len(converted), int8_tflite(model, run.ranges)
                outputs = answer(converted)
                proof = prove_int8(source, outputs, draft, float32_bytes)
    manifest = dataclasses.replace(
        run.manifest,
        precision=precision,
        provenance=run.manifest.provenance | {"converted_with": _versions(form)},
        validation=run.manifest.validation | {"conversion": {name: float(f"{x:.3g}") for name, x in proof.items()}},
        golden={"input_sha256": sha256({"": image}), "output_sha256": sha256(outputs)},
    )
    seal = onnx_with_manifest if form == "onnx" else tflite_with_manifest
    files.write_atomically(target, seal(converted, manifest))
    files.write_atomically(manifest_beside(target), manifest.to_json().encode())
    figures = ", ".join(f"{name.replace('_', ' ')} {value:.3g}" for name, value in proof.items())
    say(f"wrote {target} ({target.stat().st_size / 1e6:.1f} MB; against the Keras model: {figures})")


def _answer(file: Path, form: Format, image: NDArray[np.uint8]) -> dict[str, NDArray[np.float32]]:
    """Asks a converted file through the runtime's own backend, as a device will."""
    backend = OnnxBackend if form == "onnx" else LiteRtBackend
    return dict(backend(file, device="cpu", threads=0).run(image))


def _versions(form: Format) -> dict[str, str]:
    versions = {"tensorflow": tf.__version__, "keras": keras.__version__}
    return versions | ({"tf2onnx": tf2onnx.__version__, "onnx": onnx.__version__} if form == "onnx" else {})
