"""What a finished training left in its run folder, for those who read it afterwards."""

from __future__ import annotations

import csv
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import tomllib

from acne_runtime.errors import SourceError
from acne_runtime.manifest import Manifest
from acne_runtime.run_folder import MANIFEST

FURTHER = "further_sets"
"""Where `metrics.json` holds the metrics on all labelled sets but the first, by name and split."""


@dataclass(frozen=True, slots=True)
class TrainedRun:
    """A run folder that holds a trained and scored model.

    Attributes:
        folder: The folder.
        manifest: What the model says about itself.
        metrics: `metrics.json`: by split, what `acne_trainer.evaluation.evaluate.evaluate` returned.
        history: `history.csv`: a row an epoch, without what an epoch did not measure; empty where there is no file.
        settings: `config.toml` as it is, for runs of any version; from the manifest where there is no file.
        data: The folder of the photographs of the first labelled set, which may be missing; `None` without a
            `config.toml`.
    """

    folder: Path
    manifest: Manifest
    metrics: dict[str, Any]
    history: list[dict[str, float]]
    settings: dict[str, Any]
    data: Path | None

    def best_epoch(self) -> dict[str, float]:
        """Returns the row of the history whose weights were kept: highest AP50 (detection) or lowest `val_loss`.

        Of several labelled sets, AP50 is their mean. It is empty where the history does not tell.
        """
        name, sign = ("val_ap50", 1) if self.manifest.task == "detection" else ("val_loss", -1)
        if any("val_mean_ap50" in row for row in self.history):
            name = "val_mean_ap50"
        rows = [row for row in self.history if math.isfinite(row.get(name, math.nan))]
        return max(rows, key=lambda row: sign * row[name], default={})


def read_run(folder: Path) -> TrainedRun:
    """Reads a run folder, or a folder under `models/`, which is one without history.

    Raises:
        SourceError: It is no run folder, its training is not finished, or a file in it is corrupt.
        ModelError: Its manifest is corrupt.
    """
    file = folder / MANIFEST
    if not file.is_file():
        if (folder / "config.toml").is_file():
            raise SourceError(f"{folder}: this training is not finished; acne-train fit use --resume to continue")
        raise SourceError(f"{folder}: no run folder of acne-train (it has no manifest.json)")
    manifest = Manifest.from_json(file.read_bytes(), str(file))
    config = folder / "config.toml"
    settings = _settings(config) if config.is_file() else manifest.provenance.get("settings", {})
    return TrainedRun(
        folder=folder,
        manifest=manifest,
        metrics=_metrics(folder / "metrics.json", manifest.task),
        history=read_history(folder / "history.csv") if (folder / "history.csv").is_file() else [],
        settings=settings,
        data=_first_set(settings) if config.is_file() else None,
    )


def _first_set(settings: Mapping[str, Any]) -> Path | None:
    """Returns the folder of the set whose metrics come first: of `[[data]]`, or a text where there was but one."""
    data = settings.get("data") or None
    first = data[0] if isinstance(data, list) else data
    path = first.get("path") if isinstance(first, dict) else first
    return Path(path) if isinstance(path, str) else None


def read_history(file: Path) -> list[dict[str, float]]:
    """Reads a training's course.

    Returns:
        A row an epoch by column name, without the columns that are empty in it.

    Raises:
        SourceError: It is no table of numbers with a column `epoch`; the message names the line.
    """
    try:
        with file.open(encoding="utf-8", newline="") as stream:
            table = csv.reader(stream, strict=True)
            columns = next(table, [])
            if "epoch" not in columns:
                raise SourceError(f"{file}:1: no column named epoch")
            return [_row(columns, cells, f"{file}:{table.line_num}") for cells in table if cells]
    except (UnicodeDecodeError, csv.Error) as error:
        raise SourceError(f"{file}: not a CSV file ({error})") from None


def _row(columns: list[str], cells: list[str], where: str) -> dict[str, float]:
    if len(cells) != len(columns):
        raise SourceError(f"{where}: {len(cells)} cells under {len(columns)} columns")
    try:
        row = {name: float(cell) for name, cell in zip(columns, cells, strict=True) if cell}
    except ValueError as error:
        raise SourceError(f"{where}: {error}") from None
    if not math.isfinite(row.get("epoch", math.nan)):
        raise SourceError(f"{where}: no number of the epoch")
    return row


def _metrics(file: Path, task: str) -> dict[str, Any]:
    try:
        metrics = json.loads(file.read_bytes())
    except FileNotFoundError:
        raise SourceError(f"{file}: not found; a finished training has it") from None
    except (ValueError, RecursionError) as error:
        raise SourceError(f"{file}: not JSON ({error})") from None
    test = metrics.get("test") if isinstance(metrics, dict) else None
    if not isinstance(test, dict) or not {"images", "model", "baseline"} <= test.keys():
        raise SourceError(f"{file}: no metrics of a {task} model on test")
    return dict(metrics)


def _settings(file: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(file.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise SourceError(f"{file}: not TOML ({error})") from None
