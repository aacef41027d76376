"""Photographs on which some types were not looked for."""

from __future__ import annotations

from collections.abc import Sequence
from fnmatch import fnmatch

import numpy as np
from numpy.typing import NDArray

from acne_runtime.errors import SourceError
from acne_trainer.data.dataset import Dataset


def unlabeled_mask(data: Dataset, rules: Sequence[str], *, must_match: bool = True) -> NDArray[np.float32]:
    """Returns `[photographs, classes]` float32: 1 where a missing label of the class means nothing.

    Args:
        data: The photographs.
        rules: `GLOB=CLASS,CLASS`: on photographs whose file name matches, these classes were not looked for.
        must_match: Whether a rule that matches none is an error, as on training photographs: it is misspelt.

    Raises:
        SourceError: A rule does not parse, or names no class of the set; or, unless it need not, matches no photograph.
    """
    unknown = np.zeros((len(data.samples), len(data.classes)), np.float32)
    for rule in rules:
        glob, _, names = rule.rpartition("=")
        columns = [data.classes.index(name) for name in names.split(",") if name in data.classes]
        if not glob or len(columns) != len(names.split(",")):
            raise SourceError(
                f"--absent-unknown {rule}: expected GLOB=CLASS,CLASS with classes of {list(data.classes)}"
            )
        rows = [row for row, sample in enumerate(data.samples) if fnmatch(sample.path.name, glob)]
        if must_match and not rows:
            raise SourceError(f"--absent-unknown {rule}: no photograph in {data.path} is called {glob}")
        unknown[np.ix_(rows, columns)] = 1
    return unknown
