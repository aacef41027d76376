"""A labelled set in the form that is asked for."""

from __future__ import annotations

import csv
import io
import json
import os
import shutil
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import yaml  # type: ignore[import-untyped]

from acne_runtime.errors import SourceError
from acne_trainer.data.dataset import Dataset
from acne_trainer.data.formats.common import CLASSES_FILE
from acne_trainer.data.formats.keras_txt import ANNOTATIONS_FILE
from acne_trainer.data.formats.names import UNSPLIT
from acne_trainer.data.formats.registry import COCO_FILE, DATA_YAML, TABLE_FILE


def write_dataset(splits: Mapping[str, Dataset], form: str, target: Path, *, link: bool = False) -> None:
    """Writes a labelled set into a new folder, whole or not at all.

    Each split becomes a folder of its name, as Roboflow lays it out; a set without splits lies in the folder itself.
    Boxes keep their pixels; Pascal VOC has room for whole ones only.

    Args:
        splits: The set by split, as `read_splits` gives it.
        form: One of `forms.FORMATS`.
        target: The folder to make; it may be there if it is empty.
        link: Hard-link the photographs instead of copying them.

    Raises:
        SourceError: The target is not empty, two photographs of a split would get one name, boxes are asked for of a
            set that has none, or a photograph cannot be read.
        OSError: A photograph cannot be copied or linked.
    """
    if target.exists() and not (target.is_dir() and not any(target.iterdir())):
        raise SourceError(f"{target}: not empty; name another folder")
    for data in splits.values():
        _check(data, form)
    target.parent.mkdir(parents=True, exist_ok=True)
    temporary = Path(tempfile.mkdtemp(prefix=f".{target.name}.", dir=target.parent))
    try:
        for split, data in splits.items():
            _WRITERS[form](data, temporary if split == UNSPLIT else temporary / split, link)
        if form == "yolo":
            _write_data_yaml(splits, temporary / DATA_YAML)
        temporary.chmod(0o755)  # mkdtemp's folders are for their owner alone
        if target.exists():
            target.rmdir()
        temporary.rename(target)
    except BaseException:
        shutil.rmtree(temporary, ignore_errors=True)
        raise


def _check(data: Dataset, form: str) -> None:
    if form != "table" and not data.has_boxes:
        raise SourceError(f"{data.path}: its photographs come without boxes; only the form table can hold them")
    # YOLO and VOC pair a label with its photograph by the name without its suffix.
    seen: dict[str, Path] = {}
    for sample in data.samples:
        name = sample.path.stem if form in {"yolo", "voc"} else sample.path.name
        if name in seen:
            raise SourceError(f"{sample.path}: would be written under the name of {seen[name]}; rename one of them")
        seen[name] = sample.path


def _place_photographs(data: Dataset, folder: Path, link: bool) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for sample in data.samples:
        place = folder / sample.path.name
        if link:
            os.link(sample.path.resolve(), place)
        else:
            shutil.copyfile(sample.path, place)


def _write_keras_txt(data: Dataset, folder: Path, link: bool) -> None:
    _place_photographs(data, folder, link)
    _write_classes(data, folder)
    lines = []
    for sample in data.samples:
        boxes = (",".join(map(_plain, [*box, label])) for box, label in zip(sample.boxes, sample.classes, strict=True))
        lines.append(" ".join([sample.path.name, *boxes]) + "\n")
    (folder / ANNOTATIONS_FILE).write_text("".join(lines), encoding="utf-8")


def _write_yolo(data: Dataset, folder: Path, link: bool) -> None:
    _place_photographs(data, folder / "images", link)
    _save(data, lambda boxed: boxed.as_yolo(annotations_directory_path=str(folder / "labels")))


def _write_data_yaml(splits: Mapping[str, Dataset], file: Path) -> None:
    classes = list(next(iter(splits.values())).classes)
    words = {split: {"valid": "val"}.get(split, split) for split in splits if split != UNSPLIT}
    entries = {word: f"{split}/images" for split, word in words.items()}
    text = yaml.safe_dump({**entries, "nc": len(classes), "names": classes}, sort_keys=False, allow_unicode=True)
    file.write_text(text, encoding="utf-8")


def _write_coco(data: Dataset, folder: Path, link: bool) -> None:
    _place_photographs(data, folder, link)
    file = folder / COCO_FILE
    _save(data, lambda boxed: boxed.as_coco(annotations_path=str(file)))
    # Supervision claims CC BY 4.0 for any photograph, and that it was taken now.
    content = json.loads(file.read_text(encoding="utf-8"))
    del content["licenses"]
    for image in content["images"]:
        del image["license"], image["date_captured"]
    file.write_text(json.dumps(content, ensure_ascii=False), encoding="utf-8")


def _write_voc(data: Dataset, folder: Path, link: bool) -> None:
    _place_photographs(data, folder, link)
    _write_classes(data, folder)  # the form itself does not know their order
    _save(data, lambda boxed: boxed.as_pascal_voc(annotations_directory_path=str(folder)))


def _write_table(data: Dataset, folder: Path, link: bool) -> None:
    _place_photographs(data, folder, link)
    text = io.StringIO(newline="")
    table = csv.writer(text, lineterminator="\n")
    table.writerow(["Name", *data.classes])
    for sample in data.samples:
        table.writerow([sample.path.name, *sample.presence(len(data.classes)).astype(int)])
    (folder / TABLE_FILE).write_text(text.getvalue(), encoding="utf-8")


def _write_classes(data: Dataset, folder: Path) -> None:
    (folder / CLASSES_FILE).write_text("".join(f"{name}\n" for name in data.classes), encoding="utf-8")


def _save(data: Dataset, save: Callable[[Any], object]) -> None:
    """Hands a split to supervision, whose import takes over a second, and has it saved."""
    import supervision

    boxed = supervision.DetectionDataset(
        classes=list(data.classes),
        images=[str(sample.path) for sample in data.samples],
        annotations={
            str(sample.path): supervision.Detections(xyxy=sample.boxes, class_id=sample.classes.astype(int))
            for sample in data.samples
        },
    )
    try:
        save(boxed)
    except ValueError as error:
        raise SourceError(f"{data.path}: {error}") from None


def _plain(number: Any) -> str:
    """Returns a number in digits, to a thousandth of a pixel, without an exponent."""
    return np.format_float_positional(number, precision=3, trim="-")


_WRITERS: dict[str, Callable[[Dataset, Path, bool], None]] = {
    "keras-txt": _write_keras_txt,
    "yolo": _write_yolo,
    "coco": _write_coco,
    "voc": _write_voc,
    "table": _write_table,
}
