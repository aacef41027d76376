"""COCO JSON, also as Roboflow writes it (`_annotations.coco.json` next to the photographs)."""

from __future__ import annotations

import json
import logging
from functools import partial
from pathlib import Path
from typing import Any

from acne_runtime.errors import SourceError
from acne_trainer.data.dataset import Dataset, Sample
from acne_trainer.data.formats.common import (
    OnError,
    Reader,
    Readers,
    check_stated_size,
    checked_class_names,
    collect_errors,
    find_splits,
    holds_images,
    is_file,
    make_sample,
    place_images,
    read_text,
    shortened,
    upright_size,
)

logger = logging.getLogger(__name__)

COCO_FILE = "_annotations.coco.json"
_FIELDS: tuple[dict[str, type], ...] = (
    {"id": int, "file_name": str},
    {"image_id": int, "category_id": int},
    {"id": int, "name": str},
)
"""What an image, an annotation and a category cannot do without."""
_MAX_PIXELS = 1e9
_KINDS: dict[type, str] = {int: "a whole number", str: "a text"}


def find_coco(root: Path) -> Readers:
    """Returns the readers of a folder's splits."""

    def find(alias: str) -> Reader | None:
        file = root / alias / COCO_FILE
        if file.is_file():
            return partial(read_coco, file, file.parent)
        apart = (root / "annotations" / f"{name}{alias}.json" for name in ("instances_", "") if alias)
        file = next((file for file in apart if file.is_file()), file)
        folder = next((f for f in (root / "images" / alias, root / alias, root / "images") if holds_images(f)), root)
        return partial(read_coco, file, folder) if file.is_file() else None

    return find_splits(find)


def read_coco(file: Path, folder: Path, on_error: OnError | None = None) -> Dataset:
    """Reads one split; classes come in the order of their category ids.

    Args:
        file: The JSON file.
        folder: Where its photographs lie.
        on_error: Gets the error of each photograph whose entry cannot be read, which is then skipped; `None` raises.

    Raises:
        SourceError: The file is no COCO, a photograph is missing, or an annotation does not parse; the message names
            the file and the entry's id.
    """
    images, annotations, categories = _parts(file)
    categories = _without_root(categories, {annotation["category_id"] for annotation in annotations})
    classes = checked_class_names((category["name"].strip() for category in categories), file)
    index_of = {category["id"]: index for index, category in enumerate(categories)}
    crowds = sum(bool(annotation.get("iscrowd")) for annotation in annotations)
    if crowds:  # regions with many lesions, not lesions
        logger.warning("%s: %d crowd region(s) left out (iscrowd)", file, crowds)
        annotations = [annotation for annotation in annotations if not annotation.get("iscrowd")]
    if annotations and all(_is_fraction(annotation.get("bbox")) for annotation in annotations):
        raise SourceError(f"{file}: its boxes are fractions of the photographs; export them in pixels")
    by_image: dict[int, list[dict[str, Any]]] = {image["id"]: [] for image in images}
    for annotation in annotations:
        with collect_errors(on_error):
            if annotation["image_id"] not in by_image:
                raise SourceError(
                    f"{file}: annotation {annotation.get('id')}: image {annotation['image_id']} is not listed"
                )
            by_image[annotation["image_id"]].append(annotation)
    samples: dict[str, Sample] = {}
    for image in images:
        with collect_errors(on_error):
            if image["file_name"] in samples or image["id"] not in by_image:
                raise SourceError(f"{file}: image {image['id']}: {image['file_name']!r} or its id is listed twice")
            samples[image["file_name"]] = _sample(file, folder, image, by_image.pop(image["id"]), index_of)
    if not images:
        raise SourceError(f"{file}: no photograph is listed")
    return Dataset(folder, classes, tuple(samples.values()))


