"""What a photograph's file name tells of where it comes from."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

_ROBOFLOW_ENDING = re.compile(r"(?:_(?:jpe?g|png|webp|bmp|heic))*\.rf\.[^.]+\.[^.]+$", re.IGNORECASE)
_COUNTER = re.compile(r"[-_ .()]*\d+[-_ .()]*$")


def source_of(name: str) -> str:
    """Returns what names the photograph that a file was made from.

    Roboflow writes `SOURCE_jpg.rf.HASH.jpg`, once for each version of a photograph; another name stands for itself.
    """
    return _ROBOFLOW_ENDING.sub("", name)


def by_source(photos: Sequence[Path]) -> dict[str, list[Path]]:
    """Returns the versions of each source photograph, of those that Roboflow named; another name tells nothing."""
    versions = defaultdict(list)
    for photo in photos:
        if source_of(photo.name) != photo.name:
            versions[source_of(photo.name)].append(photo)
    return dict(versions)


def series_name(name: str) -> str:
    """Returns the part of a file name that a series has in common: `levle2` of `levle2_171_jpg.rf.0a1b.jpg`."""
    source = source_of(name)
    return _COUNTER.sub("", Path(name).stem if source == name else source)
