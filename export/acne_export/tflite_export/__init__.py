"""Conversion to TFLite."""
