"""Draws boxes and captions on an image."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import cv2
import numpy as np
from numpy.typing import NDArray

from acne_runtime.frame import check_image
from acne_runtime.severity import NO_DIAGNOSIS

Color: TypeAlias = tuple[int, int, int]
"""Blue, green, red, 0 to 255."""

# The palette of Okabe and Ito, which colour-blind people can tell apart too.
_PALETTE: tuple[Color, ...] = (
    (66, 228, 240),
    (178, 114, 0),
    (0, 94, 213),
    (115, 158, 0),
    (167, 121, 204),
    (0, 159, 230),
    (233, 180, 86),
)
DARK: Color = (32, 32, 32)
WARNING: Color = (0, 200, 255)
_LIGHT: Color = (245, 245, 245)
_FONT = cv2.FONT_HERSHEY_SIMPLEX


@dataclass(frozen=True, slots=True)
class Box:
    """A box to draw.

    Attributes:
        xyxy: Left, top, right, bottom in pixels of the image.
        caption: Text at its corner, if any.
        color: Of its outline, and of the caption's background.
        thin: Whether its outline is as thin as possible.
    """

    xyxy: tuple[float, float, float, float]
    caption: str
    color: Color
    thin: bool = False


@dataclass(frozen=True, slots=True)
class Caption:
    """A line of text in the upper left corner.

    Attributes:
        text: The line.
        color: Of its background.
    """

    text: str
    color: Color = DARK


def class_colors(names: Iterable[str]) -> dict[str, Color]:
    """Returns a color for each class name, in their order."""
    return {name: _PALETTE[index % len(_PALETTE)] for index, name in enumerate(dict.fromkeys(names))}


def draw_annotations(image: NDArray[np.uint8], boxes: Sequence[Box], captions: Sequence[Caption]) -> NDArray[np.uint8]:
    """Returns a copy of the image with boxes, captions and the disclaimer drawn on it.

    Args:
        image: `[height, width, 3]` uint8 BGR.
        boxes: In drawing order: the last one is on top.
        captions: From top to bottom.

    Raises:
        SourceError: The image is not such an array.
    """
    check_image(image)
    canvas = image.copy()
    unit = max(image.shape[:2]) / 640  # strokes and letters grow with the image
    for box in boxes:
        _draw_box(canvas, box, unit)
    for row, caption in enumerate(captions):
        _draw_text(canvas, caption.text, 0, round(20 * unit * (row + 1)), 0.5 * unit, caption.color)
    _draw_text(canvas, NO_DIAGNOSIS, 0, canvas.shape[0], 0.38 * unit, DARK)
    return canvas


def _draw_box(canvas: NDArray[np.uint8], box: Box, unit: float) -> None:
    x1, y1, x2, y2 = (round(value) for value in box.xyxy)
    cv2.rectangle(canvas, (x1, y1), (x2, y2), box.color, 1 if box.thin else max(1, round(1.5 * unit)))
    if not box.caption:
        return
    bottom = y1 if y1 > 14 * unit else y2 + round(13 * unit)
    _draw_text(canvas, box.caption, x1, bottom, 0.32 * unit, box.color)


def _draw_text(canvas: NDArray[np.uint8], text: str, left: int, bottom: int, scale: float, background: Color) -> None:
    """Draws text on a filled background, in dark or light, whichever has more contrast."""
    (width, height), baseline = cv2.getTextSize(text, _FONT, scale, 1)
    left = max(0, min(left, canvas.shape[1] - width))
    cv2.rectangle(canvas, (left, bottom - height - baseline), (left + width, bottom), background, cv2.FILLED)
    blue, green, red = background
    ink = DARK if 0.114 * blue + 0.587 * green + 0.299 * red > 128 else _LIGHT  # luma (ITU-R BT.601)
    cv2.putText(canvas, text, (left, bottom - baseline), _FONT, scale, ink, 1, cv2.LINE_AA)
