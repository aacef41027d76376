"""What the readers of all label formats share: text, class names, and a sample whose boxes are checked."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TypeAlias

import numpy as np
from numpy.typing import ArrayLike

from acne_runtime.errors import SourceError
from acne_trainer.data.dataset import Sample

CLASSES_FILE = "_classes.txt"
"""One class name a line, in the set's order; Roboflow's Keras TXT has it, our own VOC and table folders too."""
OnError: TypeAlias = Callable[[SourceError], None]
"""Is told of each photograph or label that cannot be read, which is then passed over."""


@contextmanager
def collect_errors(on_error: OnError | None) -> Iterator[None]:
    """Hands a `SourceError` of its block to `on_error`; where there is none, the error goes on its way."""
    try:
        yield
    except SourceError as error:
        if on_error is None:
            raise
        on_error(error)


def read_text(file: Path, expected: str) -> str:
    """Reads UTF-8 text; a byte-order mark is no part of it.

    Args:
        file: The file.
        expected: What should have been there, for the message if nothing is.

    Raises:
        SourceError: It is not there, or not UTF-8.
    """
    try:
        return file.read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        raise SourceError(f"{file}: not found; {expected}") from None
    except UnicodeDecodeError as error:
        raise SourceError(f"{file}: not UTF-8 text ({error.reason} at byte {error.start})") from None


def shortened(text: str, longest: int = 80) -> str:
    """Returns the text as an error message quotes it: whole, or its beginning."""
    return text if len(text) <= longest else f"{text[:longest]}..."


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


def make_sample(path: Path, boxes: ArrayLike, classes: ArrayLike, count: int, where: Callable[[int], str]) -> Sample:
    """Makes a sample.

    Args:
        path: The photograph.
        boxes: `[n, 4]`, `xyxy`, pixels.
        classes: `[n]`, index of each box's class.
        count: How many classes there are.
        where: Says file and line of a box, by its index.

    Raises:
        SourceError: A box has no area or a class that is not there.
    """
    xyxy = np.array(boxes, np.float32).reshape(-1, 4)
    labels = np.array(classes, np.int32).reshape(-1)
    for index, (x1, y1, x2, y2) in enumerate(xyxy):
        if not (np.isfinite(xyxy[index]).all() and x2 > x1 and y2 > y1):
            raise SourceError(f"{where(index)}: the box {x1:g},{y1:g},{x2:g},{y2:g} (x1,y1,x2,y2) has no area")
        if not 0 <= labels[index] < count:
            raise SourceError(f"{where(index)}: class {labels[index]} is not within 0 to {count - 1}")
    return Sample(path, xyxy, labels)
