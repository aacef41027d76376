"""A CSV table of which types each photograph shows, without boxes.

The form of the paper's Table 1, `Name,0,1,2,3` above lines like `photo.jpg,1,0,0,1`; Roboflow's multi-class
`_classes.csv` (`filename, comedones, ...`) is the same.
"""

from __future__ import annotations

import csv
import io
from functools import partial
from pathlib import Path

import numpy as np

from acne_runtime.errors import SourceError
from acne_trainer.data.dataset import Dataset, Sample
from acne_trainer.data.formats.common import (
    CLASSES_FILE,
    OnError,
    Reader,
    Readers,
    checked_class_names,
    collect_errors,
    find_splits,
    holds_images,
    is_file,
    place_images,
    read_class_names,
    read_text,
    shortened,
)

TABLE_FILE = "_classes.csv"
NAME_COLUMNS = frozenset({"name", "filename", "file", "file_name", "image", "photo"})
"""What the first column may be called, in any case."""


def find_table(root: Path) -> Readers:
    """Returns the readers of a folder's splits."""

    def find(alias: str) -> Reader | None:
        folder = root / alias
        files = [folder / TABLE_FILE, *sorted(folder.glob("*.csv")), *([root / f"{alias}.csv"] if alias else [])]
        file = next(
            (file for file in files if file.is_file() and (file.name == TABLE_FILE or looks_like_a_table(file))), None
        )
        photos = next((f for f in (folder, root / "images" / alias, root / "images") if holds_images(f)), root)
        return partial(read_table, file, photos) if file else None

    return find_splits(find)


def looks_like_a_table(file: Path) -> bool:
    """Returns whether a CSV file begins with a column of photographs; other tables may lie next to a set, too."""
    with file.open(encoding="utf-8-sig", errors="replace") as lines:
        return lines.readline().split(",")[0].strip().strip('"').lower() in NAME_COLUMNS


def read_table(file: Path, folder: Path, on_error: OnError | None = None) -> Dataset:
    """Reads one split.

    Args:
        file: The table. Columns called 0, 1, 2, ... take the names of a `_classes.txt` next to it, if there is one.
        folder: Where its photographs lie.
        on_error: Gets the error of each line that does not parse, which is then skipped; `None` raises.

    Raises:
        SourceError: A line does not parse or its photograph is missing; the message names file and line.
    """
    text = read_text(file, "a table split has its CSV file there")
    rows = csv.reader(io.StringIO(text, newline=""), skipinitialspace=True, strict=True)
    try:
        header = next(rows, [])
        numbered = [(rows.line_num, row) for row in rows if any(cell.strip() for cell in row)]
    except csv.Error as error:
        raise SourceError(f"{file}:{rows.line_num}: not CSV ({error})") from None
    if len(header) < 2 or header[0].strip().lower() not in NAME_COLUMNS:
        raise SourceError(f"{file}:1: {shortened(','.join(header))!r} is no header (expected: Name,comedones,...)")
    if {"xmin", "ymin"} <= {name.strip().lower() for name in header}:
        raise SourceError(f"{file}: a table of boxes, as TensorFlow has it; export the set as YOLO, COCO or Pascal VOC")
    classes = _classes(file, [name.strip() for name in header[1:]])
    samples: dict[Path, Sample] = {}
    for number, row in numbered:
        with collect_errors(on_error):
            sample = _sample(row, folder, len(classes), f"{file}:{number}")
            if sample.path in samples:
                raise SourceError(f"{file}:{number}: {sample.path.name!r} is listed twice")
            samples[sample.path] = sample
    if not numbered:
        raise SourceError(f"{file}: no photograph is listed")
    return Dataset(folder, classes, tuple(samples.values()))


def _classes(file: Path, columns: list[str]) -> tuple[str, ...]:
    names = file.parent / CLASSES_FILE
    if columns == [str(index) for index in range(len(columns))] and names.is_file():
        classes = read_class_names(names, "")
        if len(classes) != len(columns):
            raise SourceError(f"{names}: names {len(classes)} classes, but {file.name} has {len(columns)} columns")
        return classes
    return checked_class_names(columns, file)


def _sample(row: list[str], folder: Path, class_count: int, where: str) -> Sample:
    if len(row) != class_count + 1:
        raise SourceError(f"{where}: {len(row)} columns instead of {class_count + 1}")
    name, *cells = (cell.strip() for cell in row)
    odd = next((cell for cell in cells if cell not in {"0", "1"}), None)
    if odd is not None:
        raise SourceError(f"{where}: {shortened(odd)!r} is neither 0 nor 1")
    path = folder / name
    if not is_file(path):
        raise SourceError(f"{where}: {shortened(name)!r} is no photograph in {folder}")
    return Sample(
        path,
        np.zeros((0, 4), np.float32),
        np.zeros(0, np.int32),
        np.flatnonzero(np.array(cells) == "1").astype(np.int32),
    )


def write_table(data: Dataset, folder: Path, link: bool) -> None:
    """Writes one split."""
    place_images(data, folder, link)
    text = io.StringIO(newline="")
    table = csv.writer(text, lineterminator="\n")
    table.writerow(["Name", *data.classes])
    for sample in data.samples:
        table.writerow([sample.path.name, *sample.presence(len(data.classes)).astype(int)])
    (folder / TABLE_FILE).write_text(text.getvalue(), encoding="utf-8")
