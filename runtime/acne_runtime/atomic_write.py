"""Files that are either there whole or not there at all."""

from __future__ import annotations

import errno
import os
import tempfile
from collections.abc import Mapping
from pathlib import Path


def write_atomically(file: Path, data: bytes) -> None:
    """Writes `data` to a temporary file in the same folder, then renames it: a reader never sees half a file.

    A device or pipe is written to as it is.

    Raises:
        OSError: The folder cannot be written to; an earlier file of that name is untouched.
    """
    if file.exists() and not file.is_file() and not file.is_dir():
        file.write_bytes(data)
    else:
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
            temporary[file] = make_temporary(file)
            temporary[file].write_bytes(data)
        for file, written in temporary.items():
            written.replace(file)
    except BaseException:
        for written in temporary.values():
            written.unlink(missing_ok=True)
        raise


def make_temporary(file: Path) -> Path:
    """Makes an empty file of a name of its own in `file`'s folder, to be written and then renamed to it.

    Raises:
        OSError: The folder cannot be made or written to.
    """
    file.parent.mkdir(parents=True, exist_ok=True)
    # A prefix of its own length would be too long for a file whose name is as long as names may be.
    handle, name = tempfile.mkstemp(prefix=f".{file.name[:8]}.", suffix=file.suffix[:8], dir=file.parent)
    os.close(handle)
    Path(name).chmod(0o666 & ~_umask())
    return Path(name)


def _umask() -> int:
    """Returns what the person keeps from others; it can only be read by setting it."""
    mask = os.umask(0o077)
    os.umask(mask)
    return mask
