"""The class names of a labelled set."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from acne_runtime.errors import SourceError
from acne_trainer.data.formats.text import read_text

CLASSES_FILE = "_classes.txt"
"""One class name a line, in the set's order; Roboflow's Keras TXT has it, our own VOC and table folders too."""


def read_class_names(file: Path, expected: str) -> tuple[str, ...]:
    """Reads one class name a line.

    Raises:
        SourceError: The file is missing or not UTF-8, or `checked_class_names` refuses what it says.
    """
    return checked_class_names((line.strip() for line in read_text(file, expected).splitlines() if line.strip()), file)


def checked_class_names(names: Iterable[str], where: Path) -> tuple[str, ...]:
    """Returns the names as they stand.

    Raises:
        SourceError: There is none, or one stands twice: labels could not be told apart.
    """
    classes = tuple(names)
    if not classes:
        raise SourceError(f"{where}: names no class")
    twice = next((name for name in classes if classes.count(name) > 1), None)
    if twice is not None:
        raise SourceError(f"{where}: names the class {twice!r} twice")
    return classes
