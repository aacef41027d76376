"""How far a change between two visits is beyond what measuring the same skin twice gives."""

from __future__ import annotations

import math
from dataclasses import dataclass

CHANGE_ERROR = 0.65
"""95 % quantile of |new - resolved| over the root of both counts together, on unchanged skin photographed again:
`benchmarks/monitor/revisits.py change` on acne04/valid, 53 pairs (single photographs 0.49, bursts of ten 0.64)."""
VARIANCE_SINGLE, VARIANCE_BURST = 0.21, 0.11
"""Variance of a count over the count, of a single photograph and a burst of ten: `benchmarks/runtime/tracking.py`."""
BURST = 5
"""Frames from which a photograph counts as a burst."""
MIN_PERCENT = 10
"""Lesions at the earlier visit below which a percentage says nothing."""


@dataclass(frozen=True, slots=True)
class Change:
    """A change of a number of lesions.

    Attributes:
        earlier: Lesions at the earlier visit, of those in view at both.
        later: Lesions at the later visit, of those in view at both.
        new: Lesions that were not there before.
        resolved: Lesions that are not there any more.
        error: 95 % of the differences between two measurements of unchanged skin are at most this.
    """

    earlier: int
    later: int
    new: int
    resolved: int
    error: float

    @property
    def difference(self) -> int:
        """New less resolved lesions."""
        return self.new - self.resolved

    @property
    def verdict(self) -> str:
        """`lower`, `higher` or `within measuring error`."""
        if abs(self.difference) <= self.error:
            return "within measuring error"
        return "higher" if self.difference > 0 else "lower"

    @property
    def percent(self) -> tuple[float, float] | None:
        """The difference and its error in percent of the earlier count; `None` if that is too small."""
        if self.earlier < MIN_PERCENT:
            return None
        return 100 * self.difference / self.earlier, 100 * self.error / self.earlier

    def __str__(self) -> str:
        """Returns it as text, such as `-8 ± 5.0 (-32 % ± 20 %): lower`."""
        text = f"{self.difference:+d} ± {self.error:.1f}"
        if self.percent is not None:
            text += f" ({self.percent[0]:+.0f} % ± {self.percent[1]:.0f} %)"
        return f"{text}: {self.verdict}"


def change_error(earlier: int, later: int) -> float:
    """Returns the largest difference between two visits of unchanged skin, in 95 of 100 cases; at least one lesion.

    It grows with the root of the counts, since each lesion near the threshold is shown or not by itself.
    """
    return max(1.0, CHANGE_ERROR * math.sqrt(earlier + later))


def count_error(count: int, frames: int) -> float:
    """Returns how far a count is from the mean of many, in 95 of 100 cases (1.96 standard deviations).

    Args:
        count: Lesions.
        frames: Frames that the count is of.
    """
    return 1.96 * math.sqrt(max(count, 1) * (VARIANCE_BURST if frames >= BURST else VARIANCE_SINGLE))
