"""Which lesions of two aligned photographs are the same."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

_MIN_GATE = 1 / 64
"""Distance within which two places may be the same lesion, of the photograph's longest side."""
_GATE = 0.75
"""The same, of the lesion's side."""
_UNMATCHED = 1.5
"""Cost of leaving a lesion alone, where 1 is a pair at the gate."""


def match(
    expected: NDArray[np.float64], sides: NDArray[np.float64], boxes: NDArray[np.float64], longest_side: float
) -> list[tuple[int, int]]:
    """Returns pairs of expected lesions and boxes, at the least total cost.

    Args:
        expected: `[n, 2]`, centres of known lesions on the photograph, in pixels.
        sides: `[n]`, their sides in pixels of the photograph.
        boxes: `[m, 4]` `xyxy`, what is on the photograph.
        longest_side: Of the photograph, in pixels.
    """
    if not len(expected) or not len(boxes):
        return []
    centers = (boxes[:, :2] + boxes[:, 2:]) / 2
    distance = np.linalg.norm(expected[:, None] - centers, axis=2)
    gate = np.maximum(_MIN_GATE * longest_side, _GATE * sides)[:, None]
    own = np.sqrt(np.prod(boxes[:, 2:] - boxes[:, :2], axis=1))
    cost = distance / gate + 0.3 * np.abs(np.log(np.maximum(sides, 1)[:, None] / np.maximum(own, 1)))
    cost[distance > gate] = np.inf
    return assign(cost)


def assign(cost: NDArray[np.float64]) -> list[tuple[int, int]]:
    """Returns the pairs of rows and columns with the least total cost (Kuhn 1955, Munkres 1957).

    A row or column may stay alone, at a cost of `_UNMATCHED` a pair. Shortest augmenting paths with potentials, one
    row after another: n times as many steps as there are columns, each on whole arrays.

    Args:
        cost: `[n, m]`, infinite where a pair is impossible.
    """
    rows, columns = cost.shape
    # Each row has a column of its own to stay alone with.
    padded = np.full((rows, columns + rows), np.inf)
    padded[:, :columns] = cost
    padded[np.arange(rows), columns + np.arange(rows)] = _UNMATCHED
    potential, prices = np.zeros(rows), np.zeros(columns + rows)
    owner = np.full(columns + rows, -1)
    for start in range(rows):
        shortest, visited = np.full(columns + rows, np.inf), np.zeros(columns + rows, bool)
        previous = np.full(columns + rows, -1)
        row, column, reached = start, -1, 0.0
        path_rows = [(start, 0.0)]
        while True:
            through = reached + padded[row] - potential[row] - prices
            better = ~visited & (through < shortest)
            shortest[better], previous[better] = through[better], column
            column = int(np.where(visited, np.inf, shortest).argmin())
            reached, visited[column] = float(shortest[column]), True
            if owner[column] < 0:
                break
            row = int(owner[column])
            path_rows.append((row, reached))
        for each, distance in path_rows:
            potential[each] += reached - distance
        done = visited & (shortest <= reached)
        prices[done] -= reached - shortest[done]
        while column >= 0:
            before = int(previous[column])
            owner[column] = start if before < 0 else owner[before]
            column = before
    return sorted((int(owner[column]), column) for column in range(columns) if owner[column] >= 0)
