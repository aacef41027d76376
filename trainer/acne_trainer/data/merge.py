"""Joins label sets over the same photographs: a set whose photographs lack marks gets those of another set."""

from __future__ import annotations

import dataclasses
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from acne_runtime.errors import SourceError
from acne_trainer.data.augment import clip
from acne_trainer.data.dataset import Dataset, Sample
from acne_trainer.data.export import write_dataset
from acne_trainer.data.load import read_form_and_splits, read_split
from acne_trainer.data.mixture import UNTYPED_NAME
from acne_trainer.data.registration import KeyPoints, Registration, register
from acne_trainer.data.source_names import source_of

_THREADS = 2
"""Photographs registered at a time; each holds some ten thousand key points."""


@dataclass(frozen=True, slots=True)
class Joined:
    """One photograph and its partner in the other set.

    Attributes:
        photograph: File name in the set that is completed.
        partner: File name in the set that the marks come from.
        registration: How the partner lies on it; `None` where nothing was found.
        added: Marks that were taken over.
        already_marked: Marks that lie on a lesion which was marked already.
        outside: Marks outside of the photograph's frame.
    """

    photograph: str
    partner: str
    registration: Registration | None
    added: int = 0
    already_marked: int = 0
    outside: int = 0

    @property
    def is_sure(self) -> bool:
        """Whether the marks were taken over."""
        return self.registration is not None and self.registration.is_sure

    def to_dict(self) -> dict[str, Any]:
        """Returns the JSON form."""
        row: dict[str, Any] = {"photograph": self.photograph, "partner": self.partner}
        if self.registration is not None:
            row |= {
                "mirrored": self.registration.mirrored,
                "transform": np.round(self.registration.transform, 4).tolist(),
                "matches": self.registration.matches,
                "correlation": round(self.registration.correlation, 3),
            }
        if not self.is_sure:
            return row | {"refused": "the two photographs cannot be laid over each other"}
        return row | {"added": self.added, "already_marked": self.already_marked, "outside": self.outside}


def merge(
    splits: Mapping[str, Dataset],
    others: Iterable[Dataset],
    on_photo: Callable[[int], object] = lambda _: None,
) -> tuple[dict[str, Dataset], list[Joined]]:
    """Completes the photographs of `train` by the marks of other sets, as lesions of unknown type.

    Photographs are partners where Roboflow names one source for both, or where their names are equal. A mark that lies
    on a lesion which is marked already is not added again: the centre of one box in the other decides, since sets
    differ in how loosely they draw. Held-out splits stay as they are, so that metrics stay comparable.

    Args:
        splits: The set to complete, with boxes; `train` among them.
        others: `train` of the sets whose marks are taken.
        on_photo: Is called after each photograph with how many there are to process.

    Returns:
        The splits with the class `lesion` behind the others, and what was joined or refused.

    Raises:
        SourceError: No photograph of the sets is the same, or a set has no boxes.
    """
    train = splits["train"]
    partners: dict[str, list[Sample]] = defaultdict(list)
    others = list(others)
    for data in (train, *others):
        if not data.has_boxes:
            raise SourceError(f"{data.path}: its labels have no boxes to merge")
    for sample in (sample for data in others for sample in data.samples):
        partners[source_of(sample.path.name)].append(sample)
    wanted = [sample for sample in train.samples if source_of(sample.path.name) in partners]
    if not wanted:
        names = ", ".join(str(data.path) for data in others)
        raise SourceError(f"{train.path}: has no photograph in common with {names}, by file name or Roboflow source")
    classes = train.classes if UNTYPED_NAME in train.classes else (*train.classes, UNTYPED_NAME)
    completed: dict[str, Sample] = {}
    rows: list[Joined] = []
    with ThreadPoolExecutor(_THREADS) as pool:
        for sample, joined in pool.map(
            lambda one: complete(one, partners[source_of(one.path.name)], classes.index(UNTYPED_NAME)), wanted
        ):
            completed[str(sample.path)] = sample
            rows += joined
            on_photo(len(wanted))
    samples = tuple(completed.get(str(sample.path), sample) for sample in train.samples)
    merged = {name: dataclasses.replace(data, classes=classes) for name, data in splits.items()}
    return merged | {"train": Dataset(train.path, classes, samples)}, rows


def write_merged(
    source: Path,
    marks: Sequence[Path],
    target: Path,
    *,
    link: bool,
    on_photo: Callable[[int], object] = lambda _: None,
) -> tuple[list[Joined], int]:
    """Writes a labelled set completed by the marks of others, in its own form; see `merge`.

    Args:
        source: The set to complete.
        marks: The sets whose `train` is taken.
        target: The new folder.
        link: Hard-link the photographs instead of copying them.
        on_photo: As for `merge`.

    Returns:
        What was joined or refused, and how many photographs `train` has.

    Raises:
        SourceError: The target is not empty, a set cannot be read or has no `train`, or they have nothing in common.
    """
    if target.exists() and not (target.is_dir() and not any(target.iterdir())):
        raise SourceError(f"{target}: not empty; name another folder")
    form, splits = read_form_and_splits(source)
    if "train" not in splits:
        raise SourceError(f"{source}: this set has no train; acne-train data split makes splits")
    merged, rows = merge(splits, [read_split(split, "train") for split in marks], on_photo)
    write_dataset(merged, form, target, link=link)
    return rows, len(splits["train"].samples)


def complete(sample: Sample, partners: Iterable[Sample], untyped: int) -> tuple[Sample, list[Joined]]:
    """Returns a photograph with the marks of its partners that it lacked, under the class index `untyped`."""
    image = sample.image()
    points, rows = KeyPoints(image), []
    for partner in partners:
        registration = register(points, KeyPoints(partner.image()))
        row = Joined(sample.path.name, partner.path.name, registration)
        if registration is not None and registration.is_sure:
            boxes = registration.boxes(partner.boxes)
            inside, _ = clip(boxes, np.zeros(len(boxes), np.int32), (image.shape[1], image.shape[0]))
            new = inside[~_on_any(inside, sample.boxes)]
            sample = dataclasses.replace(
                sample,
                boxes=np.concatenate([sample.boxes, new]),
                classes=np.concatenate([sample.classes, np.full(len(new), untyped, np.int32)]),
            )
            row = dataclasses.replace(
                row, added=len(new), already_marked=len(inside) - len(new), outside=len(boxes) - len(inside)
            )
        rows.append(row)
    return sample, rows


def _on_any(boxes: NDArray[np.float32], marked: NDArray[np.float32]) -> NDArray[np.bool_]:
    """Returns `[n]`, whether each box's centre lies in a marked box or a marked box's centre in it."""

    def holds(outer: NDArray[np.float32], inner: NDArray[np.float32]) -> NDArray[np.bool_]:
        middle = (inner[:, :2] + inner[:, 2:]) / 2
        return np.asarray(((middle >= outer[:, None, :2]) & (middle <= outer[:, None, 2:])).all(axis=-1))

    return np.asarray((holds(boxes, marked) | holds(marked, boxes).T).any(axis=1))
