"""Latency and memory of model files, measured side by side."""
