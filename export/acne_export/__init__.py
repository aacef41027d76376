"""Acne Edge exporter: from a trained Keras model to a verified ONNX or TFLite file."""
