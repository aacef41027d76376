"""Boxes that a training would stumble over."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from acne_runtime.manifest import MAX_DETECTIONS
from acne_trainer.audit.finding import PROBLEM, Finding, counted
from acne_trainer.data.dataset import Sample
from acne_trainer.data.near_duplicates import ImageFingerprint

_ROUNDED_OFF = 1.0  # px; labelling tools put boxes at the edge so far outside


def box_faults(
    samples: Sequence[Sample], looks: Mapping[Path, ImageFingerprint], shown: Callable[[Path], str]
) -> list[Finding]:
    """Finds boxes outside their photograph, boxes that stand twice, and photographs with too many.

    Args:
        samples: The photographs and their boxes.
        looks: What is known of each photograph that can be read.
        shown: Says how a photograph is called in the report.
    """
    outside: list[str] = []
    twice: list[str] = []
    crowded: list[str] = []
    for sample in samples:
        name, look = shown(sample.path), looks.get(sample.path)
        if look is not None:
            beyond = boxes_outside(sample.boxes, (look.width, look.height))
            outside += [f"{name}: {_corners(box)} on {look.width} x {look.height}" for box in beyond]
        marks, times = np.unique(np.column_stack([sample.boxes, sample.classes]), axis=0, return_counts=True)
        repeated = zip(marks[times > 1], times[times > 1], strict=True)
        twice += [f"{name}: {_corners(mark[:4])}, {count} times" for mark, count in repeated]
        if len(sample.boxes) > MAX_DETECTIONS:
            crowded.append(f"{name}: {len(sample.boxes)} boxes")
    found = [
        Finding(
            PROBLEM,
            "box-outside",
            f"{counted(outside, 'box reaches', 'boxes reach')} more than {_ROUNDED_OFF:g} pixel beyond the photograph",
            tuple(outside),
        ),
        Finding(
            PROBLEM,
            "duplicate-box",
            f"{counted(twice, 'box stands', 'boxes stand')} more than once on a photograph under one class",
            tuple(twice),
        ),
        Finding(
            PROBLEM,
            "over-detection-limit",
            f"{counted(crowded, 'photograph carries', 'photographs carry')} more boxes than the "
            f"{MAX_DETECTIONS} that a detector returns",
            tuple(crowded),
        ),
    ]
    return [finding for finding in found if finding.cases]


def boxes_outside(boxes: NDArray[np.float32], size: tuple[int, int]) -> NDArray[np.float32]:
    """Returns those of the boxes, `[n, 4]` `xyxy`, that reach more than a pixel beyond a photograph of this size."""
    beyond = (boxes < -_ROUNDED_OFF) | (boxes > np.array([*size, *size]) + _ROUNDED_OFF)
    return boxes[beyond.any(axis=1)]


def _corners(box: NDArray[np.float32]) -> str:
    return ",".join(f"{side:g}" for side in box)
