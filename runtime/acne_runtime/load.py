"""From a model's name or file to a `Model` that is ready to look at photographs."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from acne_runtime.errors import BackendError, ModelError
from acne_runtime.manifest import Manifest, manifest_beside
from acne_runtime.model import Model

if TYPE_CHECKING:
    from acne_runtime.backends.litert import LiteRtBackend
    from acne_runtime.backends.onnx import OnnxBackend

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
    threads: int = 0,
    score_threshold: float | None = None,
) -> Model:
    """Opens a model.

    Args:
        model: The name of a shipped model, or a `.onnx` or `.tflite` file with a manifest.
        backend: `onnx` or `litert`; None takes what fits the file, for a name what is installed.
        device: `cpu`, `cuda` (ONNX Runtime), or `auto`.
        threads: Threads of one inference; 0 leaves it to the backend.
        score_threshold: One threshold for all classes, 0 to 1, instead of the manifest's own.

    Raises:
        ModelError: No such model, a damaged file, or no manifest.
        BackendError: The backend or the device is not installed.
    """
    file, backend = _find(model, backend)
    if find_spec(_MODULES[backend]) is None:
        raise BackendError(f"the {backend} backend is not installed; run: pip install {_PACKAGES[backend]}")
    opened = _open(file, backend, device, threads)
    if opened.manifest_text is not None:
        manifest = Manifest.from_json(opened.manifest_text, str(file))
    elif manifest_beside(file).is_file():
        manifest = Manifest.from_json(manifest_beside(file).read_bytes(), str(manifest_beside(file)))
    else:
        raise ModelError(
            f"{file}: carries no manifest, so its classes and thresholds are unknown; export it with acne-export, "
            f"or put one beside it as {manifest_beside(file).name}"
        )
    return Model(manifest, opened, score_threshold)


def _find(model: str | Path, backend: str | None) -> tuple[Path, str]:
    if Path(model).suffix in _BACKEND_OF_SUFFIX:
        file, fitting = Path(model), _BACKEND_OF_SUFFIX[Path(model).suffix]
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


def _open(file: Path, backend: str, device: str, threads: int) -> OnnxBackend | LiteRtBackend:
    """Imports a backend only now that it is chosen: an import costs a tenth of a second and up."""
    if backend == "onnx":
        from acne_runtime.backends.onnx import OnnxBackend as Chosen
    else:
        from acne_runtime.backends.litert import LiteRtBackend as Chosen  # type: ignore[assignment]
    return Chosen(file, device, threads)
