"""Acne Edge exporter: from a trained Keras model to a validated ONNX or TFLite file.

The names below are imported on first use, so that `import acne_export` loads no TensorFlow.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from acne_export.exporting import ExportOptions, export, export_with_fallback
    from acne_export.recipe import Recipe
    from acne_export.verification import verify

__all__ = ["ExportOptions", "Recipe", "export", "export_with_fallback", "verify"]

_MODULES = {
    "ExportOptions": "acne_export.exporting",
    "Recipe": "acne_export.recipe",
    "export": "acne_export.exporting",
    "export_with_fallback": "acne_export.exporting",
    "verify": "acne_export.verification",
}


def __getattr__(name: str) -> Any:
    if name in _MODULES:
        return getattr(importlib.import_module(_MODULES[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
