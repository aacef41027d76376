"""Photographs that a labelled set holds more than once."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from itertools import combinations
from pathlib import Path

from acne_trainer.audit.finding import NOTE, PROBLEM, Finding, counted
from acne_trainer.data.near_duplicates import ImageFingerprint, identical, near_duplicates
from acne_trainer.data.source_names import by_source


def repeated_photographs(
    split_of: Mapping[Path, str], looks: Mapping[Path, ImageFingerprint], shown: Callable[[Path], str]
) -> list[Finding]:
    """Finds photographs that stand twice, in two splits or in one; each is told once, by its surest sign.

    Args:
        split_of: The split of every photograph.
        looks: What each photograph that can be read looks like.
        shown: Says how a photograph is called in the report.
    """
    copied = identical(looks)
    told = _pairs(copied)
    versions = [photos for photos in by_source(list(split_of)).values() if _pairs([photos]) - told]
    told |= _pairs(versions)
    alike = [pair for pair in near_duplicates(looks) if frozenset((pair.first, pair.second)) not in told]

    def parted(photos: Sequence[Path]) -> bool:
        return len({split_of[photo] for photo in photos}) > 1

    def lines(groups: list[list[Path]], in_two_splits: bool) -> tuple[str, ...]:
        return tuple(" = ".join(map(shown, photos)) for photos in groups if parted(photos) == in_two_splits)

    def pair_lines(in_two_splits: bool) -> tuple[str, ...]:
        return tuple(
            f"{shown(pair.first)} = {shown(pair.second)} ({pair.orientation}, similarity {pair.similarity:.2f})"
            for pair in alike
            if parted((pair.first, pair.second)) == in_two_splits
        )

    copies, sources, likes = lines(copied, True), lines(versions, True), pair_lines(True)
    versions_within, twice_within = lines(versions, False), (*lines(copied, False), *pair_lines(False))
    found = [
        Finding(
            PROBLEM,
            "identical-in-two-splits",
            f"{counted(copies, 'photograph stands', 'photographs stand')} in two splits, byte for byte the same",
            copies,
        ),
        Finding(
            PROBLEM,
            "same-source-in-two-splits",
            f"{counted(sources, 'source photograph has', 'source photographs have')} versions in two splits, by their "
            "Roboflow names (one bare number may name several photographs)",
            sources,
        ),
        Finding(
            PROBLEM,
            "near-duplicate-in-two-splits",
            f"{counted(likes, 'pair', 'pairs')} of photographs in two splits look the same: saved again, cropped, "
            "turned or mirrored",
            likes,
        ),
        Finding(
            NOTE,
            "same-source-in-a-split",
            f"{counted(versions_within, 'source photograph has', 'source photographs have')} several versions within "
            "one split, by their Roboflow names",
            versions_within,
        ),
        Finding(
            NOTE,
            "duplicate-in-a-split",
            f"{counted(twice_within, 'photograph stands', 'photographs stand')} twice within one split, the same or "
            "nearly",
            twice_within,
        ),
    ]
    return [finding for finding in found if finding.cases]


def _pairs(groups: list[list[Path]]) -> set[frozenset[Path]]:
    return {frozenset(pair) for photos in groups for pair in combinations(photos, 2)}
