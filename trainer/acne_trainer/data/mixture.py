"""Several labelled sets as one training set: typed lesions, lesions of unknown type, and what bare skin may teach."""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike, NDArray

from acne_runtime.errors import SourceError
from acne_trainer.data.dataset import Dataset, Sample
from acne_trainer.data.load import load_train_valid_test
from acne_trainer.data.source import DataSource
from acne_trainer.data.source_names import source_of

UNTYPED_NAME = "lesion"
"""The class name that says a lesion is marked but its type is not."""


@dataclass(frozen=True, slots=True)
class LabelledSet:
    """One labelled set with its settings, in the classes of the training.

    Attributes:
        source: The settings.
        train: What the model learns from. A lesion of unknown type has the class index `len(train.classes)`.
        valid: What it is validated on.
        test: What it is scored on in the end.
        is_untyped: Whether all its lesions are of unknown type: it is scored on lesions of whatever type only.
    """

    source: DataSource
    train: Dataset
    valid: Dataset
    test: Dataset
    is_untyped: bool

    @property
    def name(self) -> str:
        """The name of its folder."""
        return self.source.name

    @classmethod
    def alone(cls, train: Dataset, valid: Dataset) -> LabelledSet:
        """Returns a set whose splits are at hand, tested on its validation photographs, with the settings' defaults."""
        return cls(DataSource(str(train.path.parent)), train, valid, valid, is_untyped=False)


def as_lesions(data: Dataset) -> Dataset:
    """Returns the split with the one class `lesion`: what is marked, of whatever type."""
    samples = (dataclasses.replace(sample, classes=np.zeros_like(sample.classes)) for sample in data.samples)
    return Dataset(data.path, (UNTYPED_NAME,), tuple(samples))


def typed_lesions(data: Dataset) -> Dataset:
    """Returns the split without lesions of unknown type."""

    def typed(sample: Sample) -> Sample:
        kept = sample.classes < len(data.classes)
        return dataclasses.replace(sample, boxes=sample.boxes[kept], classes=sample.classes[kept])

    return dataclasses.replace(data, samples=tuple(map(typed, data.samples)))


