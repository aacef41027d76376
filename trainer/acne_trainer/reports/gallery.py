"""Predictions over photographs (the paper's Figure 5): ground truth blue, prediction yellow."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from itertools import zip_longest

import cv2
import numpy as np
from numpy.typing import NDArray

from acne_runtime.errors import SourceError
from acne_runtime.manifest import Manifest
from acne_runtime.result import Result
from acne_trainer.data.dataset import Sample
from acne_trainer.evaluation.error_analysis import Failure
from acne_trainer.reports.html import Html, element, paragraph, section

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
) -> Html:
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
    chosen = list(dict.fromkeys(evenly)) + [one for one in worst if one not in evenly][:_FAILED]
    figures = []
    for index in chosen:
        try:
            figures.append(_photo(samples[index], results[index], manifest))
        except SourceError as error:
            gaps.append(str(error))
    legend = element(
        "ul",
        element("li", "ground truth", class_="on-gt"),
        element("li", "predicted", class_="on-predicted"),
        class_="legend",
    )
    words = f"{len(evenly)} taken evenly from the split, then failures. Photographs of people: keep this page private."
    shown = [legend] if manifest.task == "detection" else []
    return section("Photographs", paragraph(words), *shown, element("div", *figures, class_="photos"))


def _photo(sample: Sample, result: Result, manifest: Manifest) -> Html:
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
        _box(box.tolist(), manifest.classes[index], "gt")
        for box, index in zip(sample.boxes, sample.classes, strict=True)
        if result.lesions is not None
    ]
    predicted = [
        _box(list(one.box), f"{one.name}{'?' if one.unsure else ''} {one.score:.2f}", "predicted")
        for one in result.lesions or ()
        if one.score >= limit[one.name]
    ]
    picture = element(
        "svg",
        element("image", href=f"data:image/jpeg;base64,{_jpeg(image)}", width=width, height=height),
        *gt,
        *predicted,
        viewBox=f"0 0 {width} {height}",
        role="img",
        aria_label=f"{len(gt)} marked, {len(predicted)} predicted" if result.labels is None else "photograph",
    )
    return element("figure", picture, element("figcaption", sample.path.name, *_types(sample, result, manifest)))


def _types(sample: Sample, result: Result, manifest: Manifest) -> list[Html]:
    """Returns what is there and what was predicted, where there are no boxes to show it."""
    if result.labels is None:
        return []
    present = sample.presence(len(manifest.classes))
    there = ", ".join(one for one, mark in zip(manifest.classes, present, strict=True) if mark) or "nothing"
    predicted = ", ".join(f"{one.name} {one.score:.2f}" for one in result.labels if one.present) or "nothing"
    return [element("div", f"ground truth: {there}"), element("div", f"predicted: {predicted}")]


def _box(box: list[float], name: str, kind: str) -> Html:
    x1, y1, x2, y2 = box
    return element(
        "rect",
        element("title", name),
        x=f"{x1:.1f}",
        y=f"{y1:.1f}",
        width=f"{x2 - x1:.1f}",
        height=f"{y2 - y1:.1f}",
        class_=kind,
    )


def _jpeg(image: NDArray[np.uint8]) -> str:
    scale = min(1.0, _MOST_PIXELS / max(image.shape[:2]))
    if scale < 1:
        image = cv2.resize(image, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)  # type: ignore[assignment]
    _, data = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, _QUALITY])
    return base64.b64encode(data.tobytes()).decode()
