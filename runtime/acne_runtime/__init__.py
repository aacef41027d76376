"""Acne Edge runtime: acne-lesion recognition through ONNX Runtime or LiteRT. Decision support, no diagnosis."""

__version__ = "0.1.0"
