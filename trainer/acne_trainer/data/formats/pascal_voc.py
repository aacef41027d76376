"""Pascal VOC: one XML file a photograph, beside it or in a folder of its own, paired by name.

A box's corners may come in either order; both pixels belong to it, so that it always has an area. A photograph without
an XML file is bare skin. The form has no list of classes: `_classes.txt` beside the XML files
gives their order, or else they are sorted by name.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any
from xml.etree.ElementTree import Element, ParseError

from defusedxml import DefusedXmlException  # type: ignore[import-untyped]
from defusedxml.ElementTree import parse  # type: ignore[import-untyped]

from acne_runtime.errors import SourceError
from acne_runtime.sources.image_files import list_photos
from acne_trainer.data.dataset import Dataset, Sample
from acne_trainer.data.formats.common import (
    CLASSES_FILE,
    OnError,
    checked_class_names,
    collect_errors,
    make_sample,
    read_class_names,
)


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
    names = set()
    for file in (file for folder in folders for file in folder.glob("*.xml")):
        with collect_errors(lambda _: None):  # whoever reads the file itself tells of it
            names |= {name for name in (found.findtext("name") for found in _root(file).iter("object")) if name}
    return checked_class_names(sorted(names), folders[0])


def read_voc(photos: Path, labels: Path, classes: tuple[str, ...], on_error: OnError | None = None) -> Dataset:
    """Reads one split.

    Args:
        photos: The folder of photographs.
        labels: The folder of XML files; it may be the same one.
        classes: The set's class names, see `voc_classes`.
        on_error: Is told of each XML file that cannot be read, which is then passed over; `None` raises.

    Raises:
        SourceError: An XML file does not parse, has no photograph, or names another class; the message names the file
            and the line or the object.
    """
    samples = []
    files = list_photos(photos)
    for photo in files:
        label = labels / f"{photo.stem}.xml"
        with collect_errors(on_error):
            root = _root(label) if label.is_file() else Element("annotation")
            samples.append(_sample(photo, label, root, classes))
    stems = {photo.stem for photo in files}
    for orphan in sorted(file for file in labels.glob("*.xml") if file.stem not in stems):
        with collect_errors(on_error):
            raise SourceError(f"{orphan}: labels a photograph that is not in {photos}")
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
    for marked in root.findall("object"):
        for polygon in marked.findall("polygon"):  # supervision would make a mask of each; its box is what counts here
            marked.remove(polygon)
    return root


def _sample(photo: Path, label: Path, root: Element, classes: tuple[str, ...]) -> Sample:
    # Supervision takes over a second to import. Its reader of whole folders decodes every photograph and names no file
    # in its errors, so its reader of one XML tree is called here.
    from supervision.dataset.formats.pascal_voc import detections_from_xml_obj

    def read(tree: Element) -> Any:
        found, known = detections_from_xml_obj(tree, list(classes), resolution_wh=(1, 1))
        if len(known) > len(classes):
            raise ValueError(f"the class {known[-1]!r} is not one of {list(classes)}")
        return found

    try:
        found = read(root)
    except ValueError:
        for number, marked in enumerate(root.findall("object"), start=1):
            alone = Element("annotation")
            alone.append(marked)
            try:
                read(alone)
            except ValueError as error:
                raise SourceError(f"{label}: object {number}: {error}") from None
        raise
    return make_sample(photo, found.xyxy, found.class_id, len(classes), lambda index: f"{label}: object {index + 1}")
