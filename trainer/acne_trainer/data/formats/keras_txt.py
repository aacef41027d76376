"""Roboflow "Keras TXT", the label form of the paper.

A split folder holds the photographs, `_classes.txt` (one class name a line) and `_annotations.txt` (one photograph a
line: `name x1,y1,x2,y2,class x1,y1,x2,y2,class ...`, pixels and class index). The name may contain spaces.
"""

from __future__ import annotations

import re
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from acne_runtime.errors import SourceError
from acne_trainer.data.dataset import Dataset, Sample
from acne_trainer.data.formats.common import (
    CLASSES_FILE,
    OnError,
    Reader,
    Readers,
    collect_errors,
    find_splits,
    is_file,
    place_images,
    read_class_names,
    read_text,
    shortened,
    write_class_names,
)

ANNOTATIONS_FILE = "_annotations.txt"

_BOX = re.compile(r"-?\d+(?:\.\d+)?(?:,-?\d+(?:\.\d+)?){4}")
_EXPECTED = f"a Keras-TXT split has {ANNOTATIONS_FILE} and {CLASSES_FILE} next to its photographs"
_FIRST_BOX = re.compile(rf"[ \t]+{_BOX.pattern}(?= |$)")


def find_keras_txt(root: Path) -> Readers:
    """Returns the readers of a folder's splits."""

    def find(alias: str) -> Reader | None:
        return partial(read_keras_txt, root / alias) if (root / alias / ANNOTATIONS_FILE).is_file() else None

    return find_splits(find)


def read_keras_txt(folder: Path, on_error: OnError | None = None) -> Dataset:
    """Reads one split.

    Args:
        folder: The split's folder, such as `acne4/train`.
        on_error: Gets the error of each line that does not parse, which is then skipped; `None` raises instead.

    Raises:
        SourceError: A file is missing or a line does not parse; the message names file and line.
    """
    classes = read_class_names(folder / CLASSES_FILE, _EXPECTED)
    annotations = folder / ANNOTATIONS_FILE
    samples: list[Sample] = []
    listed: set[Path] = set()
    for number, line in enumerate(read_text(annotations, _EXPECTED).splitlines(), start=1):
        if line.strip():
            with collect_errors(on_error):
                sample = _parse(line, folder, len(classes), f"{annotations}:{number}")
                if sample.path in listed:
                    raise SourceError(f"{annotations}:{number}: {sample.path.name!r} is listed twice")
                listed.add(sample.path)
                samples.append(sample)
    if not samples:
        raise SourceError(f"{annotations}: no photograph is listed")
    return Dataset(folder, classes, tuple(samples))


def _parse(line: str, folder: Path, class_count: int, where: str) -> Sample:
    # The name is all before the first box, as it stands: it may hold any blanks itself.
    first_box = _FIRST_BOX.search(line)
    name = (line[: first_box.start()] if first_box else line).strip(" \t")
    path = folder / name
    if not is_file(path):
        raise SourceError(
            f"{where}: {shortened(name)!r} is no photograph in {folder} (expected: name x1,y1,x2,y2,class ...)"
        )
    rows = []
    for word in line[first_box.start() :].split() if first_box else ():
        if not _BOX.fullmatch(word):
            raise SourceError(f"{where}: {word!r} is not x1,y1,x2,y2,class")
        x1, y1, x2, y2, label = map(float, word.split(","))
        if x2 <= x1 or y2 <= y1:
            raise SourceError(f"{where}: box {word!r} has no area")
        if label % 1 or not 0 <= label < class_count:
            raise SourceError(f"{where}: class {word.rsplit(',')[-1]} of {word!r} is not within 0 to {class_count - 1}")
        rows.append((x1, y1, x2, y2, label))
    table = np.array(rows, np.float32).reshape(-1, 5)
    return Sample(path, table[:, :4].copy(), table[:, 4].astype(np.int32))


def write_keras_txt(data: Dataset, folder: Path, link: bool) -> None:
    """Writes one split."""
    place_images(data, folder, link)
    write_class_names(data, folder)
    lines = []
    for sample in data.samples:
        boxes = (",".join(map(_plain, [*box, label])) for box, label in zip(sample.boxes, sample.classes, strict=True))
        lines.append(" ".join([sample.path.name, *boxes]) + "\n")
    (folder / ANNOTATIONS_FILE).write_text("".join(lines), encoding="utf-8")


def _plain(number: Any) -> str:
    """Returns a number in digits, to a thousandth of a pixel, without an exponent."""
    return np.format_float_positional(number, precision=3, trim="-")
