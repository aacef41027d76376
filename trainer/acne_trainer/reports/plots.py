"""Pictures of a training run."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from pathlib import Path

import matplotlib as mpl

mpl.use("Agg")  # no window, on no machine
from matplotlib import pyplot as plt

from acne_runtime.atomic_write import write_atomically

_NOT_CURVES = ("epoch", "seconds")


def plot_history(history: Sequence[Mapping[str, float]], file: Path) -> None:
    """Draws every recorded figure over the epochs, losses left and scores right, into a PNG."""
    names = [name for name in dict.fromkeys(n for row in history for n in row) if name not in _NOT_CURVES]
    losses = [name for name in names if "loss" in name]
    scores = [name for name in names if "loss" not in name]
    figure, axes = plt.subplots(1, 2, figsize=(10, 4), constrained_layout=True)
    for axis, group, title in zip(axes, (losses, scores), ("Losses", "Validation scores"), strict=True):
        for name in group:
            points = [(row["epoch"], row[name]) for row in history if name in row]
            axis.plot(*zip(*points, strict=True), label=name.replace("_", " "))
        axis.set(title=title, xlabel="epoch")
        axis.legend()
    data = io.BytesIO()
    figure.savefig(data, format="png", dpi=100)
    plt.close(figure)
    write_atomically(file, data.getvalue())
