"""Draws a result on its picture."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from acne_runtime.preprocess import check_image
from acne_runtime.result import NO_DIAGNOSIS, Lesion, Result

# Okabe and Ito's colours, told apart by colour-blind people too; BGR.
_COLOURS = (
    (66, 228, 240),
    (178, 114, 0),
    (0, 94, 213),
    (115, 158, 0),
    (167, 121, 204),
    (0, 159, 230),
    (233, 180, 86),
)
_DARK, _LIGHT = (32, 32, 32), (245, 245, 245)
_FONT = cv2.FONT_HERSHEY_SIMPLEX


def annotate(image: NDArray[np.uint8], *results: Result) -> NDArray[np.uint8]:
    """Returns a copy of the picture with boxes or labels drawn on it; a type that is unsure has a ? behind it.

    Args:
        image: `[height, width, 3]` uint8 BGR.
        results: What was found on it, one a model.

    Raises:
        SourceError: It is no such array.
    """
    check_image(image)
    picture = image.copy()
    unit = max(image.shape[:2]) / 640  # strokes and letters grow with the picture
    names = dict.fromkeys(name for result in results for name in result.classes)
    colour = {name: _COLOURS[i % len(_COLOURS)] for i, name in enumerate(names)}
    lines: list[tuple[str, tuple[int, int, int]]] = []
    for result in results:
        for lesion in reversed(result.lesions or ()):  # the best ones last, on top
            _draw_lesion(picture, lesion, colour[lesion.name], unit)
        if result.labels is not None:
            said = [
                (f"{one.name} {one.score:.2f}", colour[one.name] if one.present else _DARK) for one in result.labels
            ]
        else:
            said = [(f"{count} {name}", colour[name]) for name, count in result.counts().items() if count]
        lines += said or [("no lesion found", _DARK)]
        if result.severity is not None:
            lines.append((f"severity: {result.severity.grades}", _DARK))
    for row, (line, background) in enumerate(lines):
        _text(picture, line, 0, round(20 * unit * (row + 1)), 0.5 * unit, background)
    _text(picture, NO_DIAGNOSIS, 0, picture.shape[0], 0.38 * unit, _DARK)
    return picture


def _draw_lesion(picture: NDArray[np.uint8], lesion: Lesion, colour: tuple[int, int, int], unit: float) -> None:
    x1, y1, x2, y2 = (round(value) for value in lesion.box)
    cv2.rectangle(picture, (x1, y1), (x2, y2), colour, max(1, round(1.5 * unit)))
    bottom = y1 if y1 > 14 * unit else y2 + round(13 * unit)
    _text(picture, f"{lesion.name}{'?' if lesion.unsure else ''} {lesion.score:.2f}", x1, bottom, 0.32 * unit, colour)


def _text(
    picture: NDArray[np.uint8], text: str, left: int, bottom: int, scale: float, background: tuple[int, int, int]
) -> None:
    """Writes on a filled field, whose lower left corner is given, in whichever of dark and light reads better on it."""
    (width, height), baseline = cv2.getTextSize(text, _FONT, scale, 1)
    left = max(0, min(left, picture.shape[1] - width))
    cv2.rectangle(picture, (left, bottom - height - baseline), (left + width, bottom), background, cv2.FILLED)
    blue, green, red = background
    ink = _DARK if 0.114 * blue + 0.587 * green + 0.299 * red > 128 else _LIGHT  # luma (ITU-R BT.601)
    cv2.putText(picture, text, (left, bottom - baseline), _FONT, scale, ink, 1, cv2.LINE_AA)
