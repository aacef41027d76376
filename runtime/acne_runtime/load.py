"""Loads a model by its name or file."""

from __future__ import annotations

import logging
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from acne_runtime.backends.ultralytics_manifest import is_ultralytics, read_ultralytics_manifest
from acne_runtime.digest import digest_mismatch
from acne_runtime.errors import BackendError, ModelError
from acne_runtime.manifest import Manifest, manifest_path
from acne_runtime.model import Model

if TYPE_CHECKING:
    from acne_runtime.backends.base import OpenedFile

logger = logging.getLogger(__name__)

MAX_THREADS = 256
"""Threads of one inference; ONNX Runtime takes seconds to start hundreds."""
DEFAULT_MODEL = "acne-yolov8-lite0"

_MODULES = {"onnx": "onnxruntime", "litert": "ai_edge_litert"}
_PACKAGES = {"onnx": "onnxruntime", "litert": "ai-edge-litert"}
_BACKEND_OF_SUFFIX = {".onnx": "onnx", ".tflite": "litert"}
_SHIPPED_FILE = {"onnx": "{name}.onnx", "litert": "{name}-int8.tflite"}


def model_folders() -> list[Path]:
    """Returns the folders of shipped models: in an installed package, or in a checkout."""
    here = Path(__file__).resolve().parent
    return [folder for folder in (here / "models", here.parents[1] / "models") if folder.is_dir()]


def shipped_models() -> list[str]:
    """Returns the names of the shipped models, the default first."""
    names = {file.parent.name for folder in model_folders() for file in folder.glob("*/manifest.json")}
    return sorted(names, key=lambda name: (name != DEFAULT_MODEL, name))


def load_model(
    model: str | Path = DEFAULT_MODEL,
    *,
    backend: str | None = None,
    device: str = "cpu",
    delegate: str | Path | None = None,
    threads: int = 0,
    score_threshold: float | None = None,
) -> Model:
    """Loads a model.

    Args:
        model: The name of a shipped model, or a `.onnx` or `.tflite` file: ours, or an Ultralytics detector.
        backend: `onnx` or `litert`; None chooses by the file, or for a name by what is installed.
        device: `cpu`; `auto`, the fastest one that starts; or a device of the installed ONNX Runtime, such as `cuda`.
        delegate: LiteRT only: a shared library with a delegate, used instead of XNNPACK.
        threads: Threads of one inference; 0 leaves the choice to the backend.
        score_threshold: Replaces the manifest's thresholds, 0 to 1.

    Raises:
        ModelError: There is no such model, the file is corrupt, or it has no manifest.
        BackendError: The backend or the device is not available.
    """
    _validate_arguments(backend, threads, score_threshold)
    file, backend = _find(model, backend)
    if find_spec(_MODULES[backend]) is None:
        raise BackendError(f"the {backend} backend is not installed; run: pip install {_PACKAGES[backend]}")
    opened = _open(file, backend, device, threads, Path(delegate) if delegate else None)
    if opened.manifest_text is not None:
        manifest = Manifest.from_json(opened.manifest_text, str(file))
    elif is_ultralytics(opened.foreign_metadata):
        manifest = read_ultralytics_manifest(opened, file.stem)
    elif manifest_path(file).is_file():
        text = manifest_path(file).read_bytes()
        manifest = Manifest.from_json(text, str(manifest_path(file)))
        if digest_mismatch(file.read_bytes(), text):
            raise ModelError(f"{file}: corrupt, or not the file that {manifest_path(file).name} was made for")
    else:
        raise ModelError(
            f"{file}: has no manifest, so its classes and thresholds are unknown; export it with acne-export, "
            f"or put a manifest next to it as {manifest_path(file).name}"
        )
    if set(opened.outputs) != {output.name for output in manifest.outputs}:
        raise ModelError(f"{file}: its outputs {sorted(opened.outputs)} do not match its manifest")
    _check_input(file, opened, manifest)
    loaded = Model(manifest, opened, score_threshold)
    if device == "auto":
        logger.info("%s runs on %s", manifest.name, opened.device)
    return loaded


