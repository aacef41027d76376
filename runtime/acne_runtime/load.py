"""From a model's name or file to a `Model` that is ready to look at photographs."""

from __future__ import annotations

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

MAX_THREADS = 256
"""Of one inference; ONNX Runtime takes seconds to start hundreds, which no device has cores for."""
DEFAULT_MODEL = "acne-yolov8-xs"

_MODULES = {"onnx": "onnxruntime", "litert": "ai_edge_litert"}
_PACKAGES = {"onnx": "onnxruntime", "litert": "ai-edge-litert"}
_BACKEND_OF_SUFFIX = {".onnx": "onnx", ".tflite": "litert"}
_SHIPPED_FILE = {"onnx": "{name}.onnx", "litert": "{name}-int8.tflite"}


def model_folders() -> list[Path]:
    """Returns where shipped models are looked for: inside an installed package, or in a checkout."""
    here = Path(__file__).resolve().parent
    return [folder for folder in (here / "models", here.parents[1] / "models") if folder.is_dir()]


def shipped_models() -> list[str]:
    """Returns the names of the models that ship, the default first."""
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
    """Opens a model.

    Args:
        model: The name of a shipped model, or a `.onnx` or `.tflite` file with a manifest, or one of Ultralytics'
            detectors in these forms.
        backend: `onnx` or `litert`; None takes what fits the file, for a name what is installed.
        device: `cpu`; `auto`, the best that starts; or what the installed ONNX Runtime has, such as `cuda`.
        delegate: LiteRT: a shared library that computes what it can instead of XNNPACK.
        threads: Threads of one inference; 0 leaves it to the backend.
        score_threshold: The lesion threshold, or one for all classes, 0 to 1, instead of the manifest's own.

    Raises:
        ModelError: No such model, a damaged file, or no manifest.
        BackendError: The backend or the device is not installed.
    """
    _check(backend, threads, score_threshold)
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
            raise ModelError(f"{file}: damaged, it is not the file that {manifest_path(file).name} was made for")
    else:
        raise ModelError(
            f"{file}: carries no manifest, so its classes and thresholds are unknown; export it with acne-export, "
            f"or put one beside it as {manifest_path(file).name}"
        )
    if set(opened.outputs) != {output.name for output in manifest.outputs}:
        raise ModelError(f"{file}: its outputs {sorted(opened.outputs)} are not those that its manifest promises")
    return Model(manifest, opened, score_threshold)


def model_files(model: str | Path, backend: str | None = None) -> list[Path]:
    """Returns what `load_model` reads of a model: its file, and the manifest beside it.

    Raises:
        ModelError, BackendError: As `load_model` does, where there is no such model.
    """
    file, _ = _find(model, backend)
    return [file, manifest_path(file)]


def _check(backend: object, threads: object, score_threshold: float | None) -> None:
    if backend is not None and backend not in _MODULES:
        raise BackendError(f"backend {backend!r}: is none of {', '.join(_MODULES)}")
    if type(threads) is not int or not 0 <= threads <= MAX_THREADS:
        raise BackendError(f"--threads {threads}: not a whole number within 0 to {MAX_THREADS}")
    if score_threshold is not None and not 0 <= score_threshold <= 1:  # nor NaN
        raise ModelError(f"--score-threshold {score_threshold}: not within 0 to 1")


def _find(model: str | Path, backend: str | None) -> tuple[Path, str]:
    if Path(model).suffix.lower() in _BACKEND_OF_SUFFIX:
        file, fitting = Path(model), _BACKEND_OF_SUFFIX[Path(model).suffix.lower()]
        if not file.is_file():
            raise ModelError(f"{file}: no such model file")
        if backend not in (None, fitting):
            raise BackendError(f"--backend {backend} does not run {file.name}; leave it out or use --backend {fitting}")
        return file, fitting
    if backend is None:
        backend = next((name for name, module in _MODULES.items() if find_spec(module)), "onnx")
    for folder in model_folders():
        file = folder / str(model) / _SHIPPED_FILE[backend].format(name=model)
        if file.is_file():
            return file, backend
    raise ModelError(
        f"--model {model}: no .onnx or .tflite file and no shipped model ({', '.join(shipped_models()) or 'none'})"
    )


def _open(file: Path, backend: str, device: str, threads: int, delegate: Path | None) -> OpenedFile:
    """Imports a backend only now that it is chosen: an import costs a tenth of a second and up."""
    if backend == "litert":
        from acne_runtime.backends.litert import LiteRtBackend

        return LiteRtBackend(file, device, threads, delegate)
    if delegate is not None:
        raise BackendError("--delegate: goes with LiteRT; add --backend litert, or leave it out")
    from acne_runtime.backends.onnx import OnnxBackend

    return OnnxBackend(file, device, threads)
