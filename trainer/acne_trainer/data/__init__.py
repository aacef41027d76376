"""Labelled sets on their way into a training."""
