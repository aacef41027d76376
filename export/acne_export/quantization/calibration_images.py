"""Loads photographs as model inputs, for calibration and for validation."""

from __future__ import annotations

import dataclasses
import logging
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from acne_runtime.errors import SourceError
from acne_runtime.manifest import InputSpec
from acne_runtime.preprocess import preprocess
from acne_runtime.sources.image_files import list_images, read_image

logger = logging.getLogger(__name__)

MAX_IMAGES = 128
"""More images hardly widen an activation's range."""


def load_calibration_images(folder: Path, spec: InputSpec, max_images: int = MAX_IMAGES) -> list[NDArray[Any]]:
    """Returns up to `max_images` photographs, evenly spaced in a folder, as `[1, height, width, 3]` uint8 RGB.

    Args:
        folder: A folder with photographs directly in it; files that cannot be read are skipped.
        spec: The model's input.
        max_images: How many at most.

    Raises:
        SourceError: No photograph in the folder can be read.
    """
    photos = list_images(folder)
    chosen = photos[:: -(-len(photos) // max_images)]
    tensors = []
    for photo in chosen:
        try:
            tensors.append(preprocess(read_image(photo), dataclasses.replace(spec, dtype="uint8"))[0])
        except SourceError as error:
            logger.warning("skipped: %s", error)
    if not tensors:
        raise SourceError(f"{folder}: none of its {len(chosen)} photographs can be read")
    return tensors
