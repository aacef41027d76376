"""Times several calls interleaved in one run, so that noise on the machine affects all of them alike."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from time import perf_counter, sleep
from typing import TypeVar

import numpy as np

_PAUSE_S = 0.03
"""Before each turn: ONNX Runtime's threads spin for a while after an inference, on the cores of whoever comes next."""
_TURN = 5
"""Timed calls of a turn, one after the other as frames come; one before them, which wakes the threads, is not."""

Name = TypeVar("Name")


def interleaved_times(
    calls: Mapping[Name, Callable[[], object]], runs: int, turn: int = _TURN
) -> dict[Name, list[float]]:
    """Returns the milliseconds of each call.

    Args:
        calls: What to time, by name.
        runs: Timed calls of each, rounded up to whole turns.
        turn: Timed calls of a turn.
    """
    names = list(calls)
    taken: dict[Name, list[float]] = {name: [] for name in names}
    rng = np.random.default_rng(0)
    for _ in range(-(-runs // turn)):
        for index in rng.permutation(len(names)):  # so that none always follows the same other
            call, times = calls[names[index]], taken[names[index]]
            sleep(_PAUSE_S)
            call()
            for _ in range(turn):
                started = perf_counter()
                call()
                times.append(1e3 * (perf_counter() - started))
    return taken
