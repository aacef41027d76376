"""Pascal VOC: one XML file a photograph, next to it or in a folder of its own, paired by name.

A box's corners may come in either order; both pixels belong to it, so that it always has an area. A photograph without
an XML file is bare skin. The form has no list of classes: `_classes.txt` next to the XML files
gives their order, or else they are sorted by name.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from functools import partial
from pathlib import Path
from xml.etree.ElementTree import Element, ElementTree, ParseError, SubElement, indent

from defusedxml import DefusedXmlException  # type: ignore[import-untyped]
from defusedxml.ElementTree import parse  # type: ignore[import-untyped]

from acne_runtime.errors import SourceError
from acne_runtime.sources.image_files import list_images
from acne_trainer.data.dataset import Dataset, Sample
from acne_trainer.data.formats.common import (
    CLASSES_FILE,
    OnError,
    Reader,
    Readers,
    check_one_photograph,
    check_stated_size,
    checked_class_names,
    collect_errors,
    find_splits,
    make_sample,
    place_images,
    read_class_names,
    upright_size,
    write_class_names,
)


def find_voc(root: Path) -> Readers:
    """Returns the readers of a folder's splits."""
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

    return find_splits(find)


def voc_classes(folders: Iterable[Path]) -> tuple[str, ...]:
    """Returns the class names of a set.

    Args:
        folders: The folders of all its splits' XML files, for a split may lack a class.

    Raises:
        SourceError: No object is marked in any of them.
    """
    folders = list(folders)
    for folder in folders:
        if (folder / CLASSES_FILE).is_file():
            return read_class_names(folder / CLASSES_FILE, "")
    names: set[str] = set()
    errors: list[SourceError] = []
    for file in (file for folder in folders for file in sorted(folder.glob("*.xml"))):
        with collect_errors(errors.append):  # whoever reads the file itself tells of it
            stated = ((found.findtext("name") or "").strip() for found in _root(file).iter("object"))
            names |= {name for name in stated if name}
    if errors and not names:
        raise errors[0]
    return checked_class_names(sorted(names), folders[0])


def read_voc(photos: Path, labels: Path, classes: tuple[str, ...], on_error: OnError | None = None) -> Dataset:
    """Reads one split.

    Args:
        photos: The folder of photographs.
        labels: The folder of XML files; it may be the same one.
        classes: The set's class names, see `voc_classes`.
        on_error: Gets the error of each XML file that cannot be read, which is then skipped; `None` raises.

    Raises:
        SourceError: An XML file does not parse, has no photograph, or names another one or another class; the message
            names the file and the line or the object.
    """
    samples = []
    by_photo = {photo: labels / f"{photo.stem}.xml" for photo in list_images(photos)}
    stems = {photo.stem for photo in by_photo}
    first_of: dict[Path, Path] = {}
    for photo, label in by_photo.items():
        with collect_errors(on_error):
            check_one_photograph(label, photo, first_of)
            root = _root(label) if label.is_file() else Element("annotation")
            stated = Path((root.findtext("filename") or "").replace("\\", "/")).stem
            if stated != photo.stem and stated in stems:  # another name alone says nothing: files get renamed
                raise SourceError(f"{label}: its <filename> names {stated!r}, another photograph; rename it or mend it")
            samples.append(_sample(photo, label, root, classes))
    used = set(by_photo.values())
    for orphan in sorted(file for file in labels.iterdir() if file.suffix.lower() == ".xml" and file not in used):
        with collect_errors(on_error):
            hint = "" if orphan.suffix == ".xml" else f"; rename it to {orphan.stem}.xml"
            raise SourceError(f"{orphan}: labels a photograph that is not in {photos}{hint}")
    return Dataset(photos, classes, tuple(samples))


def _root(file: Path) -> Element:
    try:
        root: Element = parse(file).getroot()
    except ParseError as error:
        raise SourceError(f"{file}:{error.position[0]}: not XML ({str(error).split(':')[0]})") from None
    except (DefusedXmlException, LookupError, ValueError) as error:
        raise SourceError(f"{file}: not XML that is safe to read ({error})") from None
    if root.tag != "annotation":
        raise SourceError(f"{file}: not Pascal VOC: it holds no <annotation>")
    return root


def _pixels(text: str) -> int | None:
    try:
        return int(text)
    except ValueError:
        return None


def _sample(photo: Path, label: Path, root: Element, classes: tuple[str, ...]) -> Sample:
    boxes, indices = [], []
    stated = [root.findtext(f"size/{tag}") or "" for tag in ("width", "height")]
    check_stated_size(label, photo, *map(_pixels, stated))
    for number, marked in enumerate(root.findall("object"), start=1):
        where = f"{label}: object {number}"
        name = _text(marked, "name", where).strip()
        if name not in classes:
            raise SourceError(f"{where}: the class {name!r} is not one of {list(classes)}")
        indices.append(classes.index(name))
        boxes.append(_box(marked, where))
    return make_sample(photo, boxes, indices, len(classes), lambda index: f"{label}: object {index + 1}")


def _box(marked: Element, where: str) -> list[float]:
    """Returns `xyxy`, pixels: the format counts from 1, and both corners' pixels belong to the box."""
    bndbox = marked.find("bndbox")
    if bndbox is None:
        raise SourceError(f"{where}: no bndbox")
    x1, y1, x2, y2 = (_coordinate(bndbox, tag, where) for tag in ("xmin", "ymin", "xmax", "ymax"))
    return [min(x1, x2) - 1, min(y1, y2) - 1, max(x1, x2), max(y1, y2)]


def _coordinate(bndbox: Element, tag: str, where: str) -> float:
    text = _text(bndbox, tag, where)
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise SourceError(f"{where}: {tag} {text!r} is no number")
    return value


def _text(element: Element, tag: str, where: str) -> str:
    text = element.findtext(tag)
    if not text:
        raise SourceError(f"{where}: no {tag}")
    return text


def write_voc(data: Dataset, folder: Path, link: bool) -> None:
    """Writes one split; boxes are rounded to whole pixels, which is all that the format has room for."""
    place_images(data, folder, link)
    write_class_names(data, folder)  # the format itself does not know their order
    for sample in data.samples:
        root = Element("annotation")
        SubElement(root, "filename").text = sample.path.name
        size = SubElement(root, "size")
        for tag, value in zip(("width", "height", "depth"), (*upright_size(sample.path), 3), strict=True):
            SubElement(size, tag).text = str(value)
        for (x1, y1, x2, y2), index in zip(sample.boxes.tolist(), sample.classes.tolist(), strict=True):
            marked = SubElement(root, "object")
            SubElement(marked, "name").text = data.classes[index]
            left, top = round(x1 + 1), round(y1 + 1)
            bndbox = SubElement(marked, "bndbox")
            corners = (left, top, max(round(x2), left), max(round(y2), top))
            for tag, value in zip(("xmin", "ymin", "xmax", "ymax"), corners, strict=True):
                SubElement(bndbox, tag).text = str(value)
        indent(root)
        ElementTree(root).write(folder / f"{sample.path.stem}.xml", encoding="utf-8")
