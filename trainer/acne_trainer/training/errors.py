"""Errors of a training."""

from __future__ import annotations

from acne_runtime.errors import AcneEdgeError


class StoppedError(AcneEdgeError):
    """The training was asked to stop, and has saved what it needs to resume."""
