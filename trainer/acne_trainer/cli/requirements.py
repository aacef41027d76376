"""Whether the training packages are there; the console command is, wherever the runtime is installed."""

from __future__ import annotations

from importlib.util import find_spec

from acne_runtime.cli.native_logs import silence_native_logs
from acne_runtime.errors import AcneEdgeError

_MODULES = (
    "defusedxml",
    "faster_coco_eval",
    "imagehash",
    "keras_cv",
    "matplotlib",
    "scipy",
    "sklearn",
    "tensorboard",
    "tensorflow",
    "tomli_w",
    "yaml",
)


def require_training_extra() -> None:
    """Says how to install what is missing, before anything is begun; imports nothing.

    Raises:
        AcneEdgeError: A package of `.[train]` is missing.
    """
    missing = next((name for name in _MODULES if find_spec(name) is None), None)
    if missing:
        raise AcneEdgeError(f"{missing} is not installed; in a checkout run: pip install --editable '.[train]'")


def load_tensorflow() -> None:
    """Imports TensorFlow without the lines that it writes to the terminal.

    Raises:
        AcneEdgeError: A package of `.[train]` is missing.
    """
    require_training_extra()
    with silence_native_logs():
        import tensorflow  # noqa: F401
