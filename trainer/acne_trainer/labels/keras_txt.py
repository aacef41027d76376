"""Roboflow "Keras TXT", the label form of the paper.

A split folder holds the photographs, `_classes.txt` (one class name a line) and `_annotations.txt` (one photograph a
line: `name x1,y1,x2,y2,class x1,y1,x2,y2,class ...`, pixels and class index). The name may contain spaces.
"""

from __future__ import annotations

import os
import re
from pathlib import Path

import numpy as np

from acne_runtime.errors import SourceError
from acne_trainer.labels.dataset import Dataset, Sample

_BOX = re.compile(r"-?\d+(?:\.\d+)?(?:,-?\d+(?:\.\d+)?){4}")
_FIRST_BOX = re.compile(rf"[ \t]+{_BOX.pattern}(?= |$)")


def read_keras_txt(folder: Path) -> Dataset:
    """Reads one split.

    Args:
        folder: The split's folder, such as `acne4/train`.

    Raises:
        SourceError: A file is missing or a line does not parse; the message names file and line.
    """
    classes = tuple(line.strip() for line in _lines(folder / "_classes.txt") if line.strip())
    annotations = folder / "_annotations.txt"
    samples = [
        _parse(line, folder, len(classes), f"{annotations}:{number}")
        for number, line in enumerate(_lines(annotations), start=1)
        if line.strip()
    ]
    if not samples:
        raise SourceError(f"{annotations}: no photograph is listed")
    return Dataset(folder, classes, tuple(samples))


def _lines(file: Path) -> list[str]:
    try:
        return file.read_text(encoding="utf-8-sig").splitlines()
    except FileNotFoundError:
        raise SourceError(
            f"{file}: not found; a Keras-TXT split has _annotations.txt and _classes.txt beside its photographs"
        ) from None
    except UnicodeDecodeError as error:
        raise SourceError(f"{file}: not UTF-8 text ({error.reason} at byte {error.start})") from None


def _parse(line: str, folder: Path, class_count: int, where: str) -> Sample:
    # The name is all before the first box, as it stands: it may hold any blanks itself.
    first_box = _FIRST_BOX.search(line)
    name = (line[: first_box.start()] if first_box else line).strip(" \t")
    path = folder / name
    if not os.path.isfile(path):  # noqa: PTH113  (Path.is_file raises for names that are too long)
        name = name if len(name) <= 80 else f"{name[:80]}..."
        raise SourceError(f"{where}: {name!r} is no photograph in {folder} (expected: name x1,y1,x2,y2,class ...)")
    rows = []
    for word in line[first_box.start() :].split() if first_box else ():
        if not _BOX.fullmatch(word):
            raise SourceError(f"{where}: {word!r} is not x1,y1,x2,y2,class")
        x1, y1, x2, y2, label = map(float, word.split(","))
        if x2 <= x1 or y2 <= y1:
            raise SourceError(f"{where}: box {word!r} has no area")
        if label != int(label) or not 0 <= label < class_count:
            raise SourceError(f"{where}: class {word.rsplit(',')[-1]} of {word!r} is not within 0 to {class_count - 1}")
        rows.append((x1, y1, x2, y2, label))
    table = np.array(rows, np.float32).reshape(-1, 5)
    return Sample(path, table[:, :4].copy(), table[:, 4].astype(np.int32))
