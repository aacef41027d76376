"""Which epoch is the best, and when to stop looking for a better one."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence


class EarlyStopping:
    """Follows one validation metric over a training's history."""

    def __init__(self, monitor: str, higher_is_better: bool, patience: int):
        """Remembers what to follow.

        Args:
            monitor: Name of the metric; epochs without validation lack it.
            higher_is_better: Its direction.
            patience: Validations without a better one after which training stops.
        """
        self.monitor, self.patience = monitor, patience
        self._sign = 1 if higher_is_better else -1

    def is_best(self, history: Sequence[Mapping[str, float]]) -> bool:
        """Returns whether the last epoch was validated and is better than all before."""
        scores = self._scores(history)
        return self.monitor in history[-1] and scores[-1] > max(scores[:-1], default=-math.inf)

    def is_exhausted(self, history: Sequence[Mapping[str, float]]) -> bool:
        """Returns whether the metric has not improved for `patience` validations."""
        scores = self._scores(history)
        return bool(scores) and len(scores) - 1 - scores.index(max(scores)) >= self.patience

    def _scores(self, history: Sequence[Mapping[str, float]]) -> list[float]:
        scores = [self._sign * row[self.monitor] for row in history if self.monitor in row]
        return [score if math.isfinite(score) else -math.inf for score in scores]
