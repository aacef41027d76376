"""YOLO folders, as Ultralytics and Roboflow lay them out.

`data.yaml` names the classes and where each split's photographs lie; the label of `images/a.jpg` is `labels/a.txt`,
one box a line: `class x_center y_center width height`, fractions of the photograph's sides. A photograph without a
label file is bare skin.
"""

from __future__ import annotations

import math
import os
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import yaml  # type: ignore[import-untyped]

from acne_runtime.errors import SourceError
from acne_runtime.sources.image_files import SUFFIXES, list_images
from acne_trainer.data.dataset import Dataset, Sample
from acne_trainer.data.formats.common import (
    OnError,
    Reader,
    Readers,
    check_one_photograph,
    checked_class_names,
    collect_errors,
    find_splits,
    holds_images,
    is_file,
    make_sample,
    place_images,
    read_text,
    upright_size,
)
from acne_trainer.data.formats.names import UNSPLIT

DATA_YAML = "data.yaml"
_NOT_LABELS = frozenset({"classes.txt"})
"""What labelImg leaves among the label files."""


@dataclass(frozen=True, slots=True)
class DataYaml:
    """What `data.yaml` says.

    Attributes:
        file: The file.
        classes: Class names in the order of their indices.
        splits: For `train`, `valid` and `test`, the folders or lists of photographs that the file names and that exist.
    """

    file: Path
    classes: tuple[str, ...]
    splits: dict[str, tuple[Path, ...]]


def read_data_yaml(file: Path) -> DataYaml:
    """Reads `data.yaml`.

    Raises:
        SourceError: It is missing, no YAML, or names no classes.
    """
    try:
        data = yaml.safe_load(read_text(file, "a YOLO set has data.yaml, which names its classes"))
    except (yaml.YAMLError, ValueError) as error:
        mark = getattr(error, "problem_mark", None)
        line = f":{mark.line + 1}" if mark else ""
        raise SourceError(f"{file}{line}: not YAML ({getattr(error, 'problem', None) or 'corrupt'})") from None
    names = data.get("names") if isinstance(data, dict) else None
    stated = list(names.values()) if isinstance(names, dict) else names if isinstance(names, list) else []
    odd = [name for name in stated if isinstance(name, bool | None)]
    if odd:
        raise SourceError(f"{file}: a class is named {odd[0]}; put names such as yes, no and null in quotes")
    if isinstance(names, dict):
        if sorted(map(str, names)) != sorted(map(str, range(len(names)))):
            raise SourceError(f"{file}: names must have the indices 0 to {len(names) - 1}, not {list(names)}")
        names = [names[key] for key in sorted(names, key=int)]
    if not isinstance(names, list):
        raise SourceError(f"{file}: names no classes (expected: names: [comedones, ...])")
    classes = checked_class_names((str(name).strip() for name in names), file)
    if str(data.get("nc", len(classes))) != str(len(classes)):  # some tools write it as a text
        raise SourceError(f"{file}: nc is {data['nc']}, but {len(classes)} classes are named")
    if "kpt_shape" in data:
        raise SourceError(f"{file}: its labels hold keypoints (kpt_shape); export boxes instead")
    entries = {"train": data.get("train"), "valid": data.get("val", data.get("valid")), "test": data.get("test")}
    return DataYaml(file, classes, {split: _places(file, data, entry) for split, entry in entries.items()})


def _places(file: Path, data: dict[str, Any], entry: Any) -> tuple[Path, ...]:
    """Returns what exists of a split's entry: one path or several, of folders or of lists of photographs."""
    bases = (file.parent / str(data.get("path") or "."), file.parent)
    found = []
    for name in map(str, entry if isinstance(entry, list) else [entry] * bool(entry)):
        # Roboflow writes ../train/images for the train/images next to data.yaml; Ultralytics forgives it, too.
        candidates = [base / form for base in bases for form in (name, name.removeprefix("../"))]
        found += [place for place in candidates if os.path.exists(place)][:1]  # noqa: PTH110  (`Path.exists` raises for names that are too long)
    return tuple(found)


