"""Figures of models, from arrays."""
