"""The label formats, each with its finder, reader and writer, and which of them lies in a folder."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from acne_runtime.errors import SourceError
from acne_trainer.data.dataset import Dataset
from acne_trainer.data.formats.coco import COCO_FILE, find_coco, write_coco
from acne_trainer.data.formats.common import Readers
from acne_trainer.data.formats.keras_txt import ANNOTATIONS_FILE, find_keras_txt, write_keras_txt
from acne_trainer.data.formats.multilabel_csv import find_table, write_table
from acne_trainer.data.formats.names import SPLITS, UNSPLIT
from acne_trainer.data.formats.pascal_voc import find_voc, write_voc
from acne_trainer.data.formats.yolo import DATA_YAML, find_yolo, write_yolo


@dataclass(frozen=True, slots=True)
class Format:
    """One label format.

    Attributes:
        name: Its name, one of `names.FORMATS`.
        marker: The file that it is known by.
        find: A set's folder to what reads each of its splits; empty where it holds none.
        write: Writes a split into a folder; the last argument hard-links the images instead of copying them.
    """

    name: str
    marker: str
    find: Callable[[Path], Readers]
    write: Callable[[Dataset, Path, bool], None]


REGISTRY = {
    known.name: known
    for known in (
        Format("yolo", DATA_YAML, find_yolo, write_yolo),
        Format("keras-txt", ANNOTATIONS_FILE, find_keras_txt, write_keras_txt),
        Format("coco", COCO_FILE, find_coco, write_coco),
        Format("voc", "*.xml", find_voc, write_voc),
        Format("table", "*.csv that begins with Name,", find_table, write_table),
    )
}
"""By name, in the order in which a folder is searched: formats with boxes go before a table without."""


def detect_format(root: Path) -> tuple[str, Readers]:
    """Finds out which format lies in a folder.

    Returns:
        Its name, and what reads each split: of `train`, `valid` and `test` those that are there, or `all`.

    Raises:
        SourceError: No known format is there, or its `data.yaml` cannot be read.
    """
    if not root.is_dir():
        raise SourceError(f"{root}: no such folder")
    for known in REGISTRY.values():
        readers = known.find(root)
        if readers:
            return known.name, {split: readers[split] for split in (*SPLITS, UNSPLIT) if split in readers}
    held = sorted(entry.name + "/" * entry.is_dir() for entry in root.iterdir())
    raise SourceError(
        f"{root}: no labelled photographs found. Known formats: "
        f"{', '.join(f'{known.name} ({known.marker})' for known in REGISTRY.values())}; in the folder itself or in its "
        f"train, valid and test. It holds {', '.join(held[:8]) + ', ...' * (len(held) > 8) or 'nothing'}"
    )
