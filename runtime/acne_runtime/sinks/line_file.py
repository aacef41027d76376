"""A text file that one run fills with whole lines."""

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
    """Appends lines, each whole or not at all, at once for whoever follows the file."""

    def __init__(self, file: Path):
        """Empties the file, or makes it and its folder.

        Args:
            file: Where to write.

        Raises:
            AcneEdgeError: Another run is writing to it.
            OSError: It cannot be opened.
        """
        self._file = file
        file.parent.mkdir(parents=True, exist_ok=True)
        self._stream: BinaryIO = file.open("ab", buffering=0)
        self._regular = stat.S_ISREG(os.fstat(self._stream.fileno()).st_mode)  # and no device, pipe or terminal
        if sys.platform != "win32" and self._regular:
            try:
                fcntl.flock(self._stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                self._stream.close()
                raise AcneEdgeError(f"{file}: another run is writing to it; name another file") from None
            except OSError:
                pass  # a file system without locks
        self._whole = 0
        self._truncate()

    def write(self, lines: str) -> None:
        """Appends lines, each with its end.

        Raises:
            OSError: The disk is full or gone; the lines before are there, of these none.
        """
        data = lines.encode("utf-8", "backslashreplace")  # a file's name may be no text
        left = memoryview(data)
        try:
            while left:
                left = left[self._stream.write(left) :]
        except OSError as error:
            with contextlib.suppress(OSError):
                self._truncate()
            raise OSError(error.errno, error.strerror, str(self._file)) from error
        self._whole += len(data)

    def close(self) -> None:
        """Closes the file."""
        self._stream.close()

    def _truncate(self) -> None:
        if self._regular:
            self._stream.truncate(self._whole)