def find_yolo(root: Path) -> Readers:
    """Returns the readers of a folder's splits."""
    file = next((root / name for name in (DATA_YAML, "data.yml") if (root / name).is_file()), None)
    if file is None:
        return {}
    data = read_data_yaml(file)

    def find(alias: str) -> Reader | None:
        usual = [folder for folder in (root / alias / "images", root / "images" / alias) if holds_images(folder)]
        places = data.splits.get(alias) or tuple(usual[:1])
        return partial(read_yolo, data, places) if places else None

    readers = find_splits(find)
    if not readers:
        raise SourceError(f"{file}: neither its train, val and test nor an images folder next to it holds photographs")
    return readers


def read_yolo(data: DataYaml, places: tuple[Path, ...], on_error: OnError | None = None) -> Dataset:
    """Reads one split.

    Args:
        data: What `data.yaml` says.
        places: Folders of photographs, or text files with one photograph a line.
        on_error: Gets the error of each photograph or label that cannot be read, which is then skipped; `None` raises.

    Raises:
        SourceError: A label does not parse, has no photograph, or a photograph cannot be read; the message names file
            and line.
    """
    photos = [
        photo
        for place in places
        for photo in (list_images(place, recursive=True) if place.is_dir() else _listed(place))
    ]
    labels = {photo: _label_file(photo) for photo in photos}
    if not any(label.is_file() for label in labels.values()) and not _orphans(labels):
        raise SourceError(f"{places[0]}: none of its photographs has a label (looked in {labels[photos[0]].parent})")
    samples = []
    first_of: dict[Path, Path] = {}
    for photo, label in labels.items():
        with collect_errors(on_error):
            check_one_photograph(label, photo, first_of)
            samples.append(_sample(photo, label, len(data.classes)))
    for orphan in _orphans(labels):
        with collect_errors(on_error):
            renamed = f"; rename it to {orphan.stem.partition('.')[0]}.txt"
            hint = renamed if orphan.suffix != ".txt" or Path(orphan.stem).suffix.lower() in SUFFIXES else ""
            raise SourceError(f"{orphan}: labels a photograph that is not there{hint}")
    return Dataset(places[0], data.classes, tuple(samples))


def _listed(file: Path) -> list[Path]:
    """Reads a text file of photographs; relative ones begin at the file's own folder."""
    lines = enumerate(read_text(file, "it should list photographs").splitlines(), start=1)
    photos = [(number, file.parent / line.strip()) for number, line in lines if line.strip()]
    for number, photo in photos:
        if not is_file(photo):
            raise SourceError(f"{file}:{number}: {photo} is no photograph")
    if not photos:
        raise SourceError(f"{file}: no photograph is listed")
    return [photo for _, photo in photos]


def _label_file(photo: Path) -> Path:
    """Returns where a photograph's label lies: the last `images` of its path read as `labels`, or next to it."""
    parts = list(photo.parent.parts)
    if "images" in parts:
        parts[len(parts) - 1 - parts[::-1].index("images")] = "labels"
        folder = Path(*parts)
        if folder.is_dir():
            return folder / f"{photo.stem}.txt"
    return photo.with_suffix(".txt")


def _orphans(labels: dict[Path, Path]) -> list[Path]:
    # Text files next to photographs may be anything; in a folder of labels they are labels.
    folders = {label.parent for label in labels.values()} - {photo.parent for photo in labels}
    used = set(labels.values())
    files = sorted(file for folder in folders if folder.is_dir() for file in folder.iterdir())
    texts = [file for file in files if file.suffix.lower() == ".txt" and file.name not in _NOT_LABELS]
    return [file for file in texts if file not in used]


