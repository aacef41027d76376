"""What a run reads and must not write over."""

from __future__ import annotations

import stat
from collections.abc import Iterable
from pathlib import Path

from acne_runtime.errors import AcneEdgeError


class OverwriteGuard:
    """The photographs, videos and models of a run, known by where they lie on the disk: links lead there too."""

    def __init__(self, files: Iterable[Path] = ()):
        """Remembers them.

        Args:
            files: Those that are not there are passed over.
        """
        self._known = {place for file in files if (place := _place(file))}

    def check(self, output: Path, option: str) -> None:
        """Raises `AcneEdgeError` where an output, of this option, would replace one of them."""
        if _place(output) in self._known:
            raise AcneEdgeError(f"{option}: would overwrite {output}, which this run reads; name another place")


def _place(file: Path) -> tuple[int, int] | None:
    try:
        status = file.stat()
    except OSError:
        return None
    return (status.st_dev, status.st_ino) if stat.S_ISREG(status.st_mode) else None  # to a device both may be said
