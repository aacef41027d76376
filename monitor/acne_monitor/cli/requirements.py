"""Whether the packages of the page and the report are there; the rest of the command needs the runtime only."""

from __future__ import annotations

from importlib.util import find_spec

from acne_runtime.errors import AcneEdgeError

_MODULES = ("jinja2", "starlette", "uvicorn")


def require_monitor_extra() -> None:
    """Says how to install what is missing; imports nothing.

    Raises:
        AcneEdgeError: A package of `.[monitor]` is missing.
    """
    missing = next((name for name in _MODULES if find_spec(name) is None), None)
    if missing:
        raise AcneEdgeError(f"{missing} is not installed; run: pip install 'acne-edge[monitor,onnx]'")
