"""Photographs for reports and pages: shrunk, aligned with the baseline, with the lesions' places on them."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from acne_monitor.comparing.registration import Alignment, align
from acne_monitor.following import OUT_OF_VIEW
from acne_monitor.history import NEW, Comparison, Observation, Pair, Visit
from acne_monitor.store.photographs import decode_jpeg
from acne_monitor.store.store import Store, StoreError

MAP_SIDE, CROP_SIDE = 560, 72
_CROP_CONTEXT = 2.2
"""Side of a crop over the lesion's."""
_QUALITY = 82
_MIN_MARK = 7.0


@dataclass(frozen=True, slots=True)
class Mark:
    """A lesion on a map.

    Attributes:
        x: Centre, in pixels of the map.
        y: The same.
        radius: In pixels of the map.
        state: One of `history.STATES`.
        kind: Lesion type.
        observation: Id of the observation that a correction changes.
    """

    x: float
    y: float
    radius: float
    state: str
    kind: str
    observation: str


@dataclass(frozen=True, slots=True)
class LesionMap:
    """Two photographs as the earlier one shows the skin.

    Attributes:
        width: Of both, in pixels.
        height: The same.
        earlier: JPEG.
        later: JPEG; aligned if `aligned`, or as it was taken.
        aligned: Whether the later one is aligned.
        marks: Of both.
    """

    width: int
    height: int
    earlier: bytes
    later: bytes
    aligned: bool
    marks: tuple[Mark, ...]


def load_photograph(store: Store, photo: str) -> NDArray[np.uint8]:
    """Returns a photograph, `[height, width, 3]` uint8 BGR.

    Raises:
        StoreError: There is none of this id.
    """
    row = store.one("SELECT jpeg FROM photo WHERE id = ?", photo)
    if row is None:
        raise StoreError(f"no photograph {photo}")
    return decode_jpeg(row["jpeg"])


def shrink(image: NDArray[np.uint8], side: int) -> bytes:
    """Returns an image as JPEG, its longer side at most `side` pixels."""
    scale = min(1.0, side / max(image.shape[:2]))
    size = (max(1, round(image.shape[1] * scale)), max(1, round(image.shape[0] * scale)))
    small = cv2.resize(image, size, interpolation=cv2.INTER_AREA)
    return cv2.imencode(".jpg", small, [cv2.IMWRITE_JPEG_QUALITY, _QUALITY])[1].tobytes()


def data_url(jpeg: bytes) -> str:
    """Returns a JPEG as a URL that holds it."""
    return "data:image/jpeg;base64," + base64.b64encode(jpeg).decode()


def lesion_map(store: Store, comparison: Comparison) -> LesionMap:
    """Draws nothing yet: returns both photographs and where the marks go."""
    earlier = load_photograph(store, comparison.earlier.id)
    later = load_photograph(store, comparison.later.id)
    alignment = align(earlier, later)
    height, width = earlier.shape[:2]
    scale = min(1.0, MAP_SIDE / max(width, height))
    aligned = alignment.refused is None
    shown = alignment.warp(later, width, height) if aligned else later
    marks = [
        mark for pair in comparison.pairs if (mark := _mark(pair, alignment if aligned else None, scale)) is not None
    ]
    return LesionMap(
        round(width * scale), round(height * scale), shrink(earlier, MAP_SIDE), shrink(shown, MAP_SIDE), aligned,
        tuple(marks),
    )  # fmt: skip


def _mark(pair: Pair, alignment: Alignment | None, scale: float) -> Mark | None:
    """Returns where a lesion is on the earlier photograph."""
    observed = pair.later or pair.earlier
    assert observed is not None
    if pair.state == OUT_OF_VIEW:
        return None
    if pair.earlier is not None and pair.earlier.box is not None and pair.state != NEW:
        x1, y1, x2, y2 = pair.earlier.box
        return Mark(
            scale * (x1 + x2) / 2,
            scale * (y1 + y2) / 2,
            _radius(pair.earlier, scale),
            pair.state,
            pair.kind,
            observed.id,
        )
    if pair.later is None or pair.later.box is None or alignment is None:
        return None
    x1, y1, x2, y2 = pair.later.box
    ((x, y),) = alignment.map_back(np.array([[(x1 + x2) / 2, (y1 + y2) / 2]])).tolist()
    radius = _radius(pair.later, scale / alignment.scale)
    return Mark(scale * x, scale * y, radius, pair.state, pair.kind, observed.id)


def _radius(observation: Observation, scale: float) -> float:
    assert observation.box is not None
    x1, y1, x2, y2 = observation.box
    return max(_MIN_MARK, 0.6 * scale * max(x2 - x1, y2 - y1))


def lesion_crops(
    store: Store, visits: Sequence[Visit], view: str, lesions: Sequence[str]
) -> dict[str, list[bytes | None]]:
    """Returns each lesion at each visit as a small JPEG; `None` where it is not in view.

    Args:
        store: Holds the photographs.
        visits: In order of time.
        view: The view.
        lesions: Ids.
    """
    crops: dict[str, list[bytes | None]] = {lesion: [] for lesion in lesions}
    for visit in visits:
        photograph = visit.photographs.get(view)
        image = None if photograph is None else load_photograph(store, photograph.id)
        for lesion, row in crops.items():
            observed = None if photograph is None else photograph.observations.get(lesion)
            row.append(
                None if image is None or observed is None or observed.box is None else _crop(image, observed.box)
            )
    return crops


def _crop(image: NDArray[np.uint8], box: tuple[float, float, float, float]) -> bytes:
    x1, y1, x2, y2 = box
    side = max(8, round(_CROP_CONTEXT * max(x2 - x1, y2 - y1)))
    patch = cv2.getRectSubPix(image, (side, side), ((x1 + x2) / 2, (y1 + y2) / 2))
    small = cv2.resize(patch, (CROP_SIDE, CROP_SIDE), interpolation=cv2.INTER_AREA)
    return cv2.imencode(".jpg", small, [cv2.IMWRITE_JPEG_QUALITY, _QUALITY])[1].tobytes()
