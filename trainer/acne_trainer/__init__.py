"""Acne Edge trainer: from labelled photographs to a Keras model, its manifest and its report."""
