"""Tables of the metrics in `metrics.json`: each with its interval, and the trivial baseline next to it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from markupsafe import Markup

from acne_runtime.cli.text_table import headed
from acne_trainer.metrics.catalog import Metric
from acne_trainer.reports.render import render, table

NONE = "-"
"""Stands where there is no value."""


def number(value: Any) -> str:
    """Formats a value in three decimals, from 1 on in two."""
    if value is None:
        return NONE
    return f"{value:.3f}" if abs(round(value, 3)) < 1 else f"{value:.2f}"


def interval(bounds: Sequence[float | None] | None) -> str:
    """Returns an interval in words, or nothing where there is none."""
    low, high = bounds or (None, None)
    return "" if low is None or high is None else f"{number(low)} to {number(high)}"


def with_interval_text(values: Mapping[str, Any], name: str, class_name: str = "") -> str:
    """Formats a metric, or that of a class, with its interval in brackets."""
    value, bounds = values.get(name), values.get(f"{name}_interval_95")
    if class_name:
        value, bounds = (value or {}).get(class_name), (bounds or {}).get(class_name)
    between = interval(bounds)
    return f"{number(value)} ({between})" if between else number(value)


def cards(metrics: Sequence[Metric], model: Mapping[str, Any], baseline: Mapping[str, Any]) -> Markup:
    """Returns the headline: each metric large, with its interval, the trivial baseline, and how they compare."""
    shown = [
        {
            "label": metric.label,
            "value": number(model.get(metric.key)),
            "interval": interval(model.get(f"{metric.key}_interval_95")) or NONE,
            "baseline": with_interval_text(baseline, metric.key),
            "verdict": _verdict(metric, model, baseline),
        }
        for metric in metrics
        if metric.key in model
    ]
    return render("cards.html", cards=shown)


def _verdict(metric: Metric, model: Mapping[str, Any], baseline: Mapping[str, Any]) -> str:
    low, high = model.get(f"{metric.key}_interval_95") or (None, None)
    reference = baseline.get(metric.key)
    if low is None or high is None or reference is None:
        return ""
    if low <= reference <= high:
        return "not told apart from the trivial baseline"
    word = "better" if (low > reference) == metric.higher_is_better else "worse"
    return f"{word} than the trivial baseline"


def overall_table(metrics: Sequence[Metric], model: Mapping[str, Any], baseline: Mapping[str, Any]) -> Markup:
    """Returns one row a metric, for the model and the trivial baseline."""
    return table(_OVERALL_HEADING, _overall_rows(metrics, model, baseline))


def overall_text(metrics: Sequence[Metric], model: Mapping[str, Any], baseline: Mapping[str, Any]) -> str:
    """Returns the same as text."""
    return headed([_OVERALL_HEADING, *_overall_rows(metrics, model, baseline)])


_OVERALL_HEADING = ("metric (95 % interval)", "model", "trivial baseline")


def _overall_rows(
    metrics: Sequence[Metric], model: Mapping[str, Any], baseline: Mapping[str, Any]
) -> list[tuple[str, ...]]:
    return [
        (metric.label, with_interval_text(model, metric.key), with_interval_text(baseline, metric.key))
        for metric in metrics
        if metric.key in model
    ]


def class_table(
    metrics: Sequence[Metric], classes: Sequence[str], model: Mapping[str, Any], baseline: Mapping[str, Any]
) -> Markup:
    """Returns one row a class, a pair of columns a metric."""
    known = [metric for metric in metrics if f"{metric.key}_by_class" in model]
    headings = ["type", *(part for metric in known for part in (metric.label, "baseline"))]
    rows = []
    for lesion_type in classes:
        row = [lesion_type]
        for metric in known:
            name = f"{metric.key}_by_class"
            row += [with_interval_text(model, name, lesion_type), number((baseline.get(name) or {}).get(lesion_type))]
        rows.append(row)
    return table(headings, rows)
