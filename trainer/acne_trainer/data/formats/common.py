"""What all label formats share: finding splits, reading text and class names, checking boxes, copying images."""

from __future__ import annotations

import io
import os
import shutil
import struct
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TypeAlias

import numpy as np
from numpy.typing import ArrayLike
from PIL import Image, UnidentifiedImageError

from acne_runtime.errors import SourceError
from acne_runtime.sources import jpeg
from acne_runtime.sources.heif import is_heif
from acne_runtime.sources.image_files import SUFFIXES, decode_image
from acne_trainer.data.dataset import Dataset, Sample
from acne_trainer.data.formats.names import UNSPLIT

CLASSES_FILE = "_classes.txt"
"""One class name a line, in the set's order; Roboflow's Keras TXT has it, our own VOC and table folders too."""
OnError: TypeAlias = Callable[[SourceError], None]
"""Gets the error of each photograph or label that cannot be read, which is then skipped."""
Reader: TypeAlias = Callable[[OnError | None], Dataset]
"""Reads one split."""
Readers: TypeAlias = dict[str, Reader]
"""By split: of `train`, `valid` and `test` those that are there, or `all`."""

Image.MAX_IMAGE_PIXELS = None
"""Pillow reads sizes only; the runtime, which decodes, has its own limit."""
_ORIENTATION = 0x0112
"""The EXIF tag."""
_QUARTER_TURNS = frozenset({5, 6, 7, 8})
_ALIASES = {"train": ("train",), "valid": ("valid", "val", "validation"), "test": ("test",), UNSPLIT: ("",)}
"""The names that a split's folder may have; a set without splits lies in the set's own folder."""


def find_splits(find: Callable[[str], Reader | None]) -> Readers:
    """Returns the readers that `find` gives for each split's names; without splits, that of the folder itself.

    Args:
        find: The name of a split's folder to its reader; `None` where there is no such split.
    """
    readers: Readers = {}
    for split, aliases in _ALIASES.items():
        if split != UNSPLIT or not readers:
            found = next((reader for reader in map(find, aliases) if reader), None)
            if found:
                readers[split] = found
    return readers


def holds_images(folder: Path) -> bool:
    """Returns whether any image lies in a folder, which may not exist."""
    return folder.is_dir() and any(entry.suffix.lower() in SUFFIXES for entry in folder.iterdir())


@contextmanager
def collect_errors(on_error: OnError | None) -> Iterator[None]:
    """Hands a `SourceError` of its block to `on_error`; where there is none, the error propagates."""
    try:
        yield
    except SourceError as error:
        if on_error is None:
            raise
        on_error(error)


def read_text(file: Path, expected: str) -> str:
    """Reads UTF-8 text; a byte-order mark is no part of it.

    Args:
        file: The file.
        expected: What should have been there, for the message if nothing is.

    Raises:
        SourceError: It is not there, or not UTF-8.
    """
    try:
        return file.read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        raise SourceError(f"{file}: not found; {expected}") from None
    except UnicodeDecodeError as error:
        raise SourceError(f"{file}: not UTF-8 text ({error.reason} at byte {error.start})") from None


def shortened(text: str, longest: int = 80) -> str:
    """Returns the text as an error message quotes it: whole, or its beginning."""
    return text if len(text) <= longest else f"{text[:longest]}..."


def read_class_names(file: Path, expected: str) -> tuple[str, ...]:
    """Reads one class name a line.

    Raises:
        SourceError: The file is missing or not UTF-8, or `checked_class_names` refuses what it says.
    """
    return checked_class_names((line.strip() for line in read_text(file, expected).splitlines() if line.strip()), file)


def checked_class_names(names: Iterable[str], where: Path) -> tuple[str, ...]:
    """Returns the names as they stand.

    Raises:
        SourceError: There is none, or one stands twice, if only in another spelling (`Papules`, `papules`).
    """
    classes = tuple(names)
    if not classes:
        raise SourceError(f"{where}: names no class")
    first: dict[str, str] = {}
    for name in classes:
        alike = first.get(key := name.strip().casefold())
        if alike == name:
            raise SourceError(f"{where}: names the class {name!r} twice")
        if alike is not None:
            raise SourceError(f"{where}: names the class {alike!r} as {name!r} too; write it in one way")
        first[key] = name
    return classes


