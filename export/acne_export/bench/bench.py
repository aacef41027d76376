"""Latency, load time, size and peak memory of model files, measured side by side."""

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
from acne_runtime.cli.text_table import aligned
from acne_runtime.errors import AcneEdgeError
from acne_runtime.load import load_model


def bench(model_files: Sequence[Path], threads: Sequence[int], runs: int) -> list[dict[str, Any]]:
    """Measures each file with each number of threads.

    The files are interleaved, a few inferences at a time. Load time and peak memory are those of a fresh process each.

    Args:
        model_files: `.onnx` and `.tflite` files with a manifest, for one image per call.
        threads: Threads per inference.
        runs: Timed inferences of each, rounded up to whole turns.

    Returns:
        Rows of `file`, `backend`, `precision`, `threads`, `median_ms`, `p95_ms`, `load_ms`, `size_mb` and `peak_mb`
        (the process with model, one inference done).
    """
    setups = [(file, count) for file in model_files for count in threads]
    models = [load_model(file, threads=count) for file, count in setups]
    calls = {
        index: partial(model.backend.run, golden_batch(model.manifest.input)) for index, model in enumerate(models)
    }
    times = interleaved_times(calls, runs)
    rows = []
    for (file, count), model, taken in zip(setups, models, times.values(), strict=True):
        fresh = _measure_in_fresh_process(file, count)
        rows.append(
            {
                "file": file.name,
                "backend": model.backend.name,
                "precision": model.manifest.precision,
                "threads": count,
                "median_ms": round(float(np.median(taken)), 3),
                "p95_ms": round(float(np.percentile(taken, 95)), 3),
                "load_ms": fresh["load_ms"],
                "size_mb": round(file.stat().st_size / 1e6, 2),
                "peak_mb": fresh["peak_mb"],
            }
        )
    return rows


def table(rows: Sequence[dict[str, Any]]) -> str:
    """Returns the rows as text, with each median relative to the smallest."""
    fastest = min(row["median_ms"] for row in rows)
    head = ["file", "backend", "precision", "threads", "median ms", "p95 ms", "x fastest", "load ms", "MB", "peak MB"]
    body = [
        [
            row["file"],
            row["backend"],
            row["precision"],
            str(row["threads"]),
            f"{row['median_ms']:.1f}",
            f"{row['p95_ms']:.1f}",
            f"{row['median_ms'] / fastest:.2f}",
            f"{row['load_ms']:.0f}",
            f"{row['size_mb']:.2f}",
            f"{row['peak_mb']:.0f}",
        ]
        for row in rows
    ]
    return "\n".join(aligned([head, *body], words=3))


def _measure_in_fresh_process(file: Path, threads: int) -> dict[str, float]:
    done = subprocess.run(
        [sys.executable, "-m", "acne_export.bench.fresh_process", str(file), str(threads)],
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        lines = done.stderr.strip().splitlines()
        raise AcneEdgeError(f"{file}: {lines[-1] if lines else 'the measuring process died'}")
    measured: dict[str, float] = json.loads(done.stdout)
    return measured
