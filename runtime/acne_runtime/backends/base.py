"""What the model asks of an inference backend."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray


class Backend(Protocol):
    """An opened model file.

    Attributes:
        name: `onnx` or `litert`.
        device: What really computes, such as `cpu` or `cuda`.
    """

    name: str
    device: str

    def run(self, tensor: NDArray[Any]) -> Mapping[str, NDArray[np.float32]]:
        """Computes all outputs, float32, by name, from one input tensor."""
        ...
