"""What the detector sees in training: crops at the scale at which the device will see them, and whole photographs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from acne_runtime.manifest import InputSpec
from acne_runtime.preprocess import preprocess
from acne_trainer.data.dataset import Sample

PAD_VALUE = 114

_CENTRED_SHARE = 0.75
"""Share of crops placed around a lesion; the rest lie anywhere, so that the detector sees bare skin too."""
_SHEAR = 0.1
"""Largest shear, pixels sideways a pixel down."""
_LEAST_VISIBLE = 0.3
"""A lesion cut by the crop's edge stays marked while this share of its area is visible."""
_LEAST_SIDE = 2.0
"""Pixels; a smaller remainder is not marked."""
_HUE, _SATURATION, _VALUE = 4, 0.4, 0.35
"""Colour jitter: hue in OpenCV's half degrees (skin's own range is narrow), the others relative."""


@dataclass(frozen=True, slots=True)
class TrainingExample:
    """One training image.

    Attributes:
        image: `[size, size, 3]` uint8 RGB.
        boxes: `[n, 4]` float32 `xyxy`, pixels of `image`.
        classes: `[n]` int32.
    """

    image: NDArray[np.uint8]
    boxes: NDArray[np.float32]
    classes: NDArray[np.int32]


def random_crop(
    sample: Sample, size: int, spec: InputSpec, rng: np.random.Generator, scale_jitter: float = 1.7
) -> TrainingExample:
    """Cuts a square of `size` pixels out of the photograph, sheared, flipped both ways, scale and colour jittered.

    The scale is that of the whole photograph in the model's input (at 640 pixels, a photograph of 640 keeps its own)
    times a factor of `1 / scale_jitter` to `scale_jitter`, log-uniform.
    """
    photograph = sample.image()
    height, width = photograph.shape[:2]
    scale = min(spec.width / width, spec.height / height) * float(scale_jitter ** rng.uniform(-1, 1))
    shear = rng.uniform(-_SHEAR, _SHEAR)
    reach = size / scale / 2 * np.array([1 + abs(shear), 1])
    if len(sample.boxes) and rng.random() < _CENTRED_SHARE:
        box = sample.boxes[rng.integers(len(sample.boxes))]
        centre = (box[:2] + box[2:]) / 2 + rng.uniform(-0.8, 0.8, 2) * size / scale / 2
    else:
        centre = rng.uniform(0, (width, height))
    # A window that hangs over the edge shows padding instead of skin: keep it inside where it fits.
    for axis, side in enumerate((width, height)):
        least, most = reach[axis], side - reach[axis]
        centre[axis] = np.clip(centre[axis], least, most) if least <= most else side / 2
    flip = np.diag(np.where(rng.random(2) < 0.5, -1.0, 1.0))
    turn = scale * flip @ np.array([[1.0, shear], [0.0, 1.0]])
    # OpenCV counts from the middle of the first pixel, boxes from its edge.
    warp = np.column_stack([turn, size / 2 - 0.5 - turn @ (centre - 0.5)])
    image = cv2.warpAffine(photograph, warp, (size, size), borderValue=(PAD_VALUE,) * 3)
    boxes = _moved(sample.boxes, turn, size / 2 - turn @ centre)
    boxes, classes = clip(boxes, sample.classes, (size, size))
    return TrainingExample(_jitter_colour(cv2.cvtColor(image, cv2.COLOR_BGR2RGB), rng), boxes, classes)


def _moved(boxes: NDArray[np.float32], turn: NDArray[np.float64], shift: NDArray[np.float64]) -> NDArray[np.float32]:
    """Returns the boxes `[n, 4]` around the ellipses that the given boxes' own become under `turn` and `shift`.

    A lesion is rather an ellipse than a rectangle: the box around a sheared rectangle's corners would be too wide.
    """
    middle, half = (boxes[:, :2] + boxes[:, 2:]) / 2 @ turn.T + shift, (boxes[:, 2:] - boxes[:, :2]) / 2
    half = np.sqrt(half**2 @ (turn**2).T)
    return np.concatenate([middle - half, middle + half], axis=1).astype(np.float32)


def full_image(sample: Sample, spec: InputSpec, rng: np.random.Generator) -> TrainingExample:
    """Takes the whole photograph as the device will see it, flipped left to right half the time, jittered in colour."""
    tensor, placement = preprocess(sample.image(), spec)
    image, boxes = tensor[0], placement.to_input(sample.boxes)
    if rng.random() < 0.5:
        image = image[:, ::-1]
        boxes = np.stack([spec.width - boxes[:, 2], boxes[:, 1], spec.width - boxes[:, 0], boxes[:, 3]], axis=1)
    boxes, classes = clip(boxes, sample.classes, (spec.width, spec.height))
    return TrainingExample(_jitter_colour(image, rng), boxes, classes)


def clip(
    boxes: NDArray[np.float32], classes: NDArray[np.int32], size: tuple[int, int]
) -> tuple[NDArray[np.float32], NDArray[np.int32]]:
    """Cuts boxes off at the frame and drops those of which too little is left.

    Args:
        boxes: `[n, 4]` `xyxy`, pixels.
        classes: `[n]`.
        size: Width and height of the frame in pixels.
    """
    inside = np.clip(boxes, 0, np.array(size * 2, np.float32))
    sides, full_sides = inside[:, 2:] - inside[:, :2], boxes[:, 2:] - boxes[:, :2]
    visible = sides.prod(axis=1) >= _LEAST_VISIBLE * full_sides.prod(axis=1)
    kept = visible & (sides.min(axis=1, initial=np.inf) >= _LEAST_SIDE)
    return inside[kept], classes[kept]


def _jitter_colour(image: NDArray[Any], rng: np.random.Generator) -> NDArray[np.uint8]:
    levels = np.arange(256)
    hue = (levels + rng.uniform(-_HUE, _HUE)) % 180
    saturation = np.clip(levels * rng.uniform(1 - _SATURATION, 1 + _SATURATION), 0, 255)
    value = np.clip(levels * rng.uniform(1 - _VALUE, 1 + _VALUE), 0, 255)
    table = np.stack([hue, saturation, value], axis=-1).astype(np.uint8)[None]
    hsv = cv2.LUT(cv2.cvtColor(image, cv2.COLOR_RGB2HSV), table)
    return cv2.cvtColor(hsv, cv2.COLOR_HSV2RGB)  # type: ignore[return-value]
