"""A logistic regression per lesion type on pooled features, folded into one dense layer."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import average_precision_score
from sklearn.model_selection import GroupKFold
from sklearn.preprocessing import StandardScaler

logger = logging.getLogger(__name__)

_STRENGTHS = (3e-4, 1e-3, 3e-3)
"""Inverse strengths C of the L2 penalty to choose from, for standardised features."""
_FOLDS = 5
_ITERATIONS = 1000
_RARE = 1e-3
"""Least distance from 0 and 1 of the prevalence of a type that all photographs show, or none."""


@dataclass(frozen=True, slots=True)
class DenseLayer:
    """A fitted classifier: `sigmoid(features @ kernel + bias)`.

    Attributes:
        kernel: `[features, classes]` float32, the standardisation of the features folded in.
        bias: `[classes]` float32.
    """

    kernel: NDArray[np.float32]
    bias: NDArray[np.float32]

    def probabilities(self, features: NDArray[np.floating]) -> NDArray[np.float32]:
        """Returns `[photographs, classes]`, 0 to 1, of features `[photographs, features]`."""
        logits = features.astype(np.float32) @ self.kernel + self.bias
        return np.asarray(1 / (1 + np.exp(-logits)), np.float32)


def fit_dense_layer(
    features: NDArray[np.float32],
    targets: NDArray[np.float32],
    unknown: NDArray[np.float32] | None,
    groups: Sequence[str],
) -> tuple[DenseLayer, NDArray[np.float32]]:
    """Fits one L2 logistic regression per class, its strength chosen by cross-validation.

    Args:
        features: `[photographs, features]`.
        targets: `[photographs, classes]`, 0 or 1.
        unknown: `[photographs, classes]`, 1 where a class was not looked for: there its absence teaches nothing.
        groups: The photographs' groups, such as their source photographs; none stands on both sides of a fold.

    Returns:
        The layer fitted on all photographs, and the out-of-fold probabilities `[photographs, classes]`: of each
        photograph by a layer fitted without its group. Where there is one group only, they are those of the layer.
    """
    known = np.ones(targets.shape, bool) if unknown is None else (unknown == 0) | (targets > 0)
    folds = min(_FOLDS, len(set(groups)))
    if folds < 2:
        layer = _fit(features, targets, known, _STRENGTHS[1])
        return layer, layer.probabilities(features)
    best, out_of_fold, strength = -1.0, np.zeros(targets.shape, np.float32), _STRENGTHS[0]
    for candidate in _STRENGTHS:
        predicted = np.zeros(targets.shape, np.float32)
        for train, held_out in GroupKFold(folds).split(features, groups=groups):
            layer = _fit(features[train], targets[train], known[train], candidate)
            predicted[held_out] = layer.probabilities(features[held_out])
        score = _macro_ap(targets, predicted, known)
        logger.info("C = %g: macro AP %.4f by %d-fold cross-validation on train", candidate, score, folds)
        if score > best:
            best, out_of_fold, strength = score, predicted, candidate
    return _fit(features, targets, known, strength), out_of_fold


def _fit(
    features: NDArray[np.float32], targets: NDArray[np.float32], known: NDArray[np.bool_], strength: float
) -> DenseLayer:
    kernels, biases = [], []
    for wanted, rows in zip(targets.T > 0, known.T, strict=True):
        if len(np.unique(wanted[rows])) < 2:
            prevalence = np.clip(wanted[rows].mean() if rows.any() else 0.0, _RARE, 1 - _RARE)
            kernels.append(np.zeros(features.shape[1]))
            biases.append(float(np.log(prevalence / (1 - prevalence))))
            continue
        scaler = StandardScaler().fit(features[rows])
        model = LogisticRegression(C=strength, max_iter=_ITERATIONS)
        model.fit(scaler.transform(features[rows]), wanted[rows])
        kernel = model.coef_[0] / scaler.scale_
        kernels.append(kernel)
        biases.append(float(model.intercept_[0] - kernel @ scaler.mean_))
    return DenseLayer(np.stack(kernels, axis=1).astype(np.float32), np.array(biases, np.float32))


def _macro_ap(targets: NDArray[np.float32], predicted: NDArray[np.float32], known: NDArray[np.bool_]) -> float:
    """Returns the mean average precision of the classes that any photograph shows."""
    return float(
        np.mean(
            [
                average_precision_score(targets[rows, index] > 0, predicted[rows, index])
                for index, rows in enumerate(known.T)
                if targets[rows, index].any()
            ]
            or [0.0]
        )
    )
