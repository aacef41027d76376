"""Acne Edge runtime: acne-lesion recognition through ONNX Runtime or LiteRT. Decision support, no diagnosis."""

__version__ = "0.1.0"

from acne_runtime.load import load_model
from acne_runtime.model import Model
from acne_runtime.result import Label, Lesion, Result

__all__ = ["Label", "Lesion", "Model", "Result", "load_model"]
