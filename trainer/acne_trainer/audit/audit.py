"""What there is to know about a labelled set before anyone trains on it."""

from __future__ import annotations

import dataclasses
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from acne_runtime.errors import SourceError
from acne_runtime.sources.image_files import SUFFIXES
from acne_trainer.audit.box_checks import box_faults
from acne_trainer.audit.duplicate_checks import repeated_photographs
from acne_trainer.audit.finding import LEVELS, NOTE, PROBLEM, UNREADABLE, Finding, counted
from acne_trainer.audit.image_level_labels import TypesByPhotograph, types_by_photograph
from acne_trainer.data.dataset import Dataset, Sample
from acne_trainer.data.load import read_form_and_splits
from acne_trainer.data.near_duplicates import ImageFingerprint, fingerprint_images


@dataclass(frozen=True, slots=True)
class SplitStatistics:
    """Counts of one split; lists go by class.

    Attributes:
        photographs: That have a label line or file which could be read.
        unlabelled: That carry no label.
        showing: Photographs that show each class.
        boxes: Boxes of each class; empty for a table without boxes.
        boxes_a_photograph: Median, 90 % and maximum.
    """

    photographs: int
    unlabelled: int
    showing: tuple[int, ...]
    boxes: tuple[int, ...]
    boxes_a_photograph: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Audit:
    """All that was found.

    Attributes:
        root: The set.
        form: The form of its labels.
        training_size: Side in pixels of the model's input, which each photograph's longer side is scaled to.
        classes: Class names.
        splits: Figures by split.
        together: `[classes, classes]`, photographs that show both; on the diagonal, that show the class.
        sides: By class, the box sides (root of the area) in pixels at the training size, ascending.
        types: How types and photographs hang together.
        findings: Unreadable things first, then problems, then notes.
    """

    root: Path
    form: str
    training_size: int
    classes: tuple[str, ...]
    splits: Mapping[str, SplitStatistics]
    together: NDArray[np.int64]
    sides: tuple[NDArray[np.float64], ...]
    types: TypesByPhotograph
    findings: tuple[Finding, ...]

    @property
    def readable(self) -> bool:
        """Whether every photograph and label could be read."""
        return all(finding.level != UNREADABLE for finding in self.findings)

    @property
    def has_boxes(self) -> bool:
        """Whether lesions are marked one by one."""
        return any(statistics.boxes for statistics in self.splits.values())

    def side_percentiles(self, *indices: int) -> tuple[float, ...]:
        """Returns the 10, 50 and 90 % points of these classes' box sides, pixels at the training size; none of none."""
        sides = np.concatenate([self.sides[index] for index in indices])
        return tuple(np.percentile(sides, [10, 50, 90]).tolist()) if len(sides) else ()

    def to_dict(self) -> dict[str, Any]:
        """Returns everything but the single box sides, for JSON."""
        return {
            "schema": 1,
            "set": str(self.root),
            "form": self.form,
            "training_size": self.training_size,
            "classes": list(self.classes),
            "splits": {split: dataclasses.asdict(statistics) for split, statistics in self.splits.items()},
            "together": self.together.tolist(),
            "box_side_percentiles": [list(self.side_percentiles(index)) for index in range(len(self.classes))],
            "types": dataclasses.asdict(self.types),
            "findings": [dataclasses.asdict(finding) for finding in self.findings],
        }


def audit(root: Path, training_size: int, on_photo: Callable[[int], object] = lambda _: None) -> Audit:
    """Reads a labelled set and every photograph of it, and reports what cannot be read instead of stopping at it.

    Args:
        root: The set's folder, see `read_splits`.
        training_size: Side in pixels of the model's input.
        on_photo: Is called after each photograph with how many there are.

    Raises:
        SourceError: There is no labelled set, or nothing of it can be read.
    """
    errors: list[SourceError] = []
    form, splits = read_form_and_splits(root, errors.append)
    listed = [(sample.path, split) for split, data in splits.items() for sample in data.samples]
    split_of = dict(listed)
    looks = fingerprint_images(list(split_of), errors.append, lambda: on_photo(len(split_of)))
    samples = [sample for data in splits.values() for sample in data.samples]
    classes = next(iter(splits.values())).classes
    presence = np.array([sample.presence(len(classes)) for sample in samples], np.int64).reshape(-1, len(classes))
    types = types_by_photograph(samples, classes)

    def shown(photo: Path) -> str:
        return str(photo.relative_to(root)) if photo.is_relative_to(root) else str(photo)

    findings = [
        *_unreadable(errors),
        *_listed_twice(listed, shown),
        *repeated_photographs(split_of, looks, shown),
        *box_faults(samples, looks, shown),
        *_types(types),
        *_classes(splits),
        *_files(splits, shown),
    ]
    return Audit(
        root=root,
        form=form,
        training_size=training_size,
        classes=classes,
        splits={split: _statistics(data) for split, data in splits.items()},
        together=presence.T @ presence,
        sides=_sides(samples, looks, len(classes), training_size),
        types=types,
        findings=tuple(sorted(findings, key=lambda finding: LEVELS.index(finding.level))),
    )


