"""Loads one model file in a process that does nothing else, runs it once, and prints time and memory as JSON."""

from __future__ import annotations

import json
import resource
import sys
from pathlib import Path
from time import perf_counter

import numpy as np

from acne_runtime.load import load_model


def _peak_mb() -> float:
    """Returns the most memory that this process held.

    Linux keeps in `ru_maxrss` what the parent held when it started this process; `VmHWM` is this program's alone.
    """
    status = Path("/proc/self/status")
    if status.is_file():
        line = next(line for line in status.read_text().splitlines() if line.startswith("VmHWM"))
        return int(line.split()[1]) / 1000
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6  # macOS: bytes


def main() -> None:
    """Reads the file's name and the number of threads from the command line."""
    started = perf_counter()
    model = load_model(sys.argv[1], threads=int(sys.argv[2]))
    load_ms = 1e3 * (perf_counter() - started)
    spec = model.manifest.input
    model.backend.run(np.zeros((max(spec.batch, 1), *spec.tensor_shape[1:]), spec.dtype))
    print(json.dumps({"load_ms": round(load_ms, 1), "peak_mb": round(_peak_mb(), 1)}))


if __name__ == "__main__":
    main()
