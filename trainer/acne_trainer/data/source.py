"""The settings of one labelled set in a training: what its marks, and what its bare skin, may teach."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True, slots=True)
class BackgroundRule:
    """How much a place without a mark teaches on some photographs of a set.

    Attributes:
        files: Pattern of file names, such as `levle*`.
        weight: 0 (nothing) to 1 (as much as on a photograph on which every lesion is marked).
        types: The lesion types it holds for; none for all.
        absent_only: Whether it holds only for types that the photograph shows no lesion of.
    """

    files: str
    weight: float
    types: tuple[str, ...] = ()
    absent_only: bool = True

    def __post_init__(self) -> None:
        """Raises `ValueError` where the weight is out of range."""
        if not 0 <= self.weight <= 1:
            raise ValueError(f"background weight = {self.weight} is not within 0 to 1")


@dataclass(frozen=True, slots=True)
class DataSource:
    """One labelled set of a training.

    Attributes:
        path: Folder with the splits `train`, `valid` and `test`, or a `splits.json`.
        share: Its share of what is drawn, over the sum of all sets' shares; 0 for all sets draws by their size.
        untyped: Names of its classes that mark a lesion without saying its type.
        untyped_as: The types that its lesions of unknown type may be of; none for any.
        box_weight: Weight of its boxes in the box losses: sets differ in how tightly they are drawn.
        untyped_box_weight: The same for its lesions of unknown type, which may come from another set.
        scale_jitter: Detectors see crops enlarged or shrunk by up to this factor. Where a set draws its boxes by the
            size of the face, a small one lets the detector learn how.
        background: What places without a mark teach; of several rules the last that holds. Without any, everything is
            taken as marked.
        exclude: File names of training photographs to leave out, such as near-duplicates of held-out ones.
    """

    path: str
    share: float = 0.0
    untyped: tuple[str, ...] = ("lesion",)
    untyped_as: tuple[str, ...] = ()
    box_weight: float = 1.0
    untyped_box_weight: float = 1.0
    scale_jitter: float = 1.7
    background: tuple[BackgroundRule, ...] = ()
    exclude: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        """Raises `ValueError` where a setting is out of its range."""
        for name, minimum in {"share": 0, "box_weight": 0, "untyped_box_weight": 0, "scale_jitter": 1}.items():
            if getattr(self, name) < minimum:
                raise ValueError(f"{name} = {getattr(self, name)} of data {self.path} is less than {minimum}")

    @property
    def name(self) -> str:
        """The name of its folder."""
        return Path(self.path).name

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> DataSource:
        """Makes one of a TOML table.

        Raises:
            TypeError, ValueError: A key is unknown, or a value of another type or out of range.
        """
        rules = tuple(BackgroundRule(**_tuples(rule)) for rule in values.get("background", ()))
        source = cls(**_tuples(values) | {"background": rules})
        for name, kind in {
            "path": str,
            "share": (int, float),
            "box_weight": (int, float),
            "untyped_box_weight": (int, float),
            "scale_jitter": (int, float),
            "untyped": tuple,
            "untyped_as": tuple,
            "exclude": tuple,
        }.items():
            if not isinstance(getattr(source, name), kind):  # type: ignore[arg-type]
                raise TypeError(f"{name} = {getattr(source, name)!r} of a [[data]] is of another type")
        return source

    def to_dict(self) -> dict[str, Any]:
        """Returns the TOML table."""
        return dataclasses.asdict(self)


def _tuples(values: dict[str, Any]) -> dict[str, Any]:
    return {name: tuple(value) if isinstance(value, list) else value for name, value in values.items()}
