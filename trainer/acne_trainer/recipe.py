"""A recipe: one TOML file that says how a shipped model was made, from labelled sets to the last epoch."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import tomllib

from acne_runtime.errors import SourceError
from acne_trainer.config import DEFAULTS, TrainConfig

_MERGED = "data"
"""Folder in a run for the labelled sets that its recipe makes."""


@dataclass(frozen=True, slots=True)
class Merge:
    """A labelled set made by `acne-train data merge`.

    Attributes:
        into: Its name, under which `[[data]]` has it.
        source: The set that is completed.
        marks: The sets whose marks it gets.
    """

    into: str
    source: str
    marks: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Recipe:
    """What the file holds.

    Attributes:
        settings: Those of the training; paths of data are names yet.
        merges: Labelled sets to make first.
    """

    settings: TrainConfig
    merges: tuple[Merge, ...]

    def located(self, root: Path, run: Path) -> TrainConfig:
        """Returns the settings with the labelled sets in `root`, or in the run folder where the recipe makes them."""
        made = {merge.into for merge in self.merges}
        sources = (
            dataclasses.replace(
                source, path=str(merged_folder(run, source.path) if source.path in made else root / source.path)
            )
            for source in self.settings.data
        )
        return dataclasses.replace(self.settings, data=tuple(sources))


def merged_folder(run: Path, name: str) -> Path:
    """Returns where a set that the recipe makes lies."""
    return run / _MERGED / name


def read_recipe(file: Path) -> Recipe:
    """Reads a recipe.

    Raises:
        SourceError: It is missing, no TOML, or holds something else; the message names what.
    """
    try:
        values: dict[str, Any] = tomllib.loads(file.read_text(encoding="utf-8"))
        merges = tuple(
            Merge(str(table["into"]), str(table["source"]), tuple(table["marks"])) for table in values.pop("merge", ())
        )
        settings = DEFAULTS[values["model"]].changed_by_values(values)
    except OSError as error:
        raise SourceError(f"{file}: {error.strerror}") from None
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise SourceError(f"{file}: this is no recipe of acne-train ({error})") from None
    if not settings.data:
        raise SourceError(f"{file}: a recipe names its labelled sets in [[data]]")
    return Recipe(settings, merges)
