"""Acne Edge runtime: acne lesion detection with ONNX Runtime or LiteRT. For education and monitoring only."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from acne_runtime.errors import AcneEdgeError
    from acne_runtime.load import load_model
    from acne_runtime.manifest import Manifest
    from acne_runtime.model import Model
    from acne_runtime.predictors.face_severity import FaceSeverity
    from acne_runtime.predictors.severity_model import SeverityModel
    from acne_runtime.predictors.tiling import TiledModel
    from acne_runtime.predictors.tracked_model import TrackedModel
    from acne_runtime.quality import measure_quality
    from acne_runtime.result import Label, Lesion, Result
    from acne_runtime.sources.open_source import open_source

__version__ = "0.1.0"

__all__ = [
    "AcneEdgeError",
    "FaceSeverity",
    "Label",
    "Lesion",
    "Manifest",
    "Model",
    "Result",
    "SeverityModel",
    "TiledModel",
    "TrackedModel",
    "load_model",
    "measure_quality",
    "open_source",
]

_MODULES = {
    "AcneEdgeError": "errors",
    "FaceSeverity": "predictors.face_severity",
    "Label": "result",
    "Lesion": "result",
    "Manifest": "manifest",
    "Model": "model",
    "Result": "result",
    "SeverityModel": "predictors.severity_model",
    "TiledModel": "predictors.tiling",
    "TrackedModel": "predictors.tracked_model",
    "load_model": "load",
    "measure_quality": "quality",
    "open_source": "sources.open_source",
}


def __getattr__(name: str) -> Any:
    """Imports a public name when it is first used, so that `import acne_runtime` loads neither NumPy nor OpenCV."""
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_MODULES[name]}"), name)
