"""Files that are either there whole or not there at all."""

from __future__ import annotations

import errno
import os
import tempfile
from collections.abc import Mapping
from pathlib import Path


def write_atomically(file: Path, data: bytes) -> None:
    """Writes `data` to a temporary file in the same folder, then renames it: a reader never sees half a file.

    Raises:
        OSError: The folder cannot be written to; an earlier file of that name is untouched.
    """
    write_together({file: data})


def write_together(contents: Mapping[Path, bytes]) -> None:
    """Writes files that belong together: all temporary files are complete before the first is renamed.

    Raises:
        OSError: A folder cannot be written to, or is full; earlier files of those names are untouched.
    """
    for file in contents:
        if file.is_dir():  # or the rename of one would fail after that of another
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(file))
    temporary: dict[Path, Path] = {}
    try:
        for file, data in contents.items():
            file.parent.mkdir(parents=True, exist_ok=True)
            handle, name = tempfile.mkstemp(prefix=f".{file.name}.", dir=file.parent)
            temporary[file] = Path(name)
            with os.fdopen(handle, "wb") as stream:
                stream.write(data)
            temporary[file].chmod(0o644)
        for file, written in temporary.items():
            written.replace(file)
    except BaseException:
        for written in temporary.values():
            written.unlink(missing_ok=True)
        raise
