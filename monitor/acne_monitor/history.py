"""What a store knows of a subject: visits, lesions at each, and the change between any two."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from acne_monitor.comparing.change import Change, change_error
from acne_monitor.following import ABSENT, NOT_A_LESION, OUT_OF_VIEW, PRESENCES, PRESENT, UNCERTAIN, find_subject
from acne_monitor.store.store import Store, StoreError

PERSISTING, NEW, RESOLVED = "persisting", "new", "resolved"
STATES = (PERSISTING, NEW, RESOLVED, UNCERTAIN, OUT_OF_VIEW)
"""Of a lesion between two visits."""
GROUPS = {"inflammatory": ("papules", "pustules"), "non-inflammatory": ("comedones",), "nodules": ("nodules",)}
"""What trials count apart (FDA 2018, Acne Vulgaris: Establishing Effectiveness)."""


@dataclass(frozen=True, slots=True)
class Observation:
    """A lesion on a photograph.

    Attributes:
        id: Of the observation, to correct it.
        lesion: Id of the lesion, the same at all visits.
        presence: One of `following.PRESENCES`.
        kind: Its lesion type; of the last photograph that shows it, where this one does not.
        box: x1, y1, x2, y2 in pixels of the photograph; `None` out of view.
        by: Who corrected it; `None` for the model.
    """

    id: str
    lesion: str
    presence: str
    kind: str
    box: tuple[float, float, float, float] | None
    by: str | None


@dataclass(frozen=True, slots=True)
class Photograph:
    """A photograph of a view and what was observed on it.

    Attributes:
        id: Of the photograph.
        run: Id of the model's run.
        view: Such as `left`.
        width: In pixels.
        height: In pixels.
        quality: JSON form of `acne_runtime.quality.Quality`.
        override_by: Who took it in spite of its quality.
        model: The model's name.
        model_sha256: Digest of its file.
        severity: JSON form of `acne_runtime.severity.Severity`, if the model supports it.
        frame_counts: Lesions shown on each frame of the burst.
        observations: By lesion.
        refused: Why it could not be aligned with the one before; `None` if it could.
    """

    id: str
    run: str
    view: str
    width: int
    height: int
    quality: dict[str, Any]
    override_by: str | None
    model: str
    model_sha256: str
    severity: dict[str, Any] | None
    frame_counts: tuple[int, ...]
    observations: dict[str, Observation]
    refused: str | None

    def counts(self) -> dict[str, int]:
        """Returns the number of lesions present, by group of `GROUPS`, and their `total`."""
        kinds = [one.kind for one in self.observations.values() if one.presence == PRESENT]
        counts = {group: sum(kind in members for kind in kinds) for group, members in GROUPS.items()}
        return counts | {"total": len(kinds)}


@dataclass(frozen=True, slots=True)
class Visit:
    """A visit.

    Attributes:
        name: `V1`, `V2`, ... in order of time.
        id: Of the visit.
        at_local: `YYYY-MM-DDTHH:MM:SS` where the photographs were taken.
        utc_offset: Such as `+01:00`, if known.
        at_source: `given`, `exif`, `file` or `now`.
        photographs: By view, with the newest model.
        assessments: Rows of clinicians' own assessments.
    """

    name: str
    id: str
    at_local: str
    utc_offset: str | None
    at_source: str
    photographs: dict[str, Photograph]
    assessments: Sequence[sqlite3.Row]

    @property
    def date(self) -> str:
        """`YYYY-MM-DD`."""
        return self.at_local[:10]

    def counts(self) -> dict[str, int]:
        """Returns the lesions present on all photographs together, as `Photograph.counts`."""
        totals = dict.fromkeys([*GROUPS, "total"], 0)
        for photograph in self.photographs.values():
            for group, count in photograph.counts().items():
                totals[group] += count
        return totals


@dataclass(frozen=True, slots=True)
class Pair:
    """One lesion between two photographs of a view.

    Attributes:
        lesion: Its id.
        state: One of `STATES`.
        kind: Its lesion type.
        earlier: Its observation on the earlier photograph, if there is one.
        later: The same on the later photograph.
    """

    lesion: str
    state: str
    kind: str
    earlier: Observation | None
    later: Observation | None


@dataclass(frozen=True, slots=True)
class Comparison:
    """Two photographs of a view.

    Attributes:
        view: Such as `left`.
        earlier: The earlier photograph.
        later: The later photograph.
        refused: Why they cannot be compared; `None` if they can.
        pairs: All lesions of both.
    """

    view: str
    earlier: Photograph
    later: Photograph
    refused: str | None
    pairs: tuple[Pair, ...]

    def count(self, state: str, kinds: Sequence[str] | None = None) -> int:
        """Returns the number of lesions in a state, of some types or of all."""
        return sum(pair.state == state and (kinds is None or pair.kind in kinds) for pair in self.pairs)


class History:
    """A subject's visits.

    Attributes:
        subject: The subject's row.
        visits: In order of time.
        treatments: Rows, in order of time.
        models: Names of all models that were run, by digest.
    """

    def __init__(self, store: Store, code: str, model_sha256: str | None = None):
        """Reads all of a subject.

        Args:
            store: The store.
            code: The subject's code.
            model_sha256: The model whose runs are shown; `None` for the one of the newest photograph.

        Raises:
            StoreError: There is no such subject.
        """
        find_subject(store, code)
        subject = store.one("SELECT * FROM subject WHERE code = ?", code)
        assert subject is not None
        self.subject = subject
        self._store = store
        runs = store.all(
            "SELECT run.model, run.model_sha256 FROM run JOIN photo ON photo.id = run.photo JOIN visit ON visit.id = "
            "photo.visit WHERE subject = ? ORDER BY visit.at_local, run.made_at",
            subject["id"],
        )
        self.models = {row["model_sha256"]: str(row["model"]) for row in runs}
        self.model_sha256 = model_sha256 or (runs[-1]["model_sha256"] if runs else "")
        self.treatments = store.all("SELECT * FROM treatment WHERE subject = ? ORDER BY from_date", subject["id"])
        rows = store.all("SELECT * FROM visit WHERE subject = ? ORDER BY at_local", subject["id"])
        self.visits = [self._visit(f"V{number}", row) for number, row in enumerate(rows, start=1)]

    def visit(self, name: str) -> Visit:
        """Returns a visit by its name, such as `V3`, or its date.

        Raises:
            StoreError: There is none.
        """
        for visit in self.visits:
            if name.upper() == visit.name or name in (visit.date, visit.id):
                return visit
        names = ", ".join(f"{visit.name} ({visit.date})" for visit in self.visits) or "none yet"
        raise StoreError(f"no visit {name!r} of {self.subject['code']}; there are: {names}")

    def compare(self, earlier: Visit, later: Visit) -> list[Comparison]:
        """Compares the views that two visits share.

        Raises:
            StoreError: They share no view that the same model has seen.
        """
        views = [view for view in later.photographs if view in earlier.photographs]
        if not views:
            raise StoreError(
                f"{earlier.name} and {later.name} share no view that {self.models.get(self.model_sha256, 'a model')} "
                "has seen; take the same view again, or run: acne-monitor rescore"
            )
        return [self._compare(earlier.photographs[view], later.photographs[view], view) for view in views]

    def _compare(self, earlier: Photograph, later: Photograph, view: str) -> Comparison:
        refused = self._refused_between(earlier, later, view)
        pairs = []
        for lesion in dict.fromkeys([*earlier.observations, *later.observations]):
            one, other = earlier.observations.get(lesion), later.observations.get(lesion)
            state = _state(one, other)
            if state is not None and refused is None:
                observed = other if other is not None and other.presence == PRESENT else one or other
                assert observed is not None
                pairs.append(Pair(lesion, state, observed.kind, one, other))
        return Comparison(view, earlier, later, refused, tuple(pairs))

    def _refused_between(self, earlier: Photograph, later: Photograph, view: str) -> str | None:
        """Returns why a photograph between two others, or the later one, starts anew."""
        if earlier.run == later.run or earlier.observations.keys() & later.observations.keys():
            return None
        if not earlier.observations and later.refused is None:
            return None
        order = [visit.photographs[view] for visit in self.visits if view in visit.photographs]
        for photograph in order[order.index(earlier) + 1 : order.index(later) + 1]:
            if photograph.refused is not None:
                return photograph.refused
        return None

    def _visit(self, name: str, row: sqlite3.Row) -> Visit:
        photographs = {}
        rows = self._store.all(
            "SELECT photo.*, run.id AS run, model, model_sha256, severity, frame_counts FROM photo JOIN run "
            "ON run.photo = photo.id WHERE visit = ? AND model_sha256 = ? ORDER BY view",
            row["id"], self.model_sha256,
        )  # fmt: skip
        for photo in rows:
            photographs[photo["view"]] = Photograph(
                photo["id"],
                photo["run"],
                photo["view"],
                photo["width"],
                photo["height"],
                json.loads(photo["quality"]),
                photo["override_by"],
                photo["model"],
                photo["model_sha256"],
                None if photo["severity"] is None else json.loads(photo["severity"]),
                tuple(json.loads(photo["frame_counts"])),
                self._observations(photo["run"]),
                self._refused(photo["run"]),
            )
        assessments = self._store.all("SELECT * FROM assessment WHERE visit = ? ORDER BY at", row["id"])
        return Visit(name, row["id"], row["at_local"], row["utc_offset"], row["at_source"], photographs, assessments)

    def _refused(self, run: str) -> str | None:
        """Returns why no earlier photograph could be aligned."""
        reasons = [row["refused"] for row in self._store.all("SELECT refused FROM registration WHERE run = ?", run)]
        return None if not reasons or None in reasons else str(reasons[0])

    def _observations(self, run: str) -> dict[str, Observation]:
        kinds = {
            row["lesion"]: row["class"]
            for row in self._store.all(
                "SELECT lesion, class FROM observation JOIN detection ON detection.id = observation.detection WHERE "
                "lesion IN (SELECT lesion FROM observation WHERE run = ?) ORDER BY observation.run = ?, "
                "observation.rowid",
                run, run,
            )
        }  # fmt: skip
        rows = self._store.all("SELECT * FROM observation WHERE run = ?", run)
        return {
            row["lesion"]: Observation(
                row["id"],
                row["lesion"],
                row["presence"],
                kinds[row["lesion"]],
                None if row["x1"] is None else (row["x1"], row["y1"], row["x2"], row["y2"]),
                row["by"],
            )
            for row in rows
        }


def change(comparisons: Sequence[Comparison], kinds: Sequence[str] | None = None) -> Change | None:
    """Returns the change over all views that could be compared; `None` if none could.

    Args:
        comparisons: Of two visits.
        kinds: Lesion types that count; `None` for all.
    """
    usable = [one for one in comparisons if one.refused is None]
    if not usable:
        return None
    persisting, new, resolved, uncertain = (
        sum(one.count(state, kinds) for one in usable) for state in (PERSISTING, NEW, RESOLVED, UNCERTAIN)
    )
    earlier = persisting + resolved + uncertain
    later = persisting + new + uncertain
    return Change(earlier, later, new, resolved, change_error(earlier, later))


def correct(store: Store, observation: str, state: str, by: str | None = None) -> None:
    """Replaces what the model says of a lesion on a photograph.

    Args:
        store: The store.
        observation: Id of the observation, or the beginning of it.
        state: One of `following.PRESENCES`, or a state: `persisting` and `new` mean present, `resolved` absent.
        by: Who says so; by default the user of this computer.

    Raises:
        StoreError: There is no such observation or state.
    """
    presence = {PERSISTING: PRESENT, NEW: PRESENT, RESOLVED: ABSENT}.get(state, state.replace("-", " "))
    if presence not in PRESENCES:
        raise StoreError(f"`state` {state}: not one of {', '.join([*STATES, NOT_A_LESION])}", parameter="state")
    rows = store.all("SELECT id, presence, x1 FROM observation WHERE id LIKE ? || '%'", observation.replace("%", ""))
    if len(rows) != 1:
        problem = "no such observation" if not rows else f"{len(rows)} observations begin so"
        raise StoreError(f"{observation}: {problem}; acne-monitor compare lists them")
    with store.transaction() as audit:
        store.database.execute(
            "UPDATE observation SET presence = ?, by = ? WHERE id = ?", (presence, by or "person", rows[0]["id"])
        )
        audit("correct", f"observation {rows[0]['id']} {rows[0]['presence']} -> {presence}", by)


def _state(earlier: Observation | None, later: Observation | None) -> str | None:
    """Returns a lesion's state between two visits; `None` where it is on neither."""
    before = ABSENT if earlier is None else earlier.presence
    after = ABSENT if later is None else later.presence
    if NOT_A_LESION in (before, after) or (before == ABSENT and after in (ABSENT, OUT_OF_VIEW, UNCERTAIN)):
        return None
    if before == OUT_OF_VIEW and after in (ABSENT, OUT_OF_VIEW):
        return None
    if OUT_OF_VIEW in (before, after):
        return OUT_OF_VIEW
    if UNCERTAIN in (before, after):
        # Uncertain at both, or first seen as such and gone: it was never shown at either.
        return None if PRESENT not in (before, after) else UNCERTAIN
    if before == PRESENT:
        return PERSISTING if after == PRESENT else RESOLVED
    return NEW
