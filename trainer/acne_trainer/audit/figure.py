"""An audit as one picture: counts, sizes and co-occurrence."""

from __future__ import annotations

import io

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from acne_trainer.audit.audit import Audit


def audit_picture(audit: Audit) -> bytes:
    """Returns a PNG; it shows no photograph."""
    figure = Figure(figsize=(12, 8), layout="constrained")  # without pyplot: no window, on no machine
    panels = figure.subplots(2, 2)
    _by_split(panels[0, 0], audit, {split: statistics.showing for split, statistics in audit.splits.items()})
    panels[0, 0].set(title="Photographs that show each class", ylabel="photographs")
    _together(panels[0, 1], audit)
    if audit.has_boxes:
        _by_split(panels[1, 0], audit, {split: statistics.boxes for split, statistics in audit.splits.items()})
        panels[1, 0].set(title="Boxes of each class", ylabel="boxes")
        _sides(panels[1, 1], audit)
    else:
        panels[1, 0].set_axis_off()
        panels[1, 1].set_axis_off()
    figure.suptitle(f"{audit.root.name} ({audit.form})")
    data = io.BytesIO()
    figure.savefig(data, format="png", dpi=100)
    return data.getvalue()


def _by_split(axis: Axes, audit: Audit, counts: dict[str, tuple[int, ...]]) -> None:
    width = 0.8 / len(counts)
    for number, (split, heights) in enumerate(counts.items()):
        axis.bar(np.arange(len(heights)) + number * width, heights, width, label=split)
    axis.set_xticks(np.arange(len(audit.classes)) + 0.4 - width / 2, audit.classes)
    axis.legend()


def _together(axis: Axes, audit: Audit) -> None:
    axis.imshow(audit.together, cmap="Blues")
    middle = audit.together.max() / 2
    for (row, column), count in np.ndenumerate(audit.together):
        axis.text(column, row, f"{count:,}", ha="center", va="center", color="white" if count > middle else "black")
    axis.set_xticks(range(len(audit.classes)), audit.classes)
    axis.set_yticks(range(len(audit.classes)), audit.classes)
    axis.set_title("Photographs that show both")


def _sides(axis: Axes, audit: Audit) -> None:
    edges = np.geomspace(2, max(4, audit.training_size), 40).tolist()
    for name, sides in zip(audit.classes, audit.sides, strict=True):
        axis.hist(sides, edges, histtype="step", label=name)
    axis.set_xscale("log", base=2)
    axis.xaxis.set_major_formatter("{x:g}")
    axis.set(title=f"Box side at {audit.training_size} px", xlabel="pixels, root of the area", ylabel="boxes")
    axis.legend()
