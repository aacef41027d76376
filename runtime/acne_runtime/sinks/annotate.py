"""Draws a result on its picture."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

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
_FONT = cv2.FONT_HERSHEY_SIMPLEX
_WHITE, _BLACK = (255, 255, 255), (0, 0, 0)


def annotate(image: NDArray[np.uint8], result: Result) -> NDArray[np.uint8]:
    """Returns a copy of the picture with boxes or labels drawn on it.

    Args:
        image: `[height, width, 3]` uint8 BGR.
        result: What was found on it.
    """
    picture = image.copy()
    unit = max(image.shape[:2]) / 640  # strokes and letters grow with the picture
    for lesion in reversed(result.lesions or ()):  # the best ones last, on top
        _draw_lesion(picture, lesion, _COLOURS[result.classes.index(lesion.name) % len(_COLOURS)], unit)
    if result.labels is not None:
        lines = [f"{'+' if one.present else '-'} {one.name} {one.score:.2f}" for one in result.labels]
    else:
        lines = [f"{count} {name}" for name, count in result.counts().items() if count] or ["no lesion found"]
    colours = [_COLOURS[i % len(_COLOURS)] for i in range(len(result.classes))]
    named = [name for name, count in result.counts().items() if count or result.labels is not None]
    for row, line in enumerate(lines):
        colour = colours[result.classes.index(named[row])] if row < len(named) else _WHITE
        _text(picture, line, (round(8 * unit), round((22 + 20 * row) * unit)), 0.5 * unit, colour)
    _text(picture, NO_DIAGNOSIS, (round(8 * unit), picture.shape[0] - round(8 * unit)), 0.4 * unit, _WHITE)
    return picture


def _draw_lesion(picture: NDArray[np.uint8], lesion: Lesion, colour: tuple[int, int, int], unit: float) -> None:
    x1, y1, x2, y2 = (round(value) for value in lesion.box)
    cv2.rectangle(picture, (x1, y1), (x2, y2), colour, max(1, round(1.5 * unit)), cv2.LINE_AA)
    above = y1 - round(4 * unit)
    _text(
        picture,
        f"{lesion.name} {lesion.score:.2f}",
        (x1, above if above > 12 * unit else y2 + round(14 * unit)),
        0.38 * unit,
        colour,
    )


def _text(
    picture: NDArray[np.uint8], text: str, corner: tuple[int, int], scale: float, colour: tuple[int, int, int]
) -> None:
    """Writes light letters on a dark rim, readable on any skin."""
    thickness = max(1, round(2.2 * scale))
    cv2.putText(picture, text, corner, _FONT, scale, _BLACK, thickness + 2, cv2.LINE_AA)
    cv2.putText(picture, text, corner, _FONT, scale, colour, thickness, cv2.LINE_AA)
