"""Photographs that are the same photograph: copied, saved again, cropped a little, turned or mirrored.

Candidates are found by their perceptual hashes (pHash of the `imagehash` library: the signs of 64 low frequencies), in
all eight orientations of a picture. That alone would call any two faces in one clamp the same, so each candidate is
then laid over its partner (enhanced correlation coefficient, Evangelidis and Psarakis 2008, as OpenCV has it) and the
fine detail compared, where two people differ and two copies do not.
"""

from __future__ import annotations

import hashlib
import os
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import cv2
import imagehash
import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from acne_runtime.errors import SourceError
from acne_runtime.sources.image_files import read_image
from acne_trainer.data.formats.common import OnError, collect_errors

MOST_BITS = 10
"""Candidates differ in at most this many of the 64 bits; chance alone gives 32."""

LEAST_LIKENESS = 0.65
"""Detail correlation of a pair. On the 582 and 1,606 candidates of acne4 and acne04, inspected one by one around here,
copies reach 0.65 to 0.96 (0.58 once) and different people under the same camera at most 0.60."""

_SIDE = 128  # of the thumbnails that are laid over each other; at 64 px different people look alike
_DETAIL = 2.0  # px of the thumbnail: what a Gaussian of this width removes is detail
_THREADS = min(4, os.cpu_count() or 1)
_ROWS_AT_ONCE = 1024

_ORIENTATIONS: tuple[tuple[str, Callable[[NDArray[np.uint8]], NDArray[np.uint8]]], ...] = (
    ("upright", lambda grey: grey),
    ("mirrored left to right", lambda grey: grey[:, ::-1]),
    ("mirrored top to bottom", lambda grey: grey[::-1]),
    ("turned by 180 degrees", lambda grey: grey[::-1, ::-1]),
    ("turned by 90 degrees", lambda grey: np.rot90(grey, 1)),
    ("turned by 270 degrees", lambda grey: np.rot90(grey, 3)),
    ("mirrored along a diagonal", lambda grey: grey.T),
    ("mirrored along a diagonal", lambda grey: grey[::-1, ::-1].T),
)


@dataclass(frozen=True, slots=True)
class ImageFingerprint:
    """What is kept of a photograph to compare it with others.

    Attributes:
        width: Pixels.
        height: Pixels.
        sha256: Of the file.
        grey: `[128, 128]` uint8, the photograph in small.
        hashes: `[8, 64]` bool, its perceptual hash in each orientation.
    """

    width: int
    height: int
    sha256: str
    grey: NDArray[np.uint8]
    hashes: NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Pair:
    """Two photographs that are one, the second oriented as stated."""

    first: Path
    second: Path
    orientation: str
    similarity: float


def fingerprint_images(
    photos: Sequence[Path], on_error: OnError | None = None, on_photo: Callable[[], object] = lambda: None
) -> dict[Path, ImageFingerprint]:
    """Reads photographs, several at once.

    Args:
        photos: Their files.
        on_error: Gets the error of each that cannot be read, which is then skipped; `None` raises instead.
        on_photo: Is called after each.

    Raises:
        SourceError: One is missing, empty, truncated, or no picture.
    """
    looks = {}
    with ThreadPoolExecutor(_THREADS) as pool:
        for photo, look in zip(photos, pool.map(_fingerprint_or_error, photos), strict=True):
            with collect_errors(on_error):
                if isinstance(look, SourceError):
                    raise look
                looks[photo] = look
            on_photo()
    return looks


def _fingerprint_or_error(photo: Path) -> ImageFingerprint | SourceError:
    try:
        image = read_image(photo)
    except SourceError as error:
        return error
    small = cv2.resize(cv2.cvtColor(image, cv2.COLOR_BGR2GRAY), (_SIDE, _SIDE), interpolation=cv2.INTER_AREA)
    grey = small.astype(np.uint8)
    hashes = [imagehash.phash(Image.fromarray(np.ascontiguousarray(turn(grey)))).hash for _, turn in _ORIENTATIONS]
    digest = hashlib.sha256(photo.read_bytes()).hexdigest()
    return ImageFingerprint(image.shape[1], image.shape[0], digest, grey, np.stack(hashes).reshape(len(hashes), -1))


def identical(looks: Mapping[Path, ImageFingerprint]) -> list[list[Path]]:
    """Returns the photographs that are byte for byte the same, those with a copy only."""
    by_bytes = defaultdict(list)
    for photo, look in looks.items():
        by_bytes[look.sha256].append(photo)
    return [photos for photos in by_bytes.values() if len(photos) > 1]


