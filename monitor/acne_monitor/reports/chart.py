"""The counts over time, with their measuring error and the treatments, as values that the template draws."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date

from acne_monitor.comparing.change import count_error
from acne_monitor.history import History

WIDTH, HEIGHT = 640, 260
_LEFT, _RIGHT, _TOP, _BOTTOM = 44, 12, 12, 34
_BAR = 20
"""Height of a treatment's line below the time axis."""
_TICKS = 4
_LABEL = 110
"""Pixels between two dates; closer ones would overlap."""


@dataclass(frozen=True, slots=True)
class Series:
    """A line of the chart, in its pixels.

    Attributes:
        name: What it counts.
        line: Points of the line, as in SVG's `points`.
        band: Outline of the measuring error, the same.
        dots: x, y and text of each visit.
    """

    name: str
    line: str
    band: str
    dots: list[tuple[float, float, str]]


@dataclass(frozen=True, slots=True)
class Chart:
    """What the template draws; all in pixels.

    Attributes:
        height: Of the whole, treatments included.
        series: The lines.
        ticks: y and text of the counts.
        days: x and text of the visits.
        bars: x, y, width and text of each treatment.
    """

    height: int
    series: list[Series]
    ticks: list[tuple[float, str]]
    days: list[tuple[float, str]]
    bars: list[tuple[float, float, float, str]]


def draw_chart(history: History, groups: Sequence[str] = ("total", "inflammatory")) -> Chart | None:
    """Returns the chart of the visits that the history's model has seen; `None` if there is none.

    A visit is drawn only with the views of the first one, or the lines would fall where a view was not taken.
    """
    shown = [visit for visit in history.visits if visit.photographs]
    if not shown:
        return None
    views = set(shown[0].photographs)
    shown = [visit for visit in shown if set(visit.photographs) >= views]
    days = [date.fromisoformat(visit.date).toordinal() for visit in shown]
    first, last = days[0], max(days[-1], days[0] + 1)
    values: dict[str, list[tuple[int, float]]] = {group: [] for group in groups}
    for visit in shown:
        for group in groups:
            photographs = [visit.photographs[view] for view in views]
            count = sum(photograph.counts()[group] for photograph in photographs)
            frames = min(len(photograph.frame_counts) for photograph in photographs)
            values[group].append((count, count_error(count, frames)))
    top = _round_up(max(count + error for points in values.values() for count, error in points))

    def x(day: float) -> float:
        return round(_LEFT + (day - first) / (last - first) * (WIDTH - _LEFT - _RIGHT), 1)

    def y(count: float) -> float:
        return round(HEIGHT - _BOTTOM - max(0.0, count) / top * (HEIGHT - _TOP - _BOTTOM), 1)

    series = []
    for group, points in values.items():
        upper = [f"{x(day)},{y(count + error)}" for day, (count, error) in zip(days, points, strict=True)]
        lower = [f"{x(day)},{y(count - error)}" for day, (count, error) in zip(days, points, strict=True)]
        dots = [
            (x(day), y(count), f"{visit.name} {visit.date}: {count} {group} ± {error:.0f}")
            for visit, day, (count, error) in zip(shown, days, points, strict=True)
        ]
        line = " ".join(f"{left},{height}" for left, height, _ in dots)
        series.append(Series(group, line, " ".join(upper + lower[::-1]), dots))
    bars: list[tuple[float, float, float, str]] = []
    for row, treatment in enumerate(history.treatments):
        start = min(max(first, date.fromisoformat(treatment["from_date"]).toordinal()), last)
        end = last if treatment["to_date"] is None else date.fromisoformat(treatment["to_date"]).toordinal()
        end = min(max(end, start), last)
        bars.append((x(start), HEIGHT + row * _BAR, max(4.0, x(end) - x(start)), str(treatment["text"])))
    ticks = [(y(top * step / _TICKS), f"{top * step // _TICKS}") for step in range(_TICKS + 1)]
    labels: list[tuple[float, str]] = []
    free = -1e9
    for visit, day in zip(shown, days, strict=True):
        if x(day) - free > _LABEL or not labels:
            labels.append((x(day), visit.date))
            free = x(day)
    return Chart(HEIGHT + len(bars) * _BAR, series, ticks, labels, bars)


def _round_up(value: float) -> int:
    """Returns a multiple of the number of ticks that is not below a value."""
    for step in (1, 2, 5, 10, 20, 25, 50, 100, 250):
        if value <= step * _TICKS:
            return step * _TICKS
    return int(-(-value // 1000) * 1000)
