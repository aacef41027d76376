"""How good an image is for counting lesions: sharpness, light, distance, and motion in a video.

All measures are relative, so that the same photograph is judged alike whatever the skin's tone: measures of absolute
brightness or sharpness mark down dark skin (OFIQ issue 93, BSI 2024).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

_SIDE = 640
"""Pixels of the longer side at which images are judged: that of the models' inputs."""
_ROUNDING = 0.11
"""Mean fine detail that rounding to 8 bits makes: uniform noise of each channel, in the weights of luma."""
SHARP, BLURRED = 0.38, 0.24
"""Sharpness below which an image is blurred a little, and too much for use (docs/monitoring.md)."""
CLIPPED, OVEREXPOSED = 0.25, 0.5
"""Share of the skin without detail in the lights from which the light is poor, and too poor for use."""
NEAR, FAR = 0.2, 0.04
"""Share of the image that is skin, below which the camera is far away, and too far for use."""
STEADY, SHAKEN = 0.5, 1.5
"""Speed of the picture, in its longer sides a second, from which it is moving, and too fast for use."""


@dataclass(frozen=True, slots=True)
class Quality:
    """What was measured, and what of it is wrong.

    Attributes:
        sharpness: Fine over coarse detail of the skin: about 0.6 for a sharp image, 0.2 after a blur of 1.5 pixels.
        clipped: Share of the skin whose brightest channel is at its maximum, 0 to 1.
        skin: Share of the image that is skin, 0 to 1.
        motion: Speed of the picture in its longer sides a second; `None` for a single image.
    """

    sharpness: float
    clipped: float
    skin: float
    motion: float | None = None

    @property
    def hints(self) -> tuple[str, ...]:
        """What to do about it, for people; empty for a good image."""
        checks = (
            (self.skin < NEAR, "come closer"),
            (self.motion is not None and self.motion > STEADY, "hold still"),
            (self.skin >= FAR and self.sharpness < SHARP, "not sharp: clean the lens, tap to focus, hold still"),
            (self.clipped > CLIPPED, "too much light on the skin: turn from the lamp"),
        )
        return tuple(hint for wrong, hint in checks if wrong)

    @property
    def is_usable(self) -> bool:
        """Whether lesions can be counted on the image."""
        still = self.motion is None or self.motion <= SHAKEN
        return still and self.skin >= FAR and self.sharpness >= BLURRED and self.clipped <= OVEREXPOSED

    def to_dict(self) -> dict[str, Any]:
        """Returns the JSON form."""
        fields: dict[str, Any] = {
            "usable": self.is_usable,
            "hints": list(self.hints),
            "sharpness": round(self.sharpness, 3),
            "clipped": round(self.clipped, 3),
            "skin": round(self.skin, 3),
        }
        return fields | ({"motion": round(self.motion, 3)} if self.motion is not None else {})


def measure_quality(image: NDArray[np.uint8], motion: float | None = None) -> Quality:
    """Measures an image.

    Args:
        image: `[height, width, 3]` uint8 BGR.
        motion: Speed of the picture, if it is of a video, see `Quality`.
    """
    scale = _SIDE / max(image.shape[:2])
    if scale < 1:
        size = (max(1, round(image.shape[1] * scale)), max(1, round(image.shape[0] * scale)))
        image = np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_AREA), np.uint8)
    skin = skin_mask(image)
    share = float(skin.mean())
    # Glare has lost its colour and is no skin by its hue, so gaps in the face belong to it; or all of the image.
    face = cv2.morphologyEx(skin.astype(np.uint8), cv2.MORPH_CLOSE, np.ones((31, 31), np.uint8)) > 0
    white = image.max(axis=2) >= 252
    clipped = float((white[face] if share >= FAR else white).mean())
    if share < FAR:
        return Quality(0.0, clipped, share, motion)
    inner = cv2.erode(skin.astype(np.uint8), np.ones((9, 9), np.uint8)) > 0  # the edge of a face is sharp detail too
    return Quality(_sharpness(image, inner if inner.any() else skin), clipped, share, motion)


def _sharpness(image: NDArray[np.uint8], skin: NDArray[np.bool_]) -> float:
    """Returns fine over coarse detail, in the direction that has less of it: motion blurs one only."""
    gray = np.asarray(cv2.cvtColor(image.astype(np.float32), cv2.COLOR_BGR2GRAY), np.float32)
    ratios = []
    for along in ((1, 0), (0, 1)):
        fine, coarse = (_blur(gray, sigma, along) for sigma in (1.0, 3.0))
        detail = float(np.abs(gray - fine)[skin].mean())
        detail = max(0.0, detail**2 - _ROUNDING**2) ** 0.5  # or what is left of a heavy blur would count as detail
        ratios.append(detail / max(1e-6, float(np.abs(fine - coarse)[skin].mean())))
    return float(min(ratios))


def _blur(gray: NDArray[np.float32], sigma: float, along: tuple[int, int]) -> NDArray[np.float32]:
    size = tuple(8 * round(sigma) + 1 if axis else 1 for axis in along)
    return np.asarray(cv2.GaussianBlur(gray, size, sigma), np.float32)


def skin_mask(image: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """Returns which pixels may be skin, by the ratios of their colours, whatever their brightness.

    Skin of all tones is redder than green and greener than blue: haemoglobin and melanin take blue most.

    Args:
        image: `[height, width, 3]` uint8 BGR.

    Returns:
        `[height, width]` bool.
    """
    smooth = np.asarray(cv2.GaussianBlur(image, (0, 0), 2.0), np.float32)
    blue, green, red = smooth[..., 0], smooth[..., 1], smooth[..., 2]
    total = blue + green + red
    mask: NDArray[np.bool_] = (red > 1.1 * green) & (green > 0.8 * blue) & (red < 4 * green) & (total > 45)
    return mask