def make_sample(path: Path, boxes: ArrayLike, classes: ArrayLike, count: int, where: Callable[[int], str]) -> Sample:
    """Makes a sample.

    Args:
        path: The photograph.
        boxes: `[n, 4]`, `xyxy`, pixels.
        classes: `[n]`, index of each box's class.
        count: How many classes there are.
        where: Says file and line of a box, by its index.

    Raises:
        SourceError: A box has no area or a class that is not there.
    """
    xyxy = np.array(boxes, np.float32).reshape(-1, 4)
    labels = np.array(classes, np.int32).reshape(-1)
    for index, (x1, y1, x2, y2) in enumerate(xyxy):
        if not (np.isfinite(xyxy[index]).all() and x2 > x1 and y2 > y1):
            raise SourceError(f"{where(index)}: the box {x1:g},{y1:g},{x2:g},{y2:g} (x1,y1,x2,y2) has no area")
        if not 0 <= labels[index] < count:
            raise SourceError(f"{where(index)}: class {labels[index]} is not within 0 to {count - 1}")
    return Sample(path, xyxy, labels)


def place_images(data: Dataset, folder: Path, link: bool) -> None:
    """Copies or hard-links a split's images into a folder, which is made."""
    folder.mkdir(parents=True, exist_ok=True)
    for sample in data.samples:
        target = folder / sample.path.name
        if link:
            os.link(sample.path.resolve(), target)
        else:
            shutil.copyfile(sample.path, target)


def write_class_names(data: Dataset, folder: Path) -> None:
    """Writes `_classes.txt`."""
    (folder / CLASSES_FILE).write_text("".join(f"{name}\n" for name in data.classes), encoding="utf-8")


def check_one_photograph(label: Path, photo: Path, first_of: dict[Path, Path]) -> None:
    """Raises `SourceError` if a label file belongs to an earlier photograph too, such as a.png next to a.jpg.

    Args:
        label: The file.
        photo: The photograph.
        first_of: The first photograph of each label file, which is added to.
    """
    first = first_of.setdefault(label, photo)
    if first != photo and label.is_file():
        raise SourceError(f"{label}: labels both {first.name} and {photo.name}; rename one of them")


def is_file(path: Path) -> bool:
    """Returns whether there is such a file; `Path.is_file` raises for names that are too long."""
    return os.path.isfile(path)  # noqa: PTH113


def check_stated_size(file: Path, photo: Path, width: object, height: object) -> None:
    """Raises `SourceError` if labels state another size than their photograph has, so that boxes lie elsewhere.

    Args:
        file: Of the labels, for the message.
        photo: The photograph.
        width: As stated, in pixels; not checked where it is no number above 0.
        height: The same.
    """
    if not (isinstance(width, int | float) and isinstance(height, int | float) and width > 0 and height > 0):
        return
    size = upright_size(photo)
    if (width, height) != size:
        raise SourceError(
            f"{file}: made for {photo.name} of {shortened(str(width))} x {shortened(str(height))} pixels, "
            f"which has {size[0]} x {size[1]}; export labels and photographs together"
        )


def upright_size(file: Path) -> tuple[int, int]:
    """Returns the upright width and height in pixels without decoding the photograph.

    Raises:
        SourceError: It is missing, empty, or no picture.
    """
    try:
        data = file.read_bytes()
        if data.startswith(jpeg.START):
            return jpeg.upright_size(data)
        if is_heif(data):
            height, width = decode_image(data, str(file)).shape[:2]
            return width, height
        with Image.open(io.BytesIO(data)) as image:
            width, height = image.size
            for name in ("xmp", "XML:com.adobe.xmp"):  # Pillow takes an orientation from it, OpenCV does not
                image.info.pop(name, None)
            # Pillow states the upright size of a TIFF itself (from version 11.0 on).
            turned = image.format != "TIFF" and image.getexif().get(_ORIENTATION) in _QUARTER_TURNS
    except UnidentifiedImageError:
        raise SourceError(f"{file}: {'not an image, or corrupt' if data else 'the file is empty'}") from None
    except ValueError:  # Pillow's limits of texts and profiles, which do not matter here
        height, width = decode_image(data, str(file)).shape[:2]
        return width, height
    except (OSError, IndexError, struct.error) as error:
        raise SourceError(f"{file}: {getattr(error, 'strerror', None) or f'corrupt ({error})'}") from None
    return (height, width) if turned else (width, height)
