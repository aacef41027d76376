"""The course of a training (the paper's Figure 4): losses and validation scores over the epochs."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from markupsafe import Markup

from acne_trainer.reports.charts import Axis, Series, chart
from acne_trainer.reports.render import group, section
from acne_trainer.run_folder import TrainedRun


def course_section(run: TrainedRun) -> Markup:
    """Returns the curves of everything that the history recorded; there must be an epoch in it."""
    names = list(dict.fromkeys(name for row in run.history for name in row))
    groups = {
        "Losses": [name for name in names if "loss" in name],
        "Validation scores": [name for name in names if name.startswith("val_") and "loss" not in name],
    }
    best = run.best_epoch().get("epoch")
    charts = [_curves(run.history, title, group, best) for title, group in groups.items() if group]
    words = f"{len(run.history)} epochs."
    if best is not None:
        words += f" The dashed line is epoch {best:g}, whose weights were kept."
    return section("Course of the training", words, group("charts", charts))


def _curves(history: Sequence[Mapping[str, float]], title: str, names: Sequence[str], best: float | None) -> Markup:
    series = []
    for place, name in enumerate(names):
        points = [(row["epoch"], row[name]) for row in history if math.isfinite(row.get(name, math.nan))]
        series.append(Series(name.replace("_", " "), points, place, dots=len(points) == 1))
    epochs = [row["epoch"] for row in history]
    values = [y for curve in series for _, y in curve.points]
    return chart(title, series, Axis("epoch", min(epochs) - 1, max(epochs)), Axis.over("", values), marked_x=best)
