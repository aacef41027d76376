"""How fast, how large, how heavy model files are, measured side by side."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from acne_export.bench.interleaved import interleaved_times
from acne_export.golden.image import golden_batch
from acne_runtime.errors import AcneEdgeError
from acne_runtime.load import load_model


def bench(model_files: Sequence[Path], threads: Sequence[int], runs: int) -> list[dict[str, Any]]:
    """Measures each file with each number of threads.

    All of them take turns of a few inferences. Load time and peak memory come from a process of their own each.

    Args:
        model_files: `.onnx` and `.tflite` files with a manifest, for one photograph a call.
        threads: Threads of one inference.
        runs: Timed inferences of each, rounded up to whole turns.

    Returns:
        A row each: `file`, `backend`, `precision`, `threads`, `median_ms`, `p95_ms`, `load_ms`, `size_mb` and `peak_mb`
        (the process with model, one inference done).
    """
    setups = [(file, count) for file in model_files for count in threads]
    models = [load_model(file, threads=count) for file, count in setups]
    calls = {
        place: partial(model.backend.run, golden_batch(model.manifest.input)) for place, model in enumerate(models)
    }
    times = interleaved_times(calls, runs)
    rows = []
    for (file, count), model, taken in zip(setups, models, times.values(), strict=True):
        alone = _alone(file, count)
        rows.append(
            {
                "file": file.name,
                "backend": model.backend.name,
                "precision": model.manifest.precision,
                "threads": count,
                "median_ms": round(float(np.median(taken)), 3),
                "p95_ms": round(float(np.percentile(taken, 95)), 3),
                "load_ms": alone["load_ms"],
                "size_mb": round(file.stat().st_size / 1e6, 2),
                "peak_mb": alone["peak_mb"],
            }
        )
    return rows


def table(rows: Sequence[dict[str, Any]]) -> str:
    """Returns the rows as text, with each median as a multiple of the least."""
    least = min(row["median_ms"] for row in rows)
    head = ["file", "backend", "precision", "threads", "median ms", "p95 ms", "x fastest", "load ms", "MB", "peak MB"]
    body = [
        [
            row["file"],
            row["backend"],
            row["precision"],
            str(row["threads"]),
            f"{row['median_ms']:.1f}",
            f"{row['p95_ms']:.1f}",
            f"{row['median_ms'] / least:.2f}",
            f"{row['load_ms']:.0f}",
            f"{row['size_mb']:.2f}",
            f"{row['peak_mb']:.0f}",
        ]
        for row in rows
    ]
    widths = [max(len(line[column]) for line in [head, *body]) for column in range(len(head))]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip()
        for line in [head, *body]
    )


def _alone(file: Path, threads: int) -> dict[str, float]:
    done = subprocess.run(
        [sys.executable, "-m", "acne_export.bench.fresh_process", str(file), str(threads)],
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        said = done.stderr.strip().splitlines()
        raise AcneEdgeError(f"{file}: {said[-1] if said else 'the measuring process died'}")
    found: dict[str, float] = json.loads(done.stdout)
    return found
