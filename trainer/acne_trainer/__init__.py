"""Acne Edge's trainer: labelled photographs become a model in a run folder.

from acne_trainer import TrainConfig, fit

fit(TrainConfig.for_model("yolov8-xs", data="acne4", epochs=8), run=Path("runs/xs"))
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from acne_trainer.config import TrainConfig
    from acne_trainer.evaluation.evaluate import evaluate
    from acne_trainer.train import ProgressHooks, fit

__all__ = ["ProgressHooks", "TrainConfig", "evaluate", "fit"]

_MODULES = {
    "ProgressHooks": "acne_trainer.train",
    "TrainConfig": "acne_trainer.config",
    "evaluate": "acne_trainer.evaluation.evaluate",
    "fit": "acne_trainer.train",
}


def __getattr__(name: str) -> Any:
    """Imports what is asked for: TensorFlow takes seconds to start."""
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_MODULES[name]), name)
