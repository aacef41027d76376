"""Runs side by side, each on its own test photographs: the paper's Table 2 for any runs."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from acne_runtime.cli.text_table import headed
from acne_trainer.metrics.catalog import headline
from acne_trainer.run_folder import TrainedRun

BASELINE = "trivial baseline"


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


_RUN = (
    Column("run", "run"),
    Column("model", "model"),
    Column("parameters", "parameters"),
    Column("images", "images"),
)
_LOSSES = (Column("box loss", "box_loss", 3), Column("class loss", "class_loss", 3))
"""Of training, in the best epoch."""
TABLES = {
    "multilabel": (*_RUN, *(Column(metric.label, metric.key, 3) for metric in headline("multilabel"))),
    "detection": (*_RUN, *(Column(metric.label, metric.key, 3) for metric in headline("detection")), *_LOSSES),
}
_TITLES = {
    "multilabel": "Multi-label classification (test)",
    "detection": "Object detection (test); losses are those of training, in the best epoch",
}
_INTERVALS = ("argmax_agreement", "ap50")
"""Metrics that are shown with their interval."""


def comparison(runs: Sequence[TrainedRun]) -> list[dict[str, Any]]:
    """Returns a row a run, and one for the trivial baseline of each task and set of images.

    Rows hold `task`, `data` and the fields of `TABLES`; of those in `_INTERVALS` also `..._low` and `..._high`. What a
    run does not tell, or what has no meaning for its task, is `None`.
    """
    rows: list[dict[str, Any]] = []
    for task in TABLES:
        of_task = [run for run in runs if run.manifest.task == task]
        rows += [_row(run, "model") for run in of_task]
        # Runs on the same images have the same baseline: rows that read alike stand once.
        baselines = [_row(run, BASELINE) for run in of_task]
        rows += {(row["data"], *_cells(row)): row for row in baselines}.values()
    return rows


def warnings(runs: Sequence[TrainedRun]) -> list[str]:
    """Returns a line for each set of photographs beyond the first that runs were trained on."""
    first, *others = runs
    return [
        f"warning: {run.folder} was trained on other photographs or labels than {first.folder} "
        "(their train_fingerprint differs): their metrics do not compare"
        for run in others
        if run.manifest.provenance.get("train_fingerprint") != first.manifest.provenance.get("train_fingerprint")
    ]


def as_text(rows: Sequence[Mapping[str, Any]]) -> str:
    """Returns an aligned table for each task among the rows."""
    tables = []
    for task, columns in TABLES.items():
        of_task = [row for row in rows if row["task"] == task]
        if of_task:
            cells = [[column.title for column in columns]]
            cells += [_cells(row) for row in of_task]
            tables.append(f"{_TITLES[task]}\n\n{headed(cells, words=2)}")
    return "\n\n".join(tables) + "\n"


def as_csv(rows: Sequence[Mapping[str, Any]]) -> str:
    """Returns the rows as CSV with one heading for all tasks; empty cells for what a row does not have."""
    text = io.StringIO()
    writer = csv.DictWriter(text, list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()


def as_json(rows: Sequence[Mapping[str, Any]]) -> str:
    """Returns the rows as a JSON list; `null` for what a row does not have."""
    return json.dumps(list(rows), indent=2) + "\n"


def _row(run: TrainedRun, who: str) -> dict[str, Any]:
    """Returns the row of a run's model, or of its trivial baseline."""
    test = run.metrics["test"]
    is_model = who == "model"
    metrics = test["model" if is_model else "baseline"]
    row: dict[str, Any] = {
        "run": str(run.folder) if is_model else None,
        "task": run.manifest.task,
        "model": run.manifest.name if is_model else BASELINE,
        "parameters": run.manifest.provenance.get("parameters") if is_model else None,
        "data": run.manifest.provenance.get("data"),
        "images": test["images"],
    }
    course = run.best_epoch() if is_model else {}
    for column in (column for columns in TABLES.values() for column in columns if column not in _RUN):
        name = column.name
        row[name] = course.get(name) if name in ("box_loss", "class_loss") else metrics.get(name)
        if name in _INTERVALS:
            row[f"{name}_low"], row[f"{name}_high"] = metrics.get(f"{name}_interval_95", (None, None))
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
