"""How far a change between two visits is beyond what measuring the same skin twice gives."""

from __future__ import annotations

import math
from dataclasses import dataclass

VARIANCE_SINGLE, VARIANCE_BURST = 0.21, 0.11
"""Variance of a count over the count, for a single photograph and a burst of ten (benchmarks/monitor/revisits.py)."""
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
        """Returns it as text, such as `-8 ± 5 (-32 % ± 20 %): lower`."""
        text = f"{self.difference:+d} ± {self.error:.0f}"
        if self.percent is not None:
            text += f" ({self.percent[0]:+.0f} % ± {self.percent[1]:.0f} %)"
        return f"{text}: {self.verdict}"


def measuring_error(counts: tuple[int, int], frames: tuple[int, int]) -> float:
    """Returns the largest difference of two counts of the same skin, in 95 of 100 cases.

    The repeatability coefficient (Bland and Altman 1999): 1.96 standard deviations of a difference. The variance of a
    count grows with the count, since each lesion near the threshold is shown or not by itself.

    Args:
        counts: Lesions at both visits.
        frames: Frames that each count is of.
    """
    variance = sum(
        max(count, 1) * (VARIANCE_BURST if number >= BURST else VARIANCE_SINGLE)
        for count, number in zip(counts, frames, strict=True)
    )
    return max(1.0, 1.96 * math.sqrt(variance))
