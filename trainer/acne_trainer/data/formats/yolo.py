"""YOLO folders, as Ultralytics and Roboflow lay them out.

`data.yaml` names the classes and where each split's photographs lie; the label of `images/a.jpg` is `labels/a.txt`,
one box a line: `class x_center y_center width height`, fractions of the photograph's sides. A photograph without a
label file is bare skin.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml  # type: ignore[import-untyped]
from PIL import Image, UnidentifiedImageError

from acne_runtime.errors import SourceError
from acne_runtime.sources.image_files import list_photos
from acne_trainer.data.dataset import Dataset, Sample
from acne_trainer.data.formats.common import OnError, checked_class_names, collect_errors, make_sample, read_text

_NOT_LABELS = frozenset({"classes.txt"})
"""What labelImg leaves among the label files."""
_ORIENTATION = 0x0112
"""The EXIF tag."""
_QUARTER_TURNS = frozenset({5, 6, 7, 8})


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
        raise SourceError(f"{file}{line}: not YAML ({getattr(error, 'problem', None) or 'damaged'})") from None
    names = data.get("names") if isinstance(data, dict) else None
    if isinstance(names, dict):
        if sorted(map(str, names)) != sorted(map(str, range(len(names)))):
            raise SourceError(f"{file}: names must have the indices 0 to {len(names) - 1}, not {list(names)}")
        names = [names[key] for key in sorted(names, key=int)]
    if not isinstance(names, list):
        raise SourceError(f"{file}: names no classes (expected: names: [comedones, ...])")
    classes = checked_class_names((str(name).strip() for name in names), file)
    if data.get("nc", len(classes)) != len(classes):
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
        # Roboflow writes ../train/images for the train/images beside data.yaml; Ultralytics forgives it, too.
        candidates = [base / form for base in bases for form in (name, name.removeprefix("../"))]
        found += [place for place in candidates if place.exists()][:1]
    return tuple(found)


def read_yolo(data: DataYaml, places: tuple[Path, ...], on_error: OnError | None = None) -> Dataset:
    """Reads one split.

    Args:
        data: What `data.yaml` says.
        places: Folders of photographs, or text files with one photograph a line.
        on_error: Is told of each photograph or label that cannot be read, which is then passed over; `None` raises.

    Raises:
        SourceError: A label does not parse, has no photograph, or a photograph cannot be read; the message names file
            and line.
    """
    photos = [photo for place in places for photo in (list_photos(place) if place.is_dir() else _listed(place))]
    labels = {photo: _label_file(photo) for photo in photos}
    if not any(label.is_file() for label in labels.values()):
        raise SourceError(f"{places[0]}: none of its photographs has a label (looked in {labels[photos[0]].parent})")
    samples = []
    for photo, label in labels.items():
        with collect_errors(on_error):
            samples.append(_sample(photo, label, len(data.classes)))
    for orphan in _orphans(labels):
        with collect_errors(on_error):
            raise SourceError(f"{orphan}: labels a photograph that is not there")
    return Dataset(places[0], data.classes, tuple(samples))


def _listed(file: Path) -> list[Path]:
    """Reads a text file of photographs; relative ones begin at the file's own folder."""
    lines = enumerate(read_text(file, "it should list photographs").splitlines(), start=1)
    photos = [(number, file.parent / line.strip()) for number, line in lines if line.strip()]
    for number, photo in photos:
        if not photo.is_file():
            raise SourceError(f"{file}:{number}: {photo} is no photograph")
    if not photos:
        raise SourceError(f"{file}: no photograph is listed")
    return [photo for _, photo in photos]


def _label_file(photo: Path) -> Path:
    """Returns where a photograph's label lies: the last `images` of its path read as `labels`, or beside it."""
    parts = list(photo.parent.parts)
    if "images" in parts:
        parts[len(parts) - 1 - parts[::-1].index("images")] = "labels"
        folder = Path(*parts)
        if folder.is_dir():
            return folder / f"{photo.stem}.txt"
    return photo.with_suffix(".txt")


def _orphans(labels: dict[Path, Path]) -> list[Path]:
    # Text files beside photographs may be anything; in a folder of labels they are labels.
    folders = {label.parent for label in labels.values()} - {photo.parent for photo in labels}
    used = set(labels.values())
    files = sorted(file for folder in folders if folder.is_dir() for file in folder.glob("*.txt"))
    return [file for file in files if file not in used and file.name not in _NOT_LABELS]


def _sample(photo: Path, label: Path, class_count: int) -> Sample:
    size = _upright_size(photo)
    if not label.is_file():
        return make_sample(photo, [], [], class_count, str)
    lines = enumerate(read_text(label, "").splitlines(), start=1)
    numbered = [(number, line) for number, line in lines if line.strip()]
    boxes, classes = _parse(label, numbered, size)
    return make_sample(photo, boxes, classes, class_count, lambda index: f"{label}:{numbered[index][0]}")


def _parse(label: Path, numbered: list[tuple[int, str]], size: tuple[int, int]) -> tuple[Any, Any]:
    # Supervision takes over a second to import. Its reader of whole folders keeps a mask of the photograph's size for
    # every polygon and names no line, so its reader of lines is called here; polygons become the boxes around them.
    from supervision.dataset.formats.yolo import yolo_annotations_to_detections

    def detections(lines: list[str]) -> Any:
        return yolo_annotations_to_detections(lines, resolution_wh=size, with_masks=False)

    try:
        found = detections([line for _, line in numbered])
    except ValueError:
        for number, line in numbered:
            try:
                detections([line])
            except ValueError as error:
                raise SourceError(f"{label}:{number}: {error}") from None
        raise
    return found.xyxy, found.class_id


def _upright_size(file: Path) -> tuple[int, int]:
    """Returns the upright width and height in pixels without decoding the photograph.

    Raises:
        SourceError: It is missing, empty, or no picture.
    """
    try:
        with Image.open(file) as image:
            width, height = image.size
            turned = image.getexif().get(_ORIENTATION) in _QUARTER_TURNS
    except UnidentifiedImageError:
        problem = "not an image, or a corrupt one" if file.stat().st_size else "the file is empty"
        raise SourceError(f"{file}: {problem}") from None
    except (OSError, Image.DecompressionBombError) as error:
        raise SourceError(f"{file}: {getattr(error, 'strerror', None) or error}") from None
    return (height, width) if turned else (width, height)
