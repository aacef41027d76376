"""Atomic file writes."""

from __future__ import annotations

import errno
import os
import tempfile
from collections.abc import Mapping
from pathlib import Path


def write_atomically(file: Path, data: bytes) -> None:
    """Writes `data` to a temporary file in the same folder, then renames it: no reader sees a partial file.

    Devices and pipes are written to directly.

    Raises:
        OSError: The folder cannot be written to; an existing file is left unchanged.
    """
    if file.exists() and not file.is_file() and not file.is_dir():
        file.write_bytes(data)
    else:
        write_together({file: data})


def write_together(contents: Mapping[Path, bytes]) -> None:
    """Writes several files: all temporary files are complete before the first is renamed.

    Raises:
        OSError: A folder cannot be written to, or the disk is full; existing files are left unchanged.
    """
    for file in contents:
        if file.is_dir():  # or renaming it would fail after other files were renamed
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(file))
    temporary: dict[Path, Path] = {}
    try:
        for file, data in contents.items():
            temporary[file] = make_temporary(file)
            temporary[file].write_bytes(data)
        for file, written in temporary.items():
            written.replace(file)
    except BaseException:
        for written in temporary.values():
            written.unlink(missing_ok=True)
        raise


def make_temporary(file: Path) -> Path:
    """Creates an empty file with a unique name next to `file`, to be written and then renamed to it.

    Raises:
        OSError: The folder cannot be created or written to.
    """
    file.parent.mkdir(parents=True, exist_ok=True)
    # Only part of the name: the file's may already have the maximum length.
    handle, name = tempfile.mkstemp(prefix=f".{file.name[:8]}.", suffix=file.suffix[:8], dir=file.parent)
    os.close(handle)
    Path(name).chmod(0o666 & ~_umask())
    return Path(name)


def _umask() -> int:
    """Returns the process's umask, which can only be read by setting it."""
    mask = os.umask(0o077)
    os.umask(mask)
    return mask
