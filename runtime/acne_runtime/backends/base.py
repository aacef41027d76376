"""What the model and the loader ask of an inference backend."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray


class Backend(Protocol):
    """What computes a model.

    Attributes:
        name: Such as `onnx` or `litert`.
        device: What really computes, such as `cpu` or `cuda`.
        passed_over: Devices that `auto` would have taken before it, and why they did not start.
    """

    name: str
    device: str
    passed_over: Mapping[str, str]

    def run(self, tensor: NDArray[Any]) -> Mapping[str, NDArray[np.float32]]:
        """Computes all outputs, float32, by name, from one input tensor."""
        ...


class OpenedFile(Backend, Protocol):
    """A backend made from a file, and what the file says of itself.

    Attributes:
        manifest_text: In our form, `None` where it does not.
        foreign_metadata: In other forms, by name.
        input_shape: Of its one input; what may be of any size has a name, or is 0 or less.
        outputs: The names of its outputs.
    """

    manifest_text: str | None
    foreign_metadata: Mapping[str, str]
    input_shape: Sequence[int | str]
    outputs: Sequence[str]
