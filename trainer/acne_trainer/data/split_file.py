"""`splits.json`: which photographs of a labelled set train, validate and test, saved next to or apart from the set."""

from __future__ import annotations

import dataclasses
import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from acne_runtime.atomic_write import write_atomically
from acne_runtime.errors import SourceError
from acne_trainer.data.dataset import Dataset
from acne_trainer.data.formats.common import read_text

SPLIT_FILE = "splits.json"
_SCHEMA = 1


@dataclass(frozen=True, slots=True)
class SplitFile:
    """What the file holds.

    Attributes:
        source: The labelled set; the file says it relative to itself.
        form: The form of the set's labels, such as `keras-txt`.
        seed: The seed that the splits were drawn with.
        ratios: The share of the photographs that train, valid and test were to get.
        groups: How many groups of photographs were kept together.
        splits: By split, its photographs relative to `source`.
    """

    source: Path
    form: str
    seed: int
    ratios: tuple[float, float, float]
    groups: int
    splits: dict[str, tuple[str, ...]]

    def write(self, file: Path) -> None:
        """Writes the file, whole or not at all."""
        data: dict[str, Any] = {"schema": _SCHEMA, **dataclasses.asdict(self)}
        data["source"] = Path(os.path.relpath(self.source, file.parent)).as_posix()
        write_atomically(file, (json.dumps(data, indent=1, ensure_ascii=False) + "\n").encode())


def read_split_file(file: Path) -> SplitFile:
    """Reads the file.

    Raises:
        SourceError: It is missing, corrupt, or of another schema.
    """
    try:
        data = json.loads(read_text(file, "acne-train data split writes it"))
    except json.JSONDecodeError as error:
        raise SourceError(f"{file}:{error.lineno}: not JSON ({error.msg})") from None
    if not isinstance(data, dict) or data.get("schema") != _SCHEMA:
        raise SourceError(f"{file}: not splits of schema {_SCHEMA}; acne-train data split writes them")
    try:
        return SplitFile(
            source=Path(os.path.normpath(file.parent / data["source"])),
            form=data["form"],
            seed=int(data["seed"]),
            ratios=(float(data["ratios"][0]), float(data["ratios"][1]), float(data["ratios"][2])),
            groups=int(data["groups"]),
            splits={str(split): tuple(map(str, names)) for split, names in data["splits"].items()},
        )
    except (KeyError, IndexError, TypeError, ValueError, AttributeError) as error:
        raise SourceError(f"{file}: corrupt ({type(error).__name__}: {error}); make the splits again") from None


def name_in(source: Path, photo: Path) -> str:
    """Returns what the file calls a photograph: its path relative to the set, with slashes."""
    return Path(os.path.relpath(photo, source)).as_posix()


def apply_split_file(file: Path, split_file: SplitFile, data: dict[str, Dataset]) -> dict[str, Dataset]:
    """Deals a set's photographs out again as the file says.

    Args:
        file: Where the splits were read from, for messages.
        split_file: The splits.
        data: The set's own splits.

    Raises:
        SourceError: The file names a photograph twice, or one that the set does not hold, or leaves one out.
    """
    samples = {name_in(split_file.source, sample.path): sample for part in data.values() for sample in part.samples}
    left = dict(samples)
    for name in (name for names in split_file.splits.values() for name in names):
        if left.pop(name, None) is None:
            problem = "names twice" if name in samples else "names a photograph that the set does not hold:"
            raise SourceError(f"{file}: {problem} {name}; make the splits again")
    if left:
        raise SourceError(f"{file}: leaves out {len(left)} photographs, such as {min(left)}; make the splits again")
    classes = next(iter(data.values())).classes
    return {
        split: Dataset(file.parent / split, classes, tuple(samples[name] for name in names))
        for split, names in split_file.splits.items()
    }
