"""Runs side by side, each on its own test photographs: the paper's Table 2 for any runs."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from acne_trainer.cli.text_table import headed
from acne_trainer.reports.parameter_count import parameter_count
from acne_trainer.run_folder import FinishedRun

CONSTANT = "constant predictor"


@dataclass(frozen=True, slots=True)
class Column:
    """One column of a table.

    Attributes:
        title: Its heading.
        name: The field of a row.
        digits: Decimals of a number; `None` for whole numbers and text.
    """

    title: str
    name: str
    digits: int | None = None


_WHO = (
    Column("run", "run"),
    Column("model", "model"),
    Column("parameters", "parameters"),
    Column("photographs", "photographs"),
)
TABLES = {
    "multilabel": (
        *_WHO,
        Column("argmax agreement", "argmax_agreement", 3),
        Column("exact match", "exact_match", 3),
        Column("macro F1", "macro_f1", 3),
        Column("macro AP", "macro_ap", 3),
        Column("loss", "loss", 3),
    ),
    "detection": (
        *_WHO,
        Column("AP50", "ap50", 3),
        Column("AP", "ap", 3),
        Column("count error", "count_error", 2),
        Column("box loss", "box_loss", 3),
        Column("class loss", "class_loss", 3),
    ),
}
_TITLES = {
    "multilabel": "Which lesion types are on the photograph (test)",
    "detection": "Where each lesion is (test); losses are those of training, in the best epoch",
}
_INTERVALS = ("argmax_agreement", "ap50")
"""Figures that are shown with their interval."""


def comparison(runs: Sequence[FinishedRun]) -> list[dict[str, Any]]:
    """Returns a row a run, and one for the constant predictor of each kind of model and set of photographs.

    Rows hold `task`, `data` and the fields of `TABLES`; of those in `_INTERVALS` also `..._low` and `..._high`. What a
    run does not tell, or what has no meaning for its kind of model, is `None`.

    Raises:
        SourceError: A run's `inference.keras` is damaged.
    """
    rows: list[dict[str, Any]] = []
    for task in TABLES:
        of_task = [run for run in runs if run.manifest.task == task]
        rows += [_row(run, "model") for run in of_task]
        # Runs on the same photographs have the same constant predictor: rows that read alike stand once.
        constants = [_row(run, CONSTANT) for run in of_task]
        rows += {(row["data"], *_cells(row)): row for row in constants}.values()
    return rows


def warnings(runs: Sequence[FinishedRun]) -> list[str]:
    """Returns a line for each set of photographs beyond the first that runs were trained on."""
    first, *others = runs
    return [
        f"warning: {run.folder} was trained on other photographs or labels than {first.folder} "
        "(their train_fingerprint differs): their figures do not compare"
        for run in others
        if run.manifest.provenance.get("train_fingerprint") != first.manifest.provenance.get("train_fingerprint")
    ]


def as_text(rows: Sequence[Mapping[str, Any]]) -> str:
    """Returns an aligned table for each kind of model among the rows."""
    tables = []
    for task, columns in TABLES.items():
        of_task = [row for row in rows if row["task"] == task]
        if of_task:
            cells = [[column.title for column in columns]]
            cells += [_cells(row) for row in of_task]
            tables.append(f"{_TITLES[task]}\n\n{headed(cells, words=2)}")
    return "\n\n".join(tables) + "\n"


def as_csv(rows: Sequence[Mapping[str, Any]]) -> str:
    """Returns the rows as CSV with one heading for all kinds of models; empty cells for what a row does not have."""
    text = io.StringIO()
    writer = csv.DictWriter(text, list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()


def as_json(rows: Sequence[Mapping[str, Any]]) -> str:
    """Returns the rows as a JSON list; `null` for what a row does not have."""
    return json.dumps(list(rows), indent=2) + "\n"


def _row(run: FinishedRun, who: str) -> dict[str, Any]:
    """Returns the row of a run's model, or of its constant predictor."""
    test = run.metrics["test"]
    is_model = who == "model"
    if run.manifest.task == "multilabel":
        figures = test["model" if is_model else "constant_predictor"]
    else:
        # Metrics of 0.1.0 have the counting baseline only.
        older = {"count_error": test.get("count_error_constant")}
        figures = test if is_model else test.get("constant_predictor", older)
    weights = run.folder / "inference.keras"
    row: dict[str, Any] = {
        "run": str(run.folder) if is_model else None,
        "task": run.manifest.task,
        "model": run.manifest.name if is_model else CONSTANT,
        "parameters": parameter_count(weights) if is_model and weights.is_file() else None,
        "data": run.manifest.provenance.get("data"),
        "photographs": test["photographs"],
    }
    course = run.best_epoch() if is_model else {}
    for column in (column for columns in TABLES.values() for column in columns if column not in _WHO):
        name = column.name
        row[name] = course.get(name) if name in ("box_loss", "class_loss") else figures.get(name)
        if name in _INTERVALS:
            row[f"{name}_low"], row[f"{name}_high"] = figures.get(f"{name}_interval_95", (None, None))
    return row


def _cells(row: Mapping[str, Any]) -> list[str]:
    return [_cell(row, column) for column in TABLES[row["task"]]]


def _cell(row: Mapping[str, Any], column: Column) -> str:
    value = row[column.name]
    if value is None:
        return "-"
    if column.digits is None:
        return f"{value:,}" if isinstance(value, int) else str(value)
    text = f"{value:.{column.digits}f}"
    low, high = row.get(f"{column.name}_low"), row.get(f"{column.name}_high")
    return text if low is None or high is None else f"{text} ({low:.{column.digits}f} to {high:.{column.digits}f})"
