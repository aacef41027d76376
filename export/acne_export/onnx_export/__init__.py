"""Conversion to ONNX."""
