"""What a run's model answered for a split, kept in the run folder: JSON lines in the runtime's own form, no pixels."""

from __future__ import annotations

import dataclasses
import gzip
import json
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from acne_runtime.atomic_write import write_atomically
from acne_runtime.errors import SourceError
from acne_runtime.result import SCHEMA, Label, Lesion, Result, Timing

LEAST_SCORE = 0.01
"""Boxes below are not kept: they are more than half of all, and no decision is made on them. Labels are all kept."""


def predictions_file(run: Path, split: str) -> Path:
    """Returns where the answers for a split (`valid`, `test`) lie in a run folder."""
    return run / f"predictions-{split}.jsonl.gz"


def save_predictions(results: Sequence[Result], file: Path) -> None:
    """Writes one line a photograph, as `acne-run --json` does, gzip'd; boxes from `LEAST_SCORE` on.

    Equal results give equal bytes, but for the timings in them.

    Raises:
        OSError: The folder cannot be written to.
    """
    lines = "".join(json.dumps(_kept(result).to_dict()) + "\n" for result in results)
    write_atomically(file, gzip.compress(lines.encode(), mtime=0))


def load_predictions(file: Path) -> list[Result]:
    """Reads what `save_predictions` wrote: scores are rounded to 1e-4, boxes to 0.01 px.

    Raises:
        SourceError: The file is missing, corrupt, or holds something else; the message names the line.
    """
    try:
        packed = file.read_bytes()
        if not packed:  # which gzip would take for an empty file
            raise EOFError("empty")
        text = gzip.decompress(packed).decode()
    except FileNotFoundError:
        raise SourceError(f"{file}: not found") from None
    except (OSError, EOFError, zlib.error, UnicodeDecodeError) as error:
        raise SourceError(f"{file}: corrupt ({error})") from None
    return [_result(line, f"{file}:{number}") for number, line in enumerate(text.splitlines(), start=1)]


def _kept(result: Result) -> Result:
    if result.lesions is None:
        return result
    return dataclasses.replace(
        result, lesions=tuple(lesion for lesion in result.lesions if lesion.score >= LEAST_SCORE)
    )


def _result(line: str, where: str) -> Result:
    try:
        raw = json.loads(line)
        if raw["schema"] not in (1, SCHEMA):  # 1 had a box a type, and no `types`
            raise ValueError(f"schema {raw['schema']}, not {SCHEMA} or 1")
        classes = tuple(raw["counts"])
        result = Result(
            source=str(raw["source"]),
            frame_index=int(raw["frame"]),
            time_s=float(raw["time_s"]),
            width=int(raw["width"]),
            height=int(raw["height"]),
            model=str(raw["model"]),
            classes=classes,
            lesions=tuple(_lesion(lesion, classes) for lesion in raw["lesions"]) if "lesions" in raw else None,
            labels=tuple(map(_label, raw["labels"])) if "labels" in raw else None,
            timing=Timing(**raw["timing_ms"]),
        )
        named = {lesion.name for lesion in result.lesions or ()} | {label.name for label in result.labels or ()}
        unknown = named - set(result.classes)
        if unknown:
            raise ValueError(f"classes {sorted(unknown)} are not among its counts")
        return result
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise SourceError(f"{where}: not a prediction as acne-train writes it ({error})") from None


def _lesion(raw: dict[str, Any], classes: tuple[str, ...]) -> Lesion:
    x1, y1, x2, y2 = map(float, raw["box"])
    types = None
    if "types" in raw:
        if set(raw["types"]) != set(classes):
            raise ValueError(f"types {sorted(raw['types'])} are not its counts' classes")
        types = tuple(float(raw["types"][name]) for name in classes)
    return Lesion(str(raw["class"]), float(raw["score"]), (x1, y1, x2, y2), types, bool(raw.get("unsure", False)))


def _label(raw: dict[str, Any]) -> Label:
    return Label(str(raw["class"]), float(raw["score"]), bool(raw["present"]))
