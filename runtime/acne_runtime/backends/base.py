"""The interface of an inference backend."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray


class Backend(Protocol):
    """Runs a model.

    Attributes:
        name: Such as `onnx` or `litert`.
        device: The device it runs on, such as `cpu` or `cuda`.
    """

    name: str
    device: str

    def run(self, tensor: NDArray[Any]) -> Mapping[str, NDArray[np.float32]]:
        """Returns all outputs by name, float32, for one input tensor."""
        ...


class OpenedFile(Backend, Protocol):
    """A backend opened from a file, and the metadata of that file.

    Attributes:
        manifest_text: The manifest in the file, `None` if it has none.
        foreign_metadata: Other metadata by name.
        input_shape: Shape of its one input; a dynamic dimension is a name, or 0 or less.
        input_dtype: Of its one input, as NumPy names it.
        outputs: The names of its outputs.
    """

    manifest_text: str | None
    foreign_metadata: Mapping[str, str]
    input_shape: Sequence[int | str]
    input_dtype: str
    outputs: Sequence[str]
