"""Charts as inline SVG: sharp on any screen and on paper, and in the colours of the page around them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from matplotlib.ticker import MaxNLocator

from acne_trainer.reports.html import Html, element

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

    @property
    def colour_class(self) -> str:
        """The name under which the page has the colour."""
        return f"c{self.colour % _COLOURS}"


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
) -> Html:
    """Returns a figure with its legend.

    Args:
        title: Stands above the chart.
        series: What it shows.
        x: The horizontal axis.
        y: The vertical axis.
        diagonal: Whether to draw where both are equal.
        marked_x: Where to draw a vertical line.
    """
    place = _Place(x, y)
    drawn = [*_grid(place)]
    if diagonal:
        low, high = max(x.low, y.low), min(x.high, y.high)
        drawn.append(_line(place.of(low, low), place.of(high, high), "rule"))
    if marked_x is not None:
        drawn.append(_line(place.of(marked_x, y.low), place.of(marked_x, y.high), "rule"))
    for one in series:
        points = [place.of(*point) for point in one.points]
        if one.line:
            corners = " ".join(f"{across:.1f},{down:.1f}" for across, down in points)
            drawn.append(element("polyline", points=corners, class_=f"line {one.colour_class}"))
        if one.dots:
            drawn += [
                element("circle", cx=f"{across:.1f}", cy=f"{down:.1f}", r=3, class_=f"dot {one.colour_class}")
                for across, down in points
            ]
    picture = element(
        "svg", *drawn, viewBox=f"0 0 {_WIDTH} {_HEIGHT}", role="img", aria_label=f"{title}: {y.label} over {x.label}"
    )
    named = (element("li", one.name, class_=one.colour_class) for one in series if one.name)
    legend = element("ul", *named, class_="legend")
    return element("figure", element("figcaption", title), picture, legend)


@dataclass(frozen=True, slots=True)
class _Place:
    """Where a value lies in the view box."""

    x: Axis
    y: Axis

    def of(self, x: float, y: float) -> tuple[float, float]:
        across = (x - self.x.low) / (self.x.high - self.x.low)
        up = (y - self.y.low) / (self.y.high - self.y.low)
        return _LEFT + across * (_WIDTH - _LEFT - _RIGHT), _HEIGHT - _BOTTOM - up * (_HEIGHT - _TOP - _BOTTOM)


def _grid(place: _Place) -> list[Html]:
    """Returns axes, ticks and labels."""
    drawn = []
    for value in _ticks(place.y):
        left, right = place.of(place.x.low, value), place.of(place.x.high, value)
        drawn.append(_line(left, right, "grid"))
        drawn.append(element("text", f"{value:g}", x=left[0] - 7, y=f"{left[1] + 4:.1f}", text_anchor="end"))
    for value in _ticks(place.x):
        across, down = place.of(value, place.y.low)
        drawn.append(_line((across, down), (across, down + 5), "grid"))
        drawn.append(element("text", f"{value:g}", x=f"{across:.1f}", y=f"{down + 19:.1f}", text_anchor="middle"))
    drawn.append(element("text", place.y.label, x=4, y=16))
    drawn.append(element("text", place.x.label, x=_WIDTH - _RIGHT, y=_HEIGHT - 8, text_anchor="end"))
    return drawn


def _ticks(axis: Axis) -> list[float]:
    ticks = MaxNLocator(nbins=6, steps=[1, 2, 2.5, 5, 10]).tick_values(axis.low, axis.high)
    return [float(value) for value in ticks if axis.low <= value <= axis.high]


def _line(start: tuple[float, float], end: tuple[float, float], kind: str) -> Html:
    (x1, y1), (x2, y2) = start, end
    return element("line", x1=f"{x1:.1f}", y1=f"{y1:.1f}", x2=f"{x2:.1f}", y2=f"{y2:.1f}", class_=kind)
