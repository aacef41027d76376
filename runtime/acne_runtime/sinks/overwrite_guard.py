"""Prevents a run from overwriting its own inputs."""

from __future__ import annotations

import stat
from collections.abc import Iterable
from pathlib import Path

from acne_runtime.errors import AcneEdgeError


class OverwriteGuard:
    """The input files of a run, identified by device and inode, so that links are recognised too."""

    def __init__(self, files: Iterable[Path] = ()):
        """Registers the inputs.

        Args:
            files: The input files; missing ones are skipped.
        """
        self._inputs = {identity for file in files if (identity := _identity(file))}

    def check(self, output: Path) -> None:
        """Raises `AcneEdgeError` if the output would overwrite an input."""
        if _identity(output) in self._inputs:
            raise AcneEdgeError(f"{output}: would overwrite an input of this run; choose another path")


def _identity(file: Path) -> tuple[int, int] | None:
    try:
        status = file.stat()
    except OSError:
        return None
    return (status.st_dev, status.st_ino) if stat.S_ISREG(status.st_mode) else None
