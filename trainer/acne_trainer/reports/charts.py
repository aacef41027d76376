"""Charts as inline SVG: sharp on any screen and on paper, and in the colours of the page around them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup
from matplotlib.ticker import MaxNLocator

from acne_trainer.reports.render import render

_WIDTH, _HEIGHT = 480, 310
_LEFT, _RIGHT, _TOP, _BOTTOM = 46, 10, 28, 46
"""Size of a chart and of the margins around its field, in units of its own view box."""

_COLOURS = 7
"""Colours that the page has for series: the classes `c0` to `c6`."""


@dataclass(frozen=True, slots=True)
class Series:
    """One line of a chart.

    Attributes:
        name: For the legend, which leaves out a series without one.
        points: x and y of each point, in the axes' units.
        colour: Number of the page's colour, from 0; after the last comes the first again.
        line: Whether the points are joined.
        dots: Whether each point is marked.
    """

    name: str
    points: Sequence[tuple[float, float]]
    colour: int
    line: bool = True
    dots: bool = False


@dataclass(frozen=True, slots=True)
class Axis:
    """One axis: what it measures, and from where to where."""

    label: str
    low: float
    high: float

    @classmethod
    def over(cls, label: str, values: Sequence[float]) -> Axis:
        """Returns an axis that begins at zero, or at the least value if that is negative, and holds all values."""
        low, high = min([0.0, *values]), max([0.0, *values])
        return cls(label, low, high if high > low else low + 1)


def chart(
    title: str,
    series: Sequence[Series],
    x: Axis,
    y: Axis,
    diagonal: bool = False,
    marked_x: float | None = None,
) -> Markup:
    """Returns a chart with its legend.

    Args:
        title: Stands above the chart.
        series: What it shows.
        x: The horizontal axis.
        y: The vertical axis.
        diagonal: Whether to draw where both are equal.
        marked_x: Where to draw a vertical line.
    """
    left, right, bottom = _LEFT, _WIDTH - _RIGHT, _HEIGHT - _BOTTOM

    def across(value: float) -> float:
        return round(left + (value - x.low) / (x.high - x.low) * (right - left), 1)

    def down(value: float) -> float:
        return round(bottom - (value - y.low) / (y.high - y.low) * (bottom - _TOP), 1)

    rules = []
    if diagonal:
        low, high = max(x.low, y.low), min(x.high, y.high)
        rules.append((across(low), down(low), across(high), down(high)))
    if marked_x is not None:
        rules.append((across(marked_x), down(y.low), across(marked_x), down(y.high)))
    return render(
        "chart.html",
        title=title,
        x=x,
        y=y,
        width=_WIDTH,
        height=_HEIGHT,
        left=left,
        right=right,
        bottom=bottom,
        x_ticks=[{"at": across(value), "label": f"{value:g}"} for value in _ticks(x)],
        y_ticks=[{"at": down(value), "label": f"{value:g}"} for value in _ticks(y)],
        rules=rules,
        series=[
            {
                "name": line.name,
                "colour": f"c{line.colour % _COLOURS}",
                "points": [(across(point_x), down(point_y)) for point_x, point_y in line.points],
                "line": line.line,
                "dots": line.dots,
            }
            for line in series
        ],
    )


def _ticks(axis: Axis) -> list[float]:
    ticks = MaxNLocator(nbins=6, steps=[1, 2, 2.5, 5, 10]).tick_values(axis.low, axis.high)
    return [float(value) for value in ticks if axis.low <= value <= axis.high]
