"""Figures of `metrics.json` as words: with their interval, and with the constant predictor's beside them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from acne_trainer.cli.text_table import headed
from acne_trainer.reports.html import Html, element, table

NONE = "-"
"""Stands where there is no figure."""


@dataclass(frozen=True, slots=True)
class Figure:
    """One figure of `metrics.json`.

    Attributes:
        label: What a reader calls it.
        name: Its key.
        lower_is_better: Its direction.
    """

    label: str
    name: str
    lower_is_better: bool = False


OVERALL = {
    "multilabel": (
        Figure("argmax agreement (the paper's accuracy)", "argmax_agreement"),
        Figure("exact match", "exact_match"),
        Figure("macro F1", "macro_f1"),
        Figure("macro AP", "macro_ap"),
        Figure("loss", "loss", lower_is_better=True),
        Figure("macro precision", "macro_precision"),
        Figure("macro recall", "macro_recall"),
        Figure("macro AUROC", "macro_auroc"),
        Figure("micro precision", "micro_precision"),
        Figure("micro recall", "micro_recall"),
        Figure("micro F1", "micro_f1"),
        Figure("micro AP", "micro_ap"),
        Figure("micro AUROC", "micro_auroc"),
        Figure("calibration error", "calibration_error", lower_is_better=True),
    ),
    "detection": (
        Figure("AP50", "ap50"),
        Figure("AP, IoU 0.50 to 0.95", "ap"),
        Figure("AP75", "ap75"),
        Figure("AP50, lesions as one class", "ap50_one_class"),
        Figure("AP at IoU 0.3, lesions as one class", "ap30_one_class"),
        Figure("AP by centre, lesions as one class", "ap_centre_one_class"),
        Figure("precision at the threshold, IoU 0.3, one class", "precision_one_class"),
        Figure("recall at the threshold, IoU 0.3, one class", "recall_one_class"),
        Figure("F1 at the threshold, IoU 0.3, one class", "f1_one_class"),
        Figure("precision at the thresholds", "precision"),
        Figure("recall at the thresholds", "recall"),
        Figure("F1 at the thresholds", "f1"),
        Figure("count error, lesions a photograph", "count_error", lower_is_better=True),
        Figure("Spearman's rho of the counts", "count_rho"),
        Figure("right type among matched lesions", "type_agreement"),
        Figure("calibration error of the lesion score", "calibration_error", lower_is_better=True),
    ),
}
"""What is told of a model as a whole, by task."""


def number(value: Any) -> str:
    """Returns a figure in three decimals, from 1 on in two."""
    if value is None:
        return NONE
    return f"{value:.3f}" if abs(round(value, 3)) < 1 else f"{value:.2f}"


def interval(bounds: Sequence[float | None] | None) -> str:
    """Returns an interval in words, or nothing where there is none."""
    low, high = bounds or (None, None)
    return "" if low is None or high is None else f"{number(low)} to {number(high)}"


def figure_text(figures: Mapping[str, Any], name: str, key: str = "") -> str:
    """Returns a figure, or that of a class, with its interval in brackets."""
    value, bounds = figures.get(name), figures.get(f"{name}_interval_95")
    if key:
        value, bounds = (value or {}).get(key), (bounds or {}).get(key)
    between = interval(bounds)
    return f"{number(value)} ({between})" if between else number(value)


def cards(figures: Sequence[Figure], model: Mapping[str, Any], constant: Mapping[str, Any]) -> Html:
    """Returns the headline: each figure large, with interval, constant predictor and what that comparison says."""
    return element(
        "div",
        *(
            element(
                "div",
                element("span", figure.label),
                element("b", number(model.get(figure.name))),
                element("span", f"95 % interval {interval(model.get(f'{figure.name}_interval_95')) or NONE}"),
                element("span", f"constant predictor {figure_text(constant, figure.name)}"),
                element("span", _verdict(figure, model, constant)),
                class_="card",
            )
            for figure in figures
            if figure.name in model
        ),
        class_="cards",
    )


def _verdict(figure: Figure, model: Mapping[str, Any], constant: Mapping[str, Any]) -> str:
    low, high = model.get(f"{figure.name}_interval_95") or (None, None)
    beside = constant.get(figure.name)
    if low is None or high is None or beside is None:
        return ""
    if low <= beside <= high:
        return "not told apart from the constant predictor"
    word = "better" if (low > beside) != figure.lower_is_better else "worse"
    return f"{word} than the constant predictor"


def overall_table(figures: Sequence[Figure], model: Mapping[str, Any], constant: Mapping[str, Any]) -> Html:
    """Returns a row a figure, for the model and the constant predictor."""
    return table(_OVERALL_HEADING, _overall_rows(figures, model, constant))


def overall_text(figures: Sequence[Figure], model: Mapping[str, Any], constant: Mapping[str, Any]) -> str:
    """Returns the same as text."""
    return headed([_OVERALL_HEADING, *_overall_rows(figures, model, constant)])


_OVERALL_HEADING = ("figure (95 % interval)", "model", "constant predictor")


def _overall_rows(
    figures: Sequence[Figure], model: Mapping[str, Any], constant: Mapping[str, Any]
) -> list[tuple[str, ...]]:
    return [
        (figure.label, figure_text(model, figure.name), figure_text(constant, figure.name))
        for figure in figures
        if figure.name in model
    ]


def class_table(
    figures: Sequence[Figure], classes: Sequence[str], model: Mapping[str, Any], constant: Mapping[str, Any]
) -> Html:
    """Returns a row a class, a pair of columns a figure."""
    known = [figure for figure in figures if f"{figure.name}_by_class" in model]
    headings = ["type", *(part for figure in known for part in (figure.label, "constant"))]
    rows = []
    for one in classes:
        row = [one]
        for figure in known:
            name = f"{figure.name}_by_class"
            row += [figure_text(model, name, one), number((constant.get(name) or {}).get(one))]
        rows.append(row)
    return table(headings, rows)
