"""A labelled set in whichever form it lies there."""

from __future__ import annotations

import dataclasses
from pathlib import Path

from acne_runtime.errors import SourceError
from acne_trainer.data.dataset import Dataset
from acne_trainer.data.formats.common import OnError, collect_errors
from acne_trainer.data.formats.names import SPLITS, UNSPLIT
from acne_trainer.data.formats.registry import detect_format
from acne_trainer.data.split_file import SPLIT_FILE, apply_split_file, read_split_file


def read_splits(root: Path, on_error: OnError | None = None) -> dict[str, Dataset]:
    """Reads a labelled set.

    Args:
        root: The set's folder; or a folder with `splits.json` or such a file itself, which then says what stands in
            which split.
        on_error: Gets the error of each photograph, label, line or split that cannot be read, which is then skipped;
            `None` raises instead.

    Returns:
        By split, of `train`, `valid` and `test` those that are there, in this order; or all photographs under `all`
        where the set has no splits. Each `Dataset.path` ends in the split's name, whatever its folder is called.

    Raises:
        SourceError: No known form is there, no split of it can be read, or the splits differ in their classes.
    """
    return read_form_and_splits(root, on_error)[1]


def read_split(root: Path, split: str, on_error: OnError | None = None) -> Dataset:
    """Reads `train`, `valid` or `test` of a labelled set; see `read_splits`.

    Raises:
        SourceError: The set has no such split.
    """
    if _split_file(root).is_file():
        data = read_splits(root, on_error)
        if split in data:
            return data[split]
        raise _no_such_split(root, split, list(data))
    _, readers = detect_format(root)
    if split not in readers:
        raise _no_such_split(root, split, list(readers))
    return dataclasses.replace(readers[split](on_error), path=root / split)


def load_train_valid_test(root: Path) -> tuple[Dataset, Dataset, Dataset]:
    """Reads `train`, `valid` and `test` of a labelled set; see `read_splits`.

    Raises:
        SourceError: One of them is not there or cannot be read, or they differ in their classes.
    """
    splits = read_splits(root)
    missing = next((split for split in SPLITS if split not in splits), None)
    if missing:
        raise _no_such_split(root, missing, list(splits))
    train, valid, test = (splits[split] for split in SPLITS)
    return train, valid, test


def read_form_and_splits(
    root: Path, on_error: OnError | None = None, *, follow: bool = True
) -> tuple[str, dict[str, Dataset]]:
    """Reads a labelled set as `read_splits` does and tells the form of its labels, such as `keras-txt`.

    Args:
        root: See `read_splits`.
        on_error: See `read_splits`.
        follow: Whether a `splits.json` counts; else the set is read as its folders lie.
    """
    file = _split_file(root)
    if follow and file.is_file():
        split_file = read_split_file(file)
        form, data = read_form_and_splits(split_file.source, on_error, follow=False)
        return form, apply_split_file(file, split_file, data)
    form, readers = detect_format(root)
    data = {}
    reasons: list[SourceError] = []

    def note(error: SourceError) -> None:
        reasons.append(error)
        if on_error is not None:
            on_error(error)

    collect = None if on_error is None else note
    for split, reader in readers.items():
        with collect_errors(collect):
            part = dataclasses.replace(reader(collect), path=root / split)
            if not part.samples:
                raise SourceError(f"{part.path}: none of its photographs can be read")
            data[split] = part
    if not data:
        raise SourceError(f"{root}: no split of this {form} set can be read; first: {reasons[0]}")
    first = next(iter(data.values()))
    for part in data.values():
        if part.classes != first.classes:
            raise SourceError(
                f"{part.path}: its classes {list(part.classes)} are not {first.path.name}'s {list(first.classes)}"
            )
    return form, data


def _split_file(root: Path) -> Path:
    return root if root.is_file() else root / SPLIT_FILE


def _no_such_split(root: Path, split: str, found: list[str]) -> SourceError:
    if found == [UNSPLIT]:
        return SourceError(f"{root}: this set has no splits; acne-train data split makes them")
    return SourceError(f"{root}: this set has no {split!r} among its splits: {', '.join(found)}")
