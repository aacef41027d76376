"""Splits that leak nothing: what belongs together stays together."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from acne_trainer.data.dataset import Sample
from acne_trainer.data.near_duplicates import ImageFingerprint, groups_of, identical, near_duplicates
from acne_trainer.data.source_names import by_source


def leakage_groups(looks: Mapping[Path, ImageFingerprint]) -> NDArray[np.int32]:
    """Returns `[photographs]` int32, the same number for photographs that must not be parted.

    These are the versions of one source photograph by their Roboflow names, and those that are or look the same.
    """
    alike = [[pair.first, pair.second] for pair in near_duplicates(looks)]
    photos = list(looks)
    return groups_of(photos, [*by_source(photos).values(), *identical(looks), *alike])


def stratified_group_split(
    samples: Sequence[Sample], class_count: int, groups: NDArray[np.int32], ratios: Sequence[float], seed: int
) -> NDArray[np.int32]:
    """Deals photographs to splits so that each split shows each class about equally often.

    Iterative stratification (Sechidis et al. 2011) over groups: those that hold most of any class go first, each to
    the split that lacks most of what it holds. Scikit-learn's StratifiedGroupKFold knows only equal parts, and only one
    class a photograph.

    Args:
        samples: The photographs.
        class_count: Of the set.
        groups: `[photographs]`, see `leakage_groups`.
        ratios: The share of the photographs for each split; the sum is 1.
        seed: Decides among equals.

    Returns:
        `[photographs]` int32, the index of each one's split.
    """
    # What is dealt: photographs by class, and photographs as such.
    presence = np.stack([sample.presence(class_count) for sample in samples])
    dealt = np.column_stack([presence, np.ones(len(samples))]).astype(np.float64)
    totals = np.maximum(dealt.sum(0), 1)
    shares = np.asarray(ratios, np.float64)
    lacking = shares[:, None] * dealt.sum(0)
    count = int(groups.max()) + 1
    held = np.zeros((count, dealt.shape[1]))
    np.add.at(held, groups, dealt)
    weight = (held / totals).max(1)  # large groups and rare classes first, while there is still a choice
    order = np.lexsort([np.random.default_rng(seed).permutation(count), -weight])
    split_of = np.zeros(count, np.int32)
    open_splits = np.flatnonzero(shares > 0)
    for group in order:
        # Squares of what each split lacks, in shares of each class; over its ratio, so that all fill at one pace.
        before = ((lacking[open_splits] / totals) ** 2).sum(1)
        after = (((lacking[open_splits] - held[group]) / totals) ** 2).sum(1)
        chosen = open_splits[np.argmin((after - before) / shares[open_splits])]
        split_of[group] = chosen
        lacking[chosen] -= held[group]
    return split_of[groups]