def near_duplicates(looks: Mapping[Path, ImageFingerprint]) -> list[Pair]:
    """Returns the pairs of photographs that look the same, byte-identical ones among them, in the order of `looks`."""
    photos = list(looks)
    candidates = _candidates(np.stack([looks[photo].hashes for photo in photos])) if photos else []
    with ThreadPoolExecutor(_THREADS) as pool:
        similarity = pool.map(lambda c: _likeness(looks[photos[c[0]]], looks[photos[c[1]]], c[2]), candidates)
        return [
            Pair(photos[first], photos[second], _ORIENTATIONS[orientation][0], alike)
            for (first, second, orientation), alike in zip(candidates, similarity, strict=True)
            if alike >= LEAST_LIKENESS
        ]


def _candidates(hashes: NDArray[np.bool_]) -> list[tuple[int, int, int]]:
    """Returns index, larger index and orientation of the pairs with close hashes, from `[n, 8, 64]` bool."""
    signs = np.where(hashes, 1, -1).astype(np.float32)
    bits = hashes.shape[2]
    found: dict[tuple[int, int], tuple[int, int]] = {}
    for begin in range(0, len(hashes), _ROWS_AT_ONCE):
        rows = signs[begin : begin + _ROWS_AT_ONCE, 0]
        for orientation in range(hashes.shape[1]):
            # Of two rows of +1 and -1 the product is bits - 2 x (bits that differ).
            differ = (bits - rows @ signs[:, orientation].T) / 2
            for row, second in np.argwhere(differ <= MOST_BITS):
                first = begin + int(row)
                if first < second:
                    best = (int(differ[row, second]), orientation)
                    found[first, int(second)] = min(found.get((first, int(second)), best), best)
    return [(first, second, orientation) for (first, second), (_, orientation) in sorted(found.items())]


def _likeness(first: ImageFingerprint, second: ImageFingerprint, orientation: int) -> float:
    """Returns the correlation of the fine detail of two photographs, -1 to 1, the better of as they lie and aligned."""
    still = first.grey
    moved = np.ascontiguousarray(_ORIENTATIONS[orientation][1](second.grey))
    as_they_lie = _correlation(_detail(still), _detail(moved))
    warp = np.eye(2, 3, dtype=np.float32)
    stop = (cv2.TERM_CRITERIA_EPS | cv2.TERM_CRITERIA_COUNT, 30, 1e-3)
    try:
        everywhere = np.full((_SIDE, _SIDE), 255, np.uint8)
        _, found = cv2.findTransformECC(still, moved, warp, cv2.MOTION_AFFINE, stop, everywhere, 5)
    except cv2.error:  # it found no way to lay one over the other
        return as_they_lie
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    aligned = cv2.warpAffine(moved, found, (_SIDE, _SIDE), flags=flags, borderMode=cv2.BORDER_REFLECT)
    inner = slice(_SIDE // 16, -_SIDE // 16)  # what was reflected in at the border is no detail of its own
    return max(as_they_lie, _correlation(_detail(still)[inner, inner], _detail(aligned)[inner, inner]))


def _detail(grey: NDArray[np.uint8] | cv2.typing.MatLike) -> NDArray[np.float32]:
    """Returns what is finer than `_DETAIL`, at one contrast everywhere, so that no hard edge outweighs the skin."""
    image = np.asarray(grey, np.float32)
    fine = image - cv2.GaussianBlur(image, (0, 0), _DETAIL)
    contrast = np.sqrt(cv2.GaussianBlur(fine * fine, (0, 0), 2 * _DETAIL))
    return np.asarray(fine / (contrast + 4), np.float32)  # 4 grey levels: below that it is noise


def _correlation(first: NDArray[np.float32], second: NDArray[np.float32]) -> float:
    first, second = first - first.mean(), second - second.mean()
    norm = np.sqrt((first * first).sum() * (second * second).sum())
    return float((first * second).sum() / norm) if norm > 0 else 0.0


def groups_of(photos: Sequence[Path], together: Sequence[Sequence[Path]]) -> NDArray[np.int32]:
    """Returns `[photographs]` int32: the group of each, where those that are named together anywhere share one."""
    index = {photo: number for number, photo in enumerate(photos)}
    links = np.array([(index[a], index[b]) for some in together for a, b in pairwise(some)], int).reshape(-1, 2)
    graph = coo_array((np.ones(len(links)), (links[:, 0], links[:, 1])), shape=(len(photos), len(photos)))
    return np.asarray(connected_components(graph, directed=False)[1], np.int32)