def _sample(photo: Path, label: Path, class_count: int) -> Sample:
    size = upright_size(photo)
    if not label.is_file():
        return make_sample(photo, [], [], class_count, str)
    lines = enumerate(read_text(label, "").splitlines(), start=1)
    numbered = [(number, line) for number, line in lines if line.strip()]
    boxes, classes = _parse(label, numbered, size)
    return make_sample(photo, boxes, classes, class_count, lambda index: f"{label}:{numbered[index][0]}")


def _parse(label: Path, numbered: list[tuple[int, str]], size: tuple[int, int]) -> tuple[Any, list[int]]:
    """Returns boxes `[n, 4]` float32 `xyxy`, pixels, and class indices."""
    boxes, classes = [], []
    for number, line in numbered:
        try:
            index, box = _parse_line(line)
        except ValueError as error:
            raise SourceError(f"{label}:{number}: {error}") from None
        classes.append(index)
        boxes.append(box)
    return np.array(boxes, np.float32).reshape(-1, 4) * np.array([*size, *size], np.float32), classes


def _parse_line(line: str) -> tuple[int, list[float]]:
    """Returns the class index and the box `xyxy`, in fractions of the image; of a polygon, the box around it.

    Five values are a box, six a box and its confidence, more a polygon, perhaps with a confidence.

    Raises:
        ValueError: It is neither.
    """
    name, *values = line.split()
    if len(values) < 4:
        raise ValueError(f"Invalid YOLO annotation line {line!r}; expected at least 5 values: class and box")
    try:
        index = float(name)
    except ValueError:
        index = math.nan
    if index % 1:  # NaN and infinity as well: their remainder is NaN
        raise ValueError(f"Invalid class id {name!r}; expected a whole number")
    numbers = [float(value) for value in values]
    if not all(map(math.isfinite, numbers)):
        raise ValueError(f"Invalid YOLO annotation line {line!r}; expected finite numbers")
    if len(numbers) > 9 and len(numbers) % 3 == 1 and 2 in numbers[6::3] and set(numbers[6::3]) <= {0, 1, 2}:
        raise ValueError(f"keypoints, not a polygon: {line!r}; export boxes instead")
    if len(numbers) == 6 and numbers[5] > 1 and numbers[5] % 1 == 0:
        numbers = numbers[:4]  # a box, its confidence and the number of a track
    if len(numbers) > 5:
        points = numbers[: len(numbers) // 2 * 2]
        return int(index), [min(points[::2]), min(points[1::2]), max(points[::2]), max(points[1::2])]
    x, y, width, height = numbers[:4]
    if width < 0 or height < 0:
        raise ValueError(f"Invalid YOLO annotation line {line!r}; expected a width and height of at least 0")
    return int(index), [x - width / 2, y - height / 2, x + width / 2, y + height / 2]


def write_yolo(data: Dataset, folder: Path, link: bool) -> None:
    """Writes one split; `write_data_yaml` completes the set."""
    place_images(data, folder / "images", link)
    (folder / "labels").mkdir()
    for sample in data.samples:
        relative = sample.boxes / np.array(upright_size(sample.path) * 2, np.float32)
        boxes = np.concatenate([(relative[:, :2] + relative[:, 2:]) / 2, relative[:, 2:] - relative[:, :2]], axis=1)
        lines = [
            " ".join([f"{index}", *(f"{value:.5f}" for value in box)]) + "\n"
            for index, box in zip(sample.classes.tolist(), boxes.tolist(), strict=True)
        ]
        (folder / "labels" / f"{sample.path.stem}.txt").write_text("".join(lines), encoding="utf-8")


def write_data_yaml(splits: Mapping[str, Dataset], folder: Path) -> None:
    """Writes `data.yaml`, which names the classes and where each split lies."""
    classes = list(next(iter(splits.values())).classes)
    words = {split: {"valid": "val"}.get(split, split) for split in splits if split != UNSPLIT}
    entries = {word: f"{split}/images" for split, word in words.items()}
    text = yaml.safe_dump({**entries, "nc": len(classes), "names": classes}, sort_keys=False, allow_unicode=True)
    (folder / DATA_YAML).write_text(text, encoding="utf-8")
