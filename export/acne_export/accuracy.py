"""Accuracy of a model file on a labelled set, as `acne-train` evaluates it.

The trainer and the exporter share no code but the runtime, so this runs the trainer's command.
"""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from acne_runtime.errors import AcneEdgeError
from acne_runtime.manifest import Task

HEADLINE = {"detection": "ap50", "multilabel": "macro_f1"}
"""The metric that must not drop, by task."""

_REPORTED = {
    "detection": ("ap50", "recall_by_class", "count_error"),
    "multilabel": ("macro_f1", "recall_by_class", "argmax_agreement"),
}


@dataclass(frozen=True, slots=True)
class LabelledSet:
    """A labelled data set.

    Attributes:
        data: Its folder, with splits in any format that `acne-train` reads.
        split: The split that is scored.
    """

    data: Path
    split: str

    def thresholds(self, model: Path, like: Path) -> tuple[float, ...]:
        """Returns thresholds that give as many positives on `valid` as the model `like` has, in the manifest's order.

        Raises:
            AcneEdgeError: The data cannot be read, or the trainer is not installed.
        """
        return tuple(_run_acne_train("thresholds", model, self.data, "--like", str(like)).values())

    def metrics(self, model: Path, task: Task) -> dict[str, Any]:
        """Returns the headline metric, recall by class and count error (or argmax agreement).

        Raises:
            AcneEdgeError: The data cannot be read, or the trainer is not installed.
        """
        report = _run_acne_train("evaluate", model, self.data, "--split", self.split)
        return {"photographs": report["images"]} | {name: report["model"][name] for name in _REPORTED[task]}


def _run_acne_train(command: str, model: Path, data: Path, *flags: str) -> dict[str, Any]:
    call = [sys.executable, "-m", "acne_trainer.cli.main", command, "--model", str(model), "--data", str(data), *flags]
    done = subprocess.run([*call, "--json", "-"], capture_output=True, text=True, check=False)
    if done.returncode:
        lines = done.stderr.strip().splitlines() or ["acne-train failed"]
        raise AcneEdgeError(f"`data` {data}: {lines[-1].removeprefix('Error: ')}", parameter="data")
    report: dict[str, Any] = json.loads(done.stdout)
    return report