def _check_input(file: Path, opened: OpenedFile, manifest: Manifest) -> None:
    """Raises `ModelError` if the file's input is not what its manifest or metadata state."""
    expected = manifest.input
    if opened.input_dtype != expected.dtype:
        hint = {
            "float16": "; export it with half=False",
            "int8": "; take the file whose name ends in _integer_quant.tflite",
            "uint8": "; take the file whose name ends in _integer_quant.tflite",
        }
        ultralytics = manifest.is_ultralytics_layout and opened.manifest_text is None
        if opened.name == "onnx":
            hint = {"float16": "; export it with half=False"}
        raise ModelError(
            f"{file}: its input is {opened.input_dtype}, expected {expected.dtype}"
            + (hint.get(opened.input_dtype, "") if ultralytics else "; export it again")
        )
    sides = zip(opened.input_shape[1:], expected.tensor_shape[1:], strict=False)
    fixed = [(side, stated) for side, stated in sides if isinstance(side, int) and side > 0]
    if len(opened.input_shape) != 4 or any(side != stated for side, stated in fixed):
        raise ModelError(
            f"{file}: its input is {list(opened.input_shape)}, expected {list(expected.tensor_shape)}; export it again"
        )


def model_files(model: str | Path, backend: str | None = None) -> list[Path]:
    """Returns the files that `load_model` reads: the model, and the manifest next to it.

    Raises:
        ModelError, BackendError: As `load_model`, if there is no such model.
    """
    file, _ = _find(model, backend)
    return [file, manifest_path(file)]


def _validate_arguments(backend: object, threads: object, score_threshold: float | None) -> None:
    if backend is not None and backend not in _MODULES:
        raise BackendError(f"unknown `backend` {backend!r}; choose {' or '.join(_MODULES)}", parameter="backend")
    if type(threads) is not int or not 0 <= threads <= MAX_THREADS:
        raise BackendError(f"`threads` {threads}: not an integer within 0 to {MAX_THREADS}", parameter="threads")
    if score_threshold is not None and not 0 <= score_threshold <= 1:  # NaN fails too
        raise ModelError(f"`score_threshold` {score_threshold}: not within 0 to 1", parameter="score_threshold")


def _find(model: str | Path, backend: str | None) -> tuple[Path, str]:
    if Path(model).suffix.lower() in _BACKEND_OF_SUFFIX:
        file, fitting = Path(model), _BACKEND_OF_SUFFIX[Path(model).suffix.lower()]
        if not file.is_file():
            raise ModelError(f"{file}: no such model file")
        if backend not in (None, fitting):
            raise BackendError(
                f"`backend` {backend} cannot run {file.name}; omit it or use `backend` {fitting}", parameter="backend"
            )
        return file, fitting
    if backend is None:
        backend = next((name for name, module in _MODULES.items() if find_spec(module)), "onnx")
    for folder in model_folders():
        file = folder / str(model) / _SHIPPED_FILE[backend].format(name=model)
        if file.is_file():
            return file, backend
    shipped = ", ".join(shipped_models()) or "none"
    raise ModelError(
        f"`model` {model}: neither a .onnx or .tflite file nor a shipped model ({shipped})",
        parameter="model",
    )


def _open(file: Path, backend: str, device: str, threads: int, delegate: Path | None) -> OpenedFile:
    """Imports a backend only when it is chosen: an import takes a tenth of a second or more."""
    if backend == "litert":
        from acne_runtime.backends.litert import LiteRtBackend

        return LiteRtBackend(file, device, threads, delegate)
    if delegate is not None:
        raise BackendError("`delegate` needs LiteRT; add `backend` litert, or omit it", parameter="delegate")
    from acne_runtime.backends.onnx import OnnxBackend

    return OnnxBackend(file, device, threads)