def _parts(file: Path) -> list[list[dict[str, Any]]]:
    """Returns the images, annotations and categories, each a list of objects; categories by their ids."""
    try:
        data = json.loads(read_text(file, "a COCO split has its JSON file there"))
    except json.JSONDecodeError as error:
        raise SourceError(f"{file}:{error.lineno}: not JSON ({error.msg})") from None
    parts = []
    for key in ("images", "annotations", "categories"):
        part = data.get(key) if isinstance(data, dict) else None
        if not isinstance(part, list) or not all(isinstance(entry, dict) for entry in part):
            raise SourceError(f"{file}: not COCO: {key!r} is no list of objects")
        parts.append(part)
    for key, part, fields in zip(("image", "annotation", "category"), parts, _FIELDS, strict=True):
        for entry in part:
            for field, kind in fields.items():
                value = entry.get(field)
                if kind is int and isinstance(value, float) and value.is_integer():
                    entry[field] = int(value)
                elif not isinstance(value, kind):
                    problem = "is missing" if value is None else f"is {value!r}, not {_KINDS[kind]},"
                    raise SourceError(f"{file}: not COCO: {field} {problem} in the {key} {shortened(str(entry))}")
    parts[2].sort(key=lambda category: category["id"])
    return parts


def _without_root(categories: list[dict[str, Any]], used: set[int]) -> list[dict[str, Any]]:
    """Leaves out what Roboflow puts first: the project itself, as an unused category that the classes stand under."""

    def is_root(category: dict[str, Any]) -> bool:
        above = {other.get("supercategory") for other in categories if other is not category}
        return category["id"] not in used and category["name"] in above

    return [category for category in categories if not is_root(category)]


def _sample(
    file: Path, folder: Path, image: dict[str, Any], annotations: list[dict[str, Any]], index_of: dict[int, int]
) -> Sample:
    path = folder / image["file_name"]
    if not is_file(path):
        raise SourceError(
            f"{file}: image {image['id']}: {shortened(image['file_name'])!r} is no photograph in {folder}"
        )
    check_stated_size(file, path, image.get("width"), image.get("height"))
    for annotation in annotations:
        if annotation["category_id"] not in index_of:
            raise SourceError(
                f"{file}: annotation {annotation.get('id')}: category {annotation['category_id']} is not one of "
                f"{sorted(index_of)}"
            )
    return make_sample(
        path,
        [_box(file, annotation) for annotation in annotations],
        [index_of[annotation["category_id"]] for annotation in annotations],
        len(index_of),
        lambda index: f"{file}: annotation {annotations[index].get('id')}",
    )


def _is_fraction(bbox: object) -> bool:
    return isinstance(bbox, list) and all(isinstance(side, float) and 0 <= side <= 1 for side in bbox)


def _box(file: Path, annotation: dict[str, Any]) -> list[float]:
    """Returns `xyxy`, pixels."""
    bbox = annotation.get("bbox")
    numbers = [number for number in bbox if isinstance(number, (int, float))] if isinstance(bbox, list) else []
    in_range = all(abs(number) < _MAX_PIXELS for number in numbers)  # NaN is not
    if not (len(numbers) == 4 == len(bbox or ()) and in_range and min(numbers[2:]) >= 0):
        raise SourceError(
            f"{file}: annotation {annotation.get('id')}: bbox {shortened(str(bbox))} is not [x, y, width, height]"
        )
    x, y, width, height = numbers
    return [x, y, x + width, y + height]


def write_coco(data: Dataset, folder: Path, link: bool) -> None:
    """Writes one split."""
    place_images(data, folder, link)
    images: list[dict[str, Any]] = []
    annotations: list[dict[str, Any]] = []
    for image_id, sample in enumerate(data.samples, start=1):
        width, height = upright_size(sample.path)
        images.append({"id": image_id, "file_name": sample.path.name, "height": height, "width": width})
        for (x1, y1, x2, y2), class_index in zip(sample.boxes.tolist(), sample.classes.tolist(), strict=True):
            annotation = {
                "id": len(annotations) + 1,
                "image_id": image_id,
                "category_id": class_index + 1,
                "bbox": [x1, y1, x2 - x1, y2 - y1],
                "area": (x2 - x1) * (y2 - y1),
                "segmentation": [],
                "iscrowd": 0,
            }
            annotations.append(annotation)
    categories = [{"id": index, "name": name} for index, name in enumerate(data.classes, start=1)]
    content = {"images": images, "annotations": annotations, "categories": categories}
    (folder / COCO_FILE).write_text(json.dumps(content, ensure_ascii=False), encoding="utf-8")
