"""What a file is worth on labelled photographs, as `acne-train` measures it.

The trainer and the exporter share no code but the runtime: this asks the trainer's command.
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
"""The figure that must not drop, by task."""

_TOLD = {
    "detection": ("ap50", "recall_by_class", "count_error"),
    "multilabel": ("macro_f1", "recall_by_class", "argmax_agreement"),
}


@dataclass(frozen=True, slots=True)
class Photographs:
    """A labelled data set.

    Attributes:
        data: Its folder, with splits in any form that `acne-train` reads.
        split: The split that is scored.
    """

    data: Path
    split: str

    def thresholds(self, model: Path, like: Path) -> tuple[float, ...]:
        """Returns thresholds by which a model decides on `valid` as its source does, in the order of its manifest's.

        Raises:
            AcneEdgeError: The data cannot be read, or the trainer is not installed.
        """
        return tuple(_asked("thresholds", model, self.data, "--like", str(like)).values())

    def figures(self, model: Path, task: Task) -> dict[str, Any]:
        """Returns the headline figure, recall by class and count error (or argmax agreement).

        Raises:
            AcneEdgeError: The data cannot be read, or the trainer is not installed.
        """
        report = _asked("evaluate", model, self.data, "--split", self.split)
        return {"photographs": report["images"]} | {name: report["model"][name] for name in _TOLD[task]}


def _asked(command: str, model: Path, data: Path, *flags: str) -> dict[str, Any]:
    call = [sys.executable, "-m", "acne_trainer.cli.main", command, "--model", str(model), "--data", str(data), *flags]
    done = subprocess.run([*call, "--json", "-"], capture_output=True, text=True, check=False)
    if done.returncode:
        said = done.stderr.strip().splitlines()
        raise AcneEdgeError(f"--data {data}: {said[-1].removeprefix('Error: ') if said else 'acne-train failed'}")
    answer: dict[str, Any] = json.loads(done.stdout)
    return answer
