"""Batch normalisation at inference: a gain and an offset."""

from __future__ import annotations

import numpy as np
from keras import layers
from numpy.typing import NDArray


def affine(norm: layers.BatchNormalization) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Returns a batch normalisation at inference as gain and offset, `[channels]` each (float64 arithmetic)."""
    mean, variance = np.asarray(norm.moving_mean, np.float64), np.asarray(norm.moving_variance, np.float64)
    gamma = np.asarray(norm.gamma, np.float64) if norm.scale else np.ones_like(mean)
    beta = np.asarray(norm.beta, np.float64) if norm.center else np.zeros_like(mean)
    gain = gamma / np.sqrt(variance + norm.epsilon)
    return gain.astype(np.float32), (beta - mean * gain).astype(np.float32)
