"""Types that were given to whole photographs instead of lesions, and photographs labelled for one type only.

One public acne set hides severity grades as types: every box of a photograph has one class, and its file name tells
which. A detector trained on it learns the series of photographs, not the lesions.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

from acne_trainer.data.dataset import Sample
from acne_trainer.data.source_names import series_name

SMALLEST_FAMILY = 5
"""Photographs of a series from which on its labels say something."""

_NEARLY_ALL = 0.95
_MOST = 0.5


@dataclass(frozen=True, slots=True)
class Family:
    """Photographs with one series name, such as `levle2_1.jpg` and `levle2_17.jpg`.

    Attributes:
        name: What their names have in common.
        photographs: How many are labelled.
        one_type: The share of them that shows one type only, whichever it is.
        type: The type that most of them show alone; of several, the first of the class list.
        that_type: The share of them that shows this type and no other.
    """

    name: str
    photographs: int
    one_type: float
    type: str
    that_type: float


@dataclass(frozen=True, slots=True)
class TypesByPhotograph:
    """How far a photograph's types can be told without looking at its lesions.

    Attributes:
        from_boxes: Whether lesions are marked one by one.
        several: Labelled photographs with at least two boxes; of a table without boxes, all labelled ones.
        one_type: The share of them that shows one type only; 0 of none.
        families: The series of at least `SMALLEST_FAMILY` photographs, largest first.
        accuracy_by_filename: The share of their photographs that show just the type that is commonest in the series.
        accuracy_of_majority: The share of their photographs that show just the type that is commonest of all.
        types: How many types the set's photographs show.
    """

    from_boxes: bool
    several: int
    one_type: float
    families: tuple[Family, ...]
    accuracy_by_filename: float
    accuracy_of_majority: float
    types: int

    @property
    def image_level(self) -> bool:
        """Whether the types are labels of whole photographs, told by the file name: at least 95 % of both kinds."""
        by_name_not_luck = 1 - self.accuracy_by_filename <= (1 - self.accuracy_of_majority) / 2
        return self.types > 1 and min(self.one_type, self.accuracy_by_filename) >= _NEARLY_ALL and by_name_not_luck

    @property
    def one_sided(self) -> tuple[Family, ...]:
        """The series that show one and the same type nearly always, in a set with several types."""
        return tuple(family for family in self.families if self.types > 1 and family.that_type >= _NEARLY_ALL)

    @property
    def mostly_one_type(self) -> bool:
        """Whether most photographs with several lesions show one type only, in a set with several types."""
        return self.types > 1 and self.one_type > _MOST


def types_by_photograph(samples: Sequence[Sample], classes: tuple[str, ...]) -> TypesByPhotograph:
    """Looks for types that belong to photographs instead of lesions."""
    shown = [(sample, tuple(sample.presence(len(classes)).nonzero()[0].tolist())) for sample in samples]
    labelled = [(sample, types) for sample, types in shown if types]
    from_boxes = all(sample.types is None for sample in samples)
    several = [types for sample, types in labelled if not from_boxes or len(sample.boxes) > 1]
    series: dict[str, list[tuple[int, ...]]] = defaultdict(list)
    for sample, types in labelled:
        series[series_name(sample.path.name)].append(types)
    large = {name: members for name, members in series.items() if len(members) >= SMALLEST_FAMILY}
    families = [_family(name, members, classes) for name, members in large.items()]
    everyone = [types for members in large.values() for types in members]
    _, by_guess = _commonest_alone(everyone)
    return TypesByPhotograph(
        from_boxes=from_boxes,
        several=len(several),
        one_type=_share(sum(len(types) == 1 for types in several), len(several)),
        families=tuple(sorted(families, key=lambda family: (-family.photographs, family.name))),
        accuracy_by_filename=_share(sum(_commonest_alone(members)[1] for members in large.values()), len(everyone)),
        accuracy_of_majority=_share(by_guess, len(everyone)),
        types=len({index for _, types in labelled for index in types}),
    )


def _family(name: str, members: list[tuple[int, ...]], classes: tuple[str, ...]) -> Family:
    alone, count = _commonest_alone(members)
    one_type = sum(len(types) == 1 for types in members) / len(members)
    return Family(name, len(members), one_type, classes[alone], count / len(members))


def _commonest_alone(members: Sequence[tuple[int, ...]]) -> tuple[int, int]:
    """Returns the class that most photographs show alone, and how many do."""
    counts = Counter(types[0] for types in members if len(types) == 1)
    return min(counts.items(), key=lambda item: (-item[1], item[0]), default=(0, 0))


def _share(part: int, whole: int) -> float:
    return part / whole if whole else 0.0
