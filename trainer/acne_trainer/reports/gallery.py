"""Predictions over photographs (the paper's Figure 5): ground truth blue, prediction yellow."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from itertools import zip_longest

import cv2
import numpy as np
from markupsafe import Markup
from numpy.typing import NDArray

from acne_runtime.errors import SourceError
from acne_runtime.manifest import Manifest
from acne_runtime.result import Result
from acne_trainer.data.dataset import Sample
from acne_trainer.evaluation.error_analysis import Failure
from acne_trainer.reports.render import group, render, section

_EVENLY, _FAILED = 8, 4
"""How many photographs are shown: taken evenly from the split, and of the failures."""
_MOST_PIXELS = 800
"""Longest side of a photograph in a page."""
_QUALITY = 85
"""Of the JPEG, 0 to 100."""


def photos_section(
    manifest: Manifest,
    samples: Sequence[Sample],
    results: Sequence[Result],
    failures: Mapping[str, Sequence[Failure]],
    gaps: list[str],
) -> Markup:
    """Returns photographs from all over the split, then of the failures.

    Args:
        manifest: The model's.
        samples: The photographs.
        results: One for each, in the same order.
        failures: By kind, their worst first.
        gaps: Gets a line for each photograph that cannot be decoded.
    """
    count = len(samples)
    evenly = [int(index) for index in np.linspace(0, count - 1, min(count, _EVENLY))]
    worst = list(
        dict.fromkeys(
            failure.image_index for of_kind in zip_longest(*failures.values()) for failure in of_kind if failure
        )
    )
    chosen = list(dict.fromkeys(evenly)) + [failure for failure in worst if failure not in evenly][:_FAILED]
    figures = []
    for index in chosen:
        try:
            figures.append(_photo(samples[index], results[index], manifest))
        except SourceError as error:
            gaps.append(str(error))
    words = f"{len(evenly)} taken evenly from the split, then failures. Photographs of people: keep this page private."
    legend = [render("legend.html")] if manifest.task == "detection" else []
    return section("Photographs", words, *legend, group("photos", figures))


def _photo(sample: Sample, result: Result, manifest: Manifest) -> Markup:
    """Returns one photograph with boxes, or a multi-label model's answer, and its name below.

    The photograph is encoded again, so that nothing that a camera wrote into its file gets into the page.

    Raises:
        SourceError: The photograph cannot be decoded.
    """
    image = sample.image()
    height, width = image.shape[:2]
    limits = np.broadcast_to(manifest.thresholds, len(manifest.classes)).tolist()  # one for all, or one a class
    limit = dict(zip(manifest.classes, limits, strict=True))
    gt = [
        ("gt", manifest.classes[index], box.tolist())
        for box, index in zip(sample.boxes, sample.classes, strict=True)
        if result.lesions is not None
    ]
    predicted = [
        ("predicted", f"{lesion.name}{'?' if lesion.unsure else ''} {lesion.score:.2f}", lesion.box)
        for lesion in result.lesions or ()
        if lesion.score >= limit[lesion.name]
    ]
    return render(
        "photograph.html",
        width=width,
        height=height,
        label=f"{len(gt)} marked, {len(predicted)} predicted" if result.labels is None else "photograph",
        jpeg=_jpeg(image),
        boxes=gt + predicted,
        name=sample.path.name,
        lines=_types(sample, result, manifest),
    )


def _types(sample: Sample, result: Result, manifest: Manifest) -> list[str]:
    """Returns what is there and what was predicted, where there are no boxes to show it."""
    if result.labels is None:
        return []
    present = sample.presence(len(manifest.classes))
    there = ", ".join(one for one, mark in zip(manifest.classes, present, strict=True) if mark) or "nothing"
    predicted = ", ".join(f"{label.name} {label.score:.2f}" for label in result.labels if label.present) or "nothing"
    return [f"ground truth: {there}", f"predicted: {predicted}"]


def _jpeg(image: NDArray[np.uint8]) -> str:
    scale = min(1.0, _MOST_PIXELS / max(image.shape[:2]))
    if scale < 1:
        image = cv2.resize(image, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)  # type: ignore[assignment]
    _, data = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, _QUALITY])
    return base64.b64encode(data.tobytes()).decode()
