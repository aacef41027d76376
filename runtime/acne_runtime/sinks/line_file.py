"""A text file to which one run appends complete lines."""

from __future__ import annotations

import contextlib
import os
import stat
import sys
from pathlib import Path
from typing import BinaryIO

from acne_runtime.errors import AcneEdgeError

if sys.platform != "win32":
    import fcntl


class LineFile:
    """Appends complete lines and flushes after each, so the file can be followed with `tail -f`."""

    def __init__(self, file: Path):
        """Truncates the file, or creates it and its folder.

        Args:
            file: The file to write.

        Raises:
            AcneEdgeError: Another run is writing to it.
            OSError: The file cannot be opened.
        """
        self._file = file
        file.parent.mkdir(parents=True, exist_ok=True)
        self._stream: BinaryIO = file.open("ab", buffering=0)
        self._regular = stat.S_ISREG(os.fstat(self._stream.fileno()).st_mode)  # not a device, pipe or terminal
        if sys.platform != "win32" and self._regular:
            try:
                fcntl.flock(self._stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                self._stream.close()
                raise AcneEdgeError(f"{file}: another run is writing to it; name another file") from None
            except OSError:
                pass  # a file system without locks
        self._length = 0
        self._truncate()

    def write(self, lines: str) -> None:
        """Appends lines, each with its line break.

        Raises:
            OSError: The disk is full or gone; none of these lines is kept, the ones before are.
        """
        data = lines.encode("utf-8", "backslashreplace")  # a file name may not be valid text
        rest = memoryview(data)
        try:
            while rest:
                rest = rest[self._stream.write(rest) :]
        except OSError as error:
            with contextlib.suppress(OSError):
                self._truncate()
            raise OSError(error.errno, error.strerror, str(self._file)) from error
        self._length += len(data)

    def close(self) -> None:
        """Closes the file."""
        self._stream.close()

    def _truncate(self) -> None:
        if self._regular:
            self._stream.truncate(self._length)
