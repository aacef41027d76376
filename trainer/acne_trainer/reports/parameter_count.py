"""How many parameters a saved model has, without TensorFlow, which takes seconds to start."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path

import h5py  # type: ignore[import-untyped]  # Keras itself needs it, and keeps its weights in it

from acne_runtime.errors import SourceError


def parameter_count(file: Path) -> int:
    """Returns the number of a model's weights, as `keras.Model.count_params`.

    Args:
        file: A `.keras` file without an optimizer, as `inference.keras`.

    Raises:
        SourceError: The file is no Keras model.
        OSError: It cannot be read.
    """
    sizes: list[int] = []

    def add(_: str, item: object) -> None:
        if isinstance(item, h5py.Dataset):
            sizes.append(int(item.size))

    try:
        with zipfile.ZipFile(file) as archive, h5py.File(io.BytesIO(archive.read("model.weights.h5"))) as weights:
            weights.visititems(add)
    except (zipfile.BadZipFile, KeyError) as error:
        raise SourceError(f"{file}: no Keras model ({error})") from None
    return sum(sizes)