@dataclass(frozen=True, slots=True)
class Mixture:
    """The training photographs of all sets together.

    Attributes:
        data: All samples; a class index of `len(data.classes)` is a lesion of unknown type.
        set_index: `[n]` int64, which of the sets each photograph comes from.
        shares: `[sets]` float64, the share of each set in what is drawn; their sum is 1.
        background: `[n, classes]` float32, 0 to 1: what a place without a mark on the photograph teaches of each type.
        box_weight: `[n, 2]` float32, weight of the box losses of the photograph's lesions of known and unknown type.
        scale_jitter: `[n]` float32, the most that a crop of the photograph is enlarged or shrunk.
        possible: `[n, classes]` float32, 1 for the types that a photograph's lesions of unknown type may be of.
    """

    data: Dataset
    set_index: NDArray[np.int64]
    shares: NDArray[np.float64]
    background: NDArray[np.float32]
    box_weight: NDArray[np.float32]
    scale_jitter: NDArray[np.float32]
    possible: NDArray[np.float32]

    def draw(self, count: int, rng: np.random.Generator) -> NDArray[np.int64]:
        """Returns the indices `[count]` of photographs, each set by its share and its photographs equally often."""
        # Evenly spaced points from a random start: each set gets its share up to one photograph, on average exactly.
        points = (np.arange(count) + rng.random()) / count
        last = len(self.shares) - 1
        per_set = np.bincount(np.minimum(np.searchsorted(np.cumsum(self.shares), points), last), minlength=last + 1)
        drawn = []
        for number, wanted in enumerate(per_set):
            members = np.flatnonzero(self.set_index == number)
            rounds = -(-wanted // len(members))
            drawn.append(np.concatenate([rng.permutation(members) for _ in range(rounds)] or [members])[:wanted])
        return rng.permutation(np.concatenate(drawn))


def read_sets(sources: Sequence[DataSource]) -> tuple[LabelledSet, ...]:
    """Reads labelled sets and brings them to one list of types.

    Args:
        sources: Their settings.

    Returns:
        The sets in the same order; the first one that has types comes first, and is what thresholds are chosen on.

    Raises:
        SourceError: A set cannot be read; the sets name different types; or there are several and none names types.
    """
    read = [load_train_valid_test(Path(source.path)) for source in sources]
    types_of = [
        tuple(name for name in train.classes if name not in source.untyped)
        for source, (train, _, _) in zip(sources, read, strict=True)
    ]
    typed = [(source, types) for source, types in zip(sources, types_of, strict=True) if types]
    if not typed:
        names = ", ".join(dict.fromkeys(name for train, *_ in read for name in train.classes))
        raise SourceError(
            f"{sources[0].path}: says of no lesion which type it is (its classes: {names}); add a --data whose classes "
            "are types, or say untyped = [] in its [[data]] of --config to train on one class"
        )
    first, types = typed[0]
    for source, other in typed[1:]:
        if set(other) != set(types):
            raise SourceError(
                f"{source.path}: its types {list(other)} are not those of {first.path}, {list(types)}; name the "
                "classes alike (acne-train data convert rewrites a set), or list them under untyped in --config"
            )
    held_out = {source_of(sample.path.name) for _, valid, test in read for sample in (*valid.samples, *test.samples)}
    sets = []
    for source, own, splits in zip(sources, types_of, read, strict=True):
        train, valid, test = (_in_types(split, types, source.untyped) for split in splits)
        for split in (valid, test):
            if own and any((sample.classes == len(types)).any() for sample in split.samples):
                raise SourceError(
                    f"{split.path}: marks lesions of unknown type ({', '.join(source.untyped)}) as well as typed ones; "
                    "what a model is scored on needs a type for every lesion, or for none"
                )
        train = _without_leaks(train, held_out, source)
        sets.append(LabelledSet(source, train, valid, test, is_untyped=not own))
    return tuple(sorted(sets, key=lambda labelled: labelled.is_untyped))


def _without_leaks(train: Dataset, held_out: Collection[str], source: DataSource) -> Dataset:
    """Returns the photographs of which no other version is held out, by Roboflow's names, and that are not excluded."""
    missing = set(source.exclude) - {sample.path.name for sample in train.samples}
    if missing:
        raise SourceError(f"{source.path}: exclude names {min(missing)!r}, which is no photograph of {train.path}")
    kept = tuple(
        sample
        for sample in train.samples
        if sample.path.name not in source.exclude
        and (source_of(sample.path.name) == sample.path.name or source_of(sample.path.name) not in held_out)
    )
    if not kept:
        raise SourceError(f"{train.path}: every photograph is excluded or has a version in valid or test")
    return dataclasses.replace(train, samples=kept)


def _in_types(data: Dataset, types: tuple[str, ...], untyped: Sequence[str]) -> Dataset:
    """Returns the split with class indices into `types`, and `len(types)` for lesions of unknown type."""
    index = np.array([len(types) if name in untyped else types.index(name) for name in data.classes], np.int32)
    if any(sample.types is not None for sample in data.samples) and len(types) in index:
        raise SourceError(f"{data.path}: a table without boxes cannot say that a type is unknown")
    samples = (
        dataclasses.replace(
            sample,
            classes=index[sample.classes],
            types=None if sample.types is None else index[sample.types],
        )
        for sample in data.samples
    )
    return Dataset(data.path, types, tuple(samples))


def mix(sets: Sequence[LabelledSet]) -> Mixture:
    """Puts the training photographs of all sets together.

    Raises:
        SourceError: A set's rule names a class that is none, or matches none of its photographs.
    """
    counts = np.array([len(labelled.train.samples) for labelled in sets], np.float64)
    given = np.array([labelled.source.share for labelled in sets])
    if 0 < np.count_nonzero(given) < len(given):
        raise SourceError("--config: give a share to every [[data]], or to none: then sets are drawn by their size")
    shares = given if given.any() else counts
    samples = tuple(sample for labelled in sets for sample in labelled.train.samples)

    def of_photographs(of_sets: Sequence[ArrayLike]) -> NDArray[np.float32]:
        return np.repeat(np.array(of_sets, np.float32), counts.astype(int), axis=0)

    return Mixture(
        Dataset(sets[0].train.path, sets[0].train.classes, samples),
        np.repeat(np.arange(len(sets)), counts.astype(int)),
        shares / shares.sum(),
        np.concatenate([background_weights(labelled.train, labelled.source) for labelled in sets]),
        of_photographs([(labelled.source.box_weight, labelled.source.untyped_box_weight) for labelled in sets]),
        of_photographs([labelled.source.scale_jitter for labelled in sets]),
        of_photographs([_possible_types(labelled) for labelled in sets]),
    )


def _possible_types(labelled: LabelledSet) -> NDArray[np.float32]:
    """Returns `[classes]` float32, 1 for the types that a set's lesions of unknown type may be of."""
    types = labelled.train.classes
    unknown = [name for name in labelled.source.untyped_as if name not in types]
    if unknown:
        raise SourceError(f"{labelled.source.path}: untyped_as {unknown} are none of {list(types)}")
    return np.isin(types, labelled.source.untyped_as or types).astype(np.float32)


def background_weights(data: Dataset, source: DataSource) -> NDArray[np.float32]:
    """Returns `[photographs, classes]` float32, 0 to 1: what bare skin teaches; of several rules the last one holds."""
    weights = np.ones((len(data.samples), len(data.classes)), np.float32)
    for rule in source.background:
        unknown = [name for name in rule.types if name not in data.classes]
        if unknown:
            raise SourceError(f"{source.path}: background types {unknown} are none of {list(data.classes)}")
        columns = [data.classes.index(name) for name in rule.types or data.classes]
        rows = [row for row, sample in enumerate(data.samples) if fnmatch(sample.path.name, rule.files)]
        if not rows:
            raise SourceError(f"{source.path}: background files = {rule.files!r} matches no photograph of {data.path}")
        for row in rows:
            shown = _shown(data.samples[row], len(data.classes))
            for column in columns:
                if not (rule.absent_only and shown[column]):
                    weights[row, column] = rule.weight
    return weights


def _shown(sample: Sample, class_count: int) -> NDArray[np.bool_]:
    return np.isin(np.arange(class_count), sample.classes)
