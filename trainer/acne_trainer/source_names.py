"""What a photograph's file name tells of where it comes from."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

from acne_trainer.bootstrap import source_of

_COUNTER = re.compile(r"[-_ .()]*\d+[-_ .()]*$")


def by_source(photos: Sequence[Path]) -> dict[str, list[Path]]:
    """Returns the versions of each source photograph, of those that Roboflow named; another name tells nothing."""
    versions = defaultdict(list)
    for photo in photos:
        if source_of(photo.name) != photo.name:
            versions[source_of(photo.name)].append(photo)
    return dict(versions)


def family_of(name: str) -> str:
    """Returns the part of a file name that a series has in common: `levle2` of `levle2_171_jpg.rf.0a1b.jpg`."""
    source = source_of(name)
    return _COUNTER.sub("", Path(name).stem if source == name else source)