def _statistics(data: Dataset) -> SplitStatistics:
    presence = np.array([sample.presence(len(data.classes)) for sample in data.samples], np.int64)
    boxes = [len(sample.boxes) for sample in data.samples]
    marked = np.concatenate([sample.classes for sample in data.samples])
    return SplitStatistics(
        photographs=len(data.samples),
        unlabelled=int((presence.sum(1) == 0).sum()),
        showing=tuple(presence.sum(0).tolist()),
        boxes=tuple(np.bincount(marked, minlength=len(data.classes)).tolist()) if data.has_boxes else (),
        boxes_a_photograph=(*(round(q) for q in np.percentile(boxes, [50, 90])), max(boxes)) if data.has_boxes else (),
    )


def _sides(
    samples: Sequence[Sample], looks: Mapping[Path, ImageFingerprint], class_count: int, training_size: int
) -> tuple[NDArray[np.float64], ...]:
    sides: list[list[float]] = [[] for _ in range(class_count)]
    for sample in samples:
        look = looks.get(sample.path)
        if look is not None:
            x1, y1, x2, y2 = sample.boxes.astype(np.float64).T
            scaled = np.sqrt((x2 - x1) * (y2 - y1)) * training_size / max(look.width, look.height)
            for label, side in zip(sample.classes, scaled, strict=True):
                sides[label].append(float(side))
    return tuple(np.sort(np.array(some, np.float64)) for some in sides)


def _unreadable(errors: Sequence[SourceError]) -> list[Finding]:
    cases = tuple(map(str, errors))
    sentence = f"{counted(cases, 'photograph or label', 'photographs or labels')} cannot be read"
    return [Finding(UNREADABLE, "unreadable", sentence, cases)] if cases else []


def _listed_twice(listed: Sequence[tuple[Path, str]], shown: Callable[[Path], str]) -> list[Finding]:
    splits_of = defaultdict(list)
    for photo, split in listed:
        splits_of[photo].append(split)
    cases = tuple(f"{shown(photo)}: {', '.join(splits)}" for photo, splits in splits_of.items() if len(splits) > 1)
    sentence = f"{counted(cases, 'photograph is', 'photographs are')} listed more than once, the same file"
    return [Finding(PROBLEM, "listed-twice", sentence, cases)] if cases else []


def _types(types: TypesByPhotograph) -> list[Finding]:
    which = "with two or more boxes" if types.from_boxes else "with a label"
    one_type = f"{types.one_type:.1%} of the {types.several} photographs {which} show one type only"
    if types.image_level:
        cases = (f"{f.name}: {f.photographs} photographs, {f.that_type:.0%} {f.type} alone" for f in types.families)
        sentence = (
            f"the types are labels of whole photographs, not of lesions: {one_type}, and the file name tells which "
            f"(accuracy {types.accuracy_by_filename:.1%} by name, {types.accuracy_of_majority:.1%} by the commonest). "
            "A model would learn the series; train with one class, or label the lesions again"
        )
        return [Finding(PROBLEM, "image-level-types", sentence, tuple(cases))]
    found = []
    if types.mostly_one_type:
        sentence = f"{one_type}: other types on them were probably not labelled, and count as absent"
        cases = (f"{f.name}: {f.one_type:.0%} of {f.photographs} photographs" for f in types.families if f.name)
        found.append(Finding(PROBLEM, "one-type-a-photograph", sentence, tuple(cases)))
    if types.one_sided:
        held = sum(family.photographs for family in types.one_sided)
        sentence = (
            f"{held} photographs belong to {len(types.one_sided)} series, by their file names, that were labelled for "
            "one type only: what they show of the others counts as absent"
        )
        cases = (f"{f.name}: {f.photographs} photographs, {f.that_type:.0%} {f.type} alone" for f in types.one_sided)
        found.append(Finding(PROBLEM, "series-of-one-type", sentence, tuple(cases)))
    return found


def _classes(splits: Mapping[str, Dataset]) -> list[Finding]:
    cases = tuple(
        f"{split}: {', '.join(missing)}"
        for split, data in splits.items()
        if (missing := [name for name, count in zip(data.classes, _statistics(data).showing, strict=True) if not count])
    )
    sentence = f"{counted(cases, 'split lacks', 'splits lack')} a class altogether"
    return [Finding(PROBLEM, "class-missing", sentence, cases)] if cases else []


def _files(splits: Mapping[str, Dataset], shown: Callable[[Path], str]) -> list[Finding]:
    samples = [sample for data in splits.values() for sample in data.samples]
    classes = len(next(iter(splits.values())).classes)
    bare = tuple(shown(sample.path) for sample in samples if not sample.presence(classes).any())
    listed = {sample.path for sample in samples}
    folders = dict.fromkeys(path.parent for path in listed)
    files = (file for folder in folders for file in sorted(folder.iterdir()) if file.suffix.lower() in SUFFIXES)
    unlisted = tuple(shown(file) for file in files if file not in listed)
    found = [
        Finding(
            NOTE,
            "no-label",
            f"{counted(bare, 'photograph carries', 'photographs carry')} no label: bare skin, or forgotten",
            bare,
        ),
        Finding(
            NOTE,
            "not-listed",
            f"{counted(unlisted, 'photograph lies', 'photographs lie')} in the folders, but not in the labels that "
            "were read",
            unlisted,
        ),
    ]
    return [finding for finding in found if finding.cases]
