"""Writes a labelled set in any of the label formats."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path

from acne_runtime.errors import SourceError
from acne_trainer.data.dataset import Dataset
from acne_trainer.data.formats.names import UNSPLIT
from acne_trainer.data.formats.registry import REGISTRY
from acne_trainer.data.formats.yolo import write_data_yaml


def write_dataset(splits: Mapping[str, Dataset], format_name: str, target: Path, *, link: bool = False) -> None:
    """Writes a labelled set into a new folder, all of it or nothing.

    Each split becomes a folder of its name, as Roboflow lays it out; a set without splits lies in the folder itself.
    Boxes keep their pixels; Pascal VOC has room for whole ones only.

    Args:
        splits: The set by split, as `read_splits` gives it.
        format_name: One of `names.FORMATS`.
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
        _check(data, format_name)
    target.parent.mkdir(parents=True, exist_ok=True)
    temporary = Path(tempfile.mkdtemp(prefix=f".{target.name}.", dir=target.parent))
    try:
        for split, data in splits.items():
            REGISTRY[format_name].write(data, temporary if split == UNSPLIT else temporary / split, link)
        if format_name == "yolo":
            write_data_yaml(splits, temporary)
        temporary.chmod(0o755)  # mkdtemp's folders are for their owner alone
        if target.exists():
            target.rmdir()
        temporary.rename(target)
    except BaseException:
        shutil.rmtree(temporary, ignore_errors=True)
        raise


def _check(data: Dataset, format_name: str) -> None:
    if format_name != "table" and not data.has_boxes:
        raise SourceError(f"{data.path}: its photographs come without boxes; only the format table can hold them")
    # YOLO and VOC pair a label with its photograph by the name without its suffix.
    seen: dict[str, Path] = {}
    for sample in data.samples:
        name = sample.path.stem if format_name in {"yolo", "voc"} else sample.path.name
        if name in seen:
            raise SourceError(f"{sample.path}: would be written under the name of {seen[name]}; rename one of them")
        seen[name] = sample.path
