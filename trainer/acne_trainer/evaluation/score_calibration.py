"""Lesion scores that mean something: temperature and bias, chosen on validation photographs, folded into the heads.

A detector trained on incomplete labels calls its best finding 0.1. Scaling every type's logit to z / temperature +
bias moves all scores alike: the bias puts the operating point, where F1 is highest, at 0.5; the temperature is then
the one under which the scores are likeliest as probabilities (Guo et al. 2017, section 4.2, has the temperature
alone), of those that find as well: the order of lesions changes with it a little.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

from acne_trainer.metrics.lesions import DECISION_IOU
from acne_trainer.metrics.matching import match
from acne_trainer.metrics.scored_image import ScoredImage

OPERATING_POINT = 0.5
"""The calibrated score at which F1 is highest on the validation photographs."""
_LOG_TEMPERATURES = np.linspace(-0.7, 0.7, 29)
"""Temperatures of 0.5 to 2: a lower one would multiply the rounding of float16 and int8."""
_LEAST_F1 = 0.05
"""Below, the model has learnt nothing that an operating point could be chosen by."""
_F1_LOST = 0.01
"""Share of the best F1 that may be given up for likelier scores."""
_LEAST = 1e-6
"""Probabilities are kept so far from 0 and 1."""
_ROUNDS = 8
"""The operating point moves a little with the bias, since the order of the scores does; this often it is followed."""


@dataclass(frozen=True, slots=True)
class ScoreCalibration:
    """What the heads' logits are scaled by.

    Attributes:
        temperature: Divides every logit, above 0.
        bias: Is added then.
        f1: The highest F1 on the validation photographs, 0 to 1, reached at a score of `OPERATING_POINT`.
        photographs: How many those were.
    """

    temperature: float
    bias: float
    f1: float
    photographs: int

    def to_dict(self) -> dict[str, Any]:
        """Returns the JSON form, with how lesions were matched."""
        return dataclasses.asdict(self) | {"iou": DECISION_IOU}


def calibrate(
    photographs: Sequence[ScoredImage], types: Sequence[NDArray[np.floating[Any]]]
) -> ScoreCalibration | None:
    """Chooses temperature and bias.

    Args:
        photographs: Validation photographs, all types as one class.
        types: For each `[lesions, classes]`, the probability of each type of each predicted lesion.

    Returns:
        `None` where next to no predicted lesion lies on a marked one: there is nothing to go by.
    """
    gt_count = sum(len(image.gt_boxes) for image in photographs)
    is_tp = np.concatenate([match(image.gt_boxes, image.pred_boxes, DECISION_IOU) >= 0 for image in photographs])
    logits = _logit(np.concatenate([np.asarray(image, np.float64) for image in types]))
    if not is_tp.any():
        return None
    tried: list[tuple[float, ScoreCalibration]] = []
    for log_temperature in _LOG_TEMPERATURES:
        scaled = logits * np.exp(-log_temperature)
        bias, f1 = _bias(scaled, is_tp, gt_count)
        scores = np.clip(lesion_scores(scaled + bias), _LEAST, 1 - _LEAST)
        likelihood = float(np.where(is_tp, np.log(scores), np.log1p(-scores)).mean())
        tried.append((likelihood, ScoreCalibration(float(np.exp(log_temperature)), bias, f1, len(photographs))))
    # A low temperature lets lesions of one sure type pass those of several possible ones, a high one the reverse.
    highest = max(one.f1 for _, one in tried)
    if highest < _LEAST_F1:
        return None
    least = (1 - _F1_LOST) * highest
    return max((candidate for candidate in tried if candidate[1].f1 >= least), key=lambda candidate: candidate[0])[1]


def lesion_scores(logits: NDArray[np.float64]) -> NDArray[np.float64]:
    """Returns `[n]`, 1 - prod(1 - sigmoid(z)) over the types, from logits `[n, classes]`."""
    return np.asarray(-np.expm1(-np.logaddexp(0, logits).sum(axis=1)))


def _bias(logits: NDArray[np.float64], is_tp: NDArray[np.bool_], gt_count: int) -> tuple[float, float]:
    """Returns the bias under which F1 is highest at `OPERATING_POINT`, and that F1."""
    bias, f1 = 0.0, 0.0
    for _ in range(_ROUNDS):
        order = np.argsort(-lesion_scores(logits + bias), kind="stable")
        tp = np.cumsum(is_tp[order])
        curve = 2 * tp / (np.arange(1, len(order) + 1) + gt_count)
        place = int(curve.argmax())
        f1 = float(curve[place])
        # Between the last lesion that is shown and the first that is not: the median of what either would need.
        edge = order[place : place + 2]
        bias = float(np.mean([_bias_to(logits[index], OPERATING_POINT) for index in edge]))
    return bias, f1


def _bias_to(logits: NDArray[np.float64], score: float) -> float:
    """Returns what has to be added to a lesion's logits `[classes]` to give it a score, by bisection."""
    low, high = -60.0, 60.0
    for _ in range(60):
        middle = (low + high) / 2
        if lesion_scores(logits[None] + middle)[0] < score:
            low = middle
        else:
            high = middle
    return (low + high) / 2


def _logit(probabilities: NDArray[np.float64]) -> NDArray[np.float64]:
    clipped = np.clip(probabilities, _LEAST, 1 - _LEAST)
    return np.asarray(np.log(clipped / (1 - clipped)))


def fold_into_heads(inference: keras.Model, calibration: ScoreCalibration) -> None:
    """Scales the convolutions behind the outputs `score_...`, so that every file and device has calibrated scores.

    Args:
        inference: The plain model that is exported, changed in place.
        calibration: The temperature and bias.
    """
    for name, output in inference.output.items():
        if name.startswith("score_"):
            activation = output._keras_history.operation
            head = activation.input._keras_history.operation
            kernel, bias = head.get_weights()
            head.set_weights([kernel / calibration.temperature, bias / calibration.temperature + calibration.bias])
