"""Which form of labels lies in a folder, and where each of its splits is."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TypeAlias

from acne_runtime.errors import SourceError
from acne_runtime.sources.image_files import SUFFIXES
from acne_trainer.data.dataset import Dataset
from acne_trainer.data.formats.coco import read_coco
from acne_trainer.data.formats.common import OnError
from acne_trainer.data.formats.keras_txt import ANNOTATIONS_FILE, read_keras_txt
from acne_trainer.data.formats.multilabel_csv import looks_like_a_table, read_table
from acne_trainer.data.formats.names import SPLITS, UNSPLIT
from acne_trainer.data.formats.pascal_voc import read_voc, voc_classes
from acne_trainer.data.formats.yolo import read_data_yaml, read_yolo

DATA_YAML = "data.yaml"
COCO_FILE = "_annotations.coco.json"
TABLE_FILE = "_classes.csv"

_ALIASES = {"train": ("train",), "valid": ("valid", "val", "validation"), "test": ("test",), UNSPLIT: ("",)}
"""The names that a split's folder may have; a set without splits lies in the set's own folder."""

Reader: TypeAlias = Callable[[OnError | None], Dataset]


def detect_format(root: Path) -> tuple[str, dict[str, Reader]]:
    """Looks what lies in a folder; a form with boxes goes before a table without.

    Returns:
        The form, and what reads each split: of `train`, `valid` and `test` those that are there, or `all`.

    Raises:
        SourceError: No known form is there, or its `data.yaml` cannot be read.
    """
    if not root.is_dir():
        raise SourceError(f"{root}: no such folder")
    for form, (_, find) in _FORMS.items():
        readers = find(root)
        if readers:
            return form, {split: readers[split] for split in (*SPLITS, UNSPLIT) if split in readers}
    held = sorted(entry.name + "/" * entry.is_dir() for entry in root.iterdir())
    raise SourceError(
        f"{root}: no labelled photographs found. Known forms: "
        f"{', '.join(f'{form} ({sign})' for form, (sign, _) in _FORMS.items())}; in the folder itself or in its "
        f"train, valid and test. It holds {', '.join(held[:8]) + ', ...' * (len(held) > 8) or 'nothing'}"
    )


def _by_split(find: Callable[[str], Reader | None]) -> dict[str, Reader]:
    """Asks for the reader of each name that a split may have; for the set without splits only if there is no split."""
    readers: dict[str, Reader] = {}
    for split, aliases in _ALIASES.items():
        if split != UNSPLIT or not readers:
            found = next((reader for reader in map(find, aliases) if reader), None)
            if found:
                readers[split] = found
    return readers


def _yolo(root: Path) -> dict[str, Reader]:
    file = next((root / name for name in (DATA_YAML, "data.yml") if (root / name).is_file()), None)
    if file is None:
        return {}
    data = read_data_yaml(file)

    def find(alias: str) -> Reader | None:
        usual = [folder for folder in (root / alias / "images", root / "images" / alias) if _holds_photos(folder)]
        places = data.splits.get(alias) or tuple(usual[:1])
        return partial(read_yolo, data, places) if places else None

    readers = _by_split(find)
    if not readers:
        raise SourceError(f"{file}: neither its train, val and test nor an images folder beside it holds photographs")
    return readers


def _keras_txt(root: Path) -> dict[str, Reader]:
    def find(alias: str) -> Reader | None:
        return partial(read_keras_txt, root / alias) if (root / alias / ANNOTATIONS_FILE).is_file() else None

    return _by_split(find)


def _coco(root: Path) -> dict[str, Reader]:
    def find(alias: str) -> Reader | None:
        file = root / alias / COCO_FILE
        if file.is_file():
            return partial(read_coco, file, file.parent)
        apart = (root / "annotations" / f"{name}{alias}.json" for name in ("instances_", "") if alias)
        file = next((file for file in apart if file.is_file()), file)
        folder = next((f for f in (root / "images" / alias, root / alias, root / "images") if _holds_photos(f)), root)
        return partial(read_coco, file, folder) if file.is_file() else None

    return _by_split(find)


def _voc(root: Path) -> dict[str, Reader]:
    label_folders: list[Path] = []

    def find(alias: str) -> Reader | None:
        folder = root / alias
        for photos, labels in (
            (folder, folder),
            (folder / "images", folder / "annotations"),
            (folder / "JPEGImages", folder / "Annotations"),
            (root / "images" / alias, root / "annotations" / alias),
            (root / "JPEGImages" / alias, root / "Annotations" / alias),
        ):
            if any(labels.glob("*.xml")):
                label_folders.append(labels)
                return partial(read, photos, labels)
        return None

    def read(photos: Path, labels: Path, on_error: OnError | None) -> Dataset:
        # Called when all splits have been found: one of them may lack a class that another has.
        return read_voc(photos, labels, voc_classes(label_folders), on_error)

    return _by_split(find)


def _table(root: Path) -> dict[str, Reader]:
    def find(alias: str) -> Reader | None:
        folder = root / alias
        files = [folder / TABLE_FILE, *sorted(folder.glob("*.csv")), *([root / f"{alias}.csv"] if alias else [])]
        file = next(
            (file for file in files if file.is_file() and (file.name == TABLE_FILE or looks_like_a_table(file))), None
        )
        photos = next((f for f in (folder, root / "images" / alias, root / "images") if _holds_photos(f)), root)
        return partial(read_table, file, photos) if file else None

    return _by_split(find)


def _holds_photos(folder: Path) -> bool:
    return folder.is_dir() and any(entry.suffix.lower() in SUFFIXES for entry in folder.iterdir())


_FORMS: dict[str, tuple[str, Callable[[Path], dict[str, Reader]]]] = {
    "yolo": (DATA_YAML, _yolo),
    "keras-txt": (ANNOTATIONS_FILE, _keras_txt),
    "coco": (COCO_FILE, _coco),
    "voc": ("*.xml", _voc),
    "table": ("*.csv that begins with Name,", _table),
}
"""What each of `FORMATS` is known by, and what finds its splits, in the order of looking."""
