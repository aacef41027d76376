"""A folder of photographs as inputs of a model: to calibrate on, and to compare answers on."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from acne_runtime.errors import SourceError
from acne_runtime.manifest import InputSpec
from acne_runtime.preprocess import preprocess
from acne_runtime.sources.image_files import list_images, read_image

MOST = 128
"""More of them hardly widen an activation's range."""


def inputs_from(folder: Path, spec: InputSpec, say: Callable[[str], None], most: int = MOST) -> list[NDArray[Any]]:
    """Returns up to `most` photographs of a folder, taken evenly over its names, `[1, height, width, 3]` uint8 RGB.

    Args:
        folder: With photographs directly in it.
        spec: The model's input.
        say: Is told of each photograph that cannot be read, which is passed over.
        most: How many.

    Raises:
        SourceError: The folder has no photograph that can be read.
    """
    photos = list_images(folder)
    chosen = photos[:: -(-len(photos) // most)]
    tensors = []
    for photo in chosen:
        try:
            tensors.append(preprocess(read_image(photo), dataclasses.replace(spec, dtype="uint8"))[0])
        except SourceError as error:
            say(f"passed over: {error}")
    if not tensors:
        raise SourceError(f"{folder}: none of its {len(chosen)} photographs can be read")
    return tensors
