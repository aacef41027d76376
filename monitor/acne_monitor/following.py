"""Follows lesions from visit to visit: each photograph is aligned with the one before and with the first.

A lesion that no longer reaches the threshold is *absent* only if nothing at its place is evidence for it; otherwise it
is *uncertain*. The same holds for one that is new. Without this rule, an unchanged face would read as partly healed,
since lesions near the threshold are shown on one photograph and not on the next.
"""

from __future__ import annotations

import hashlib
import json
import math
import sqlite3
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

import numpy as np
from numpy.typing import NDArray

from acne_monitor.comparing.matching import match
from acne_monitor.comparing.registration import Alignment, align
from acne_monitor.detector import Detector, Found
from acne_monitor.store.photographs import Taken, decode_jpeg, encode_jpeg
from acne_monitor.store.store import Store, StoreError, now
from acne_runtime import __version__
from acne_runtime.errors import SourceError
from acne_runtime.quality import Quality, measure_quality

PRESENT, ABSENT, UNCERTAIN, OUT_OF_VIEW, NOT_A_LESION = "present", "absent", "uncertain", "out of view", "not a lesion"
PRESENCES = (PRESENT, ABSENT, UNCERTAIN, OUT_OF_VIEW, NOT_A_LESION)
_DISAGREEMENT = 1 / 64
"""Distance of the places that the photograph before and the first one give, of the longest side, from which a lesion is
uncertain."""


@dataclass(frozen=True, slots=True)
class Added:
    """What `add_photograph` did.

    Attributes:
        visit: Id of the visit.
        run: Id of the model's run.
        quality: Of the photograph that was kept.
        refused: Why it cannot be compared with the one before; `None` if it can, or is the first.
        is_first: Whether it is the first of its view.
    """

    visit: str
    run: str
    quality: Quality
    refused: str | None
    is_first: bool


def add_photograph(
    store: Store,
    code: str,
    view: str,
    frames: Sequence[NDArray[np.uint8]],
    taken: Taken,
    detector: Detector,
    override_by: str | None = None,
) -> Added:
    """Adds a photograph, or a burst, to a subject's visit of that day, and follows the lesions.

    Args:
        store: The store.
        code: The subject's code.
        view: Such as `left`; only photographs of the same view are compared.
        frames: Each `[height, width, 3]` uint8 BGR; the sharpest one is kept.
        taken: When.
        detector: Finds the lesions.
        override_by: Who takes it in spite of its quality; `None` refuses one that cannot be used.

    Raises:
        SourceError: The photograph cannot be used.
        StoreError: There is no such subject, or its consent is withdrawn; that view was taken already, or a later
            visit has it.
    """
    found = detector(frames)
    quality = measure_quality(found.image)
    if not quality.is_usable and override_by is None:
        raise SourceError(
            f"the photograph cannot be used: {'; '.join(quality.hints)}; take it again, or use `override`",
            parameter="override",
        )
    subject = find_subject(store, code)
    if not store.one("SELECT 1 FROM consent WHERE subject = ? AND withdrawn_at IS NULL", subject):
        raise StoreError(f"{code} has withdrawn consent: no photograph is added; acne-monitor erase removes the record")
    existing = _visit_of_day(store, subject, taken)
    _check_order(store, subject, view, taken, existing)
    jpeg = encode_jpeg(found.image)
    earlier = runs_of_view(store, subject, view, detector.model.manifest.digest)
    plan = _follow(store, earlier, found)
    with store.transaction() as audit:
        visit = existing or store.insert(
            "visit", subject=subject, at_local=taken.local, utc_offset=taken.offset, at_source=taken.source
        )
        photo = store.insert(
            "photo",
            visit=visit,
            view=view,
            jpeg=jpeg,
            sha256=hashlib.sha256(jpeg).hexdigest(),
            width=found.image.shape[1],
            height=found.image.shape[0],
            quality=json.dumps(quality.to_dict()),
            override_by=override_by if not quality.is_usable else None,
        )
        run = _write_run(store, photo, detector, found, subject, view, plan)
        audit("add", f"visit {visit} photo {photo} run {run}", override_by)
    return Added(visit, run, quality, plan.refused, not earlier)


def score_again(store: Store, detector: Detector) -> int:
    """Runs another model on all photographs, in order of time; the runs of other models stay.

    Returns:
        The number of photographs that it had not seen.
    """
    digest = detector.model.manifest.digest
    photos = store.all(
        "SELECT photo.id, jpeg, view, subject FROM photo JOIN visit ON visit.id = photo.visit WHERE NOT EXISTS "
        "(SELECT 1 FROM run WHERE run.photo = photo.id AND model_sha256 = ?) ORDER BY at_local",
        digest,
    )
    for photo in photos:
        found = detector([decode_jpeg(photo["jpeg"])])
        plan = _follow(store, runs_of_view(store, photo["subject"], photo["view"], digest), found)
        with store.transaction() as audit:
            run = _write_run(store, photo["id"], detector, found, photo["subject"], photo["view"], plan)
            audit("rescore", f"photo {photo['id']} run {run}")
    return len(photos)


def find_subject(store: Store, code: str) -> str:
    """Returns a subject's id.

    Raises:
        StoreError: There is none of this code.
    """
    row = store.one("SELECT id FROM subject WHERE code = ?", code)
    if row is None:
        raise StoreError(f"no subject {code!r}; list them with: acne-monitor subject list {store.folder}")
    return str(row["id"])


def runs_of_view(store: Store, subject: str, view: str, digest: str) -> list[sqlite3.Row]:
    """Returns a model's runs on the photographs of a view, in order of time."""
    return store.all(
        "SELECT run.*, photo.jpeg, photo.width, photo.height, visit.id AS visit, visit.at_local FROM run "
        "JOIN photo ON photo.id = run.photo JOIN visit ON visit.id = photo.visit "
        "WHERE subject = ? AND view = ? AND model_sha256 = ? ORDER BY at_local",
        subject, view, digest,
    )  # fmt: skip


def _visit_of_day(store: Store, subject: str, taken: Taken) -> str | None:
    row = store.one("SELECT id FROM visit WHERE subject = ? AND substr(at_local, 1, 10) = ?", subject, taken.local[:10])
    return None if row is None else str(row["id"])


def _check_order(store: Store, subject: str, view: str, taken: Taken, visit: str | None) -> None:
    latest = store.one(
        "SELECT visit.id, at_local FROM photo JOIN visit ON visit.id = photo.visit WHERE subject = ? AND view = ? "
        "ORDER BY at_local DESC LIMIT 1",
        subject, view,
    )  # fmt: skip
    tomorrow = (datetime.now() + timedelta(days=1)).isoformat()  # whatever the time zone
    if taken.source == "exif" and taken.local > tomorrow:
        raise StoreError(
            f"taken on {taken.local[:10]}, says the photograph, which is still to come; give the time with `at`",
            parameter="at",
        )
    if latest is None:
        return
    if latest["id"] == visit:
        raise StoreError(
            f"the visit of {taken.local[:10]} has a photograph of view {view!r} already; name another `view`, or `at` "
            "another day",
            parameter="view",
        )
    if latest["at_local"] > taken.local:
        raise StoreError(
            f"taken on {taken.local[:10]}, but view {view!r} has one of {latest['at_local'][:10]} already; add "
            "photographs in order of time, or give the time with `at`",
            parameter="at",
        )


@dataclass(slots=True)
class _Observed:
    """An observation to be written; `detection` is an index of the model's lesions."""

    lesion: str
    presence: str
    box: NDArray[np.float64] | None
    detection: int | None = None


@dataclass(slots=True)
class _Plan:
    """What the lesions of a photograph are, before it is written."""

    observed: list[_Observed]
    new_lesions: list[str]
    earlier_observed: list[_Observed]
    """Of the photograph before: what was at the places of new lesions."""
    before: str | None
    registrations: dict[str, Alignment]
    refused: str | None


def _follow(store: Store, earlier: Sequence[sqlite3.Row], found: Found) -> _Plan:
    """Says which lesions of the photographs before are still there."""
    shown = [index for index, ratio in enumerate(found.ratios) if ratio >= 1]
    boxes = np.array([lesion.box for lesion in found.lesions], np.float64).reshape(-1, 4)
    if not earlier:
        return _starting(boxes, shown, {}, None)
    registrations: dict[str, Alignment] = {}
    before = None
    for candidate in dict.fromkeys([len(earlier) - 1, 0]):  # the one before, or else the first
        alignment = align(decode_jpeg(earlier[candidate]["jpeg"]), found.image)
        registrations[earlier[candidate]["id"]] = alignment
        if alignment.refused is None and before is None:
            before = candidate
    if before is None:
        return _starting(boxes, shown, registrations, registrations[earlier[-1]["id"]].refused)
    run = earlier[before]
    alignment = registrations[run["id"]]
    plan = _Plan([], [], [], run["id"], registrations, None)
    known = _known(store, run["id"])
    longest = max(found.image.shape[:2])
    places, sides, in_view = _mapped(alignment, [row.box for row in known])
    first = earlier[0]["id"]
    if before != 0 and registrations[first].refused is None:  # what the one before did not have in view
        missed = _known(store, first)
        ids = {row.lesion for row in known}
        missed = [row for row in missed if row.lesion not in ids]
        others = _mapped(registrations[first], [row.box for row in missed])
        known = [*known, *missed]
        places, sides, in_view = (np.concatenate(pair) for pair in zip((places, sides, in_view), others, strict=True))
    doubtful = _doubtful(store, earlier, before, registrations, known, places, longest)
    # Also what should be out of view: if it is there, it is not.
    candidates = [index for index in range(len(known)) if known[index].presence != NOT_A_LESION]
    pairs = _pairs(places, sides, candidates, boxes, shown, longest)
    rest = [index for index in candidates if index not in pairs]
    weak = _pairs(places, sides, rest, boxes, [index for index in range(len(boxes)) if index not in shown], longest)
    for index, row in enumerate(known):
        place = _box_at(places[index], sides[index])
        if row.presence == NOT_A_LESION:
            plan.observed.append(_Observed(row.lesion, NOT_A_LESION, place if in_view[index] else None))
        elif index in pairs:
            presence = UNCERTAIN if index in doubtful else PRESENT
            plan.observed.append(_Observed(row.lesion, presence, boxes[pairs[index]], pairs[index]))
        elif not in_view[index]:
            plan.observed.append(_Observed(row.lesion, OUT_OF_VIEW, None))
        elif index in doubtful or (index in weak and row.presence != ABSENT):
            plan.observed.append(_Observed(row.lesion, UNCERTAIN, place))
        else:
            plan.observed.append(_Observed(row.lesion, ABSENT, place))
    # A photograph that shows again what a person called no lesion does not make it one.
    denied = [index for index, row in enumerate(known) if row.presence == NOT_A_LESION]
    taken = set(pairs.values()) | set(_pairs(places, sides, denied, boxes, shown, longest).values())
    fresh = [index for index in shown if index not in taken]
    evidence = _evidence(store, run, alignment, boxes, fresh, longest)
    for index in fresh:
        lesion = str(uuid.uuid4())
        plan.new_lesions.append(lesion)
        plan.observed.append(_Observed(lesion, PRESENT, boxes[index], index))
        plan.earlier_observed.append(_Observed(lesion, evidence[index], None))
    return plan


def _starting(
    boxes: NDArray[np.float64], shown: Sequence[int], registrations: dict[str, Alignment], refused: str | None
) -> _Plan:
    lesions = [str(uuid.uuid4()) for _ in shown]
    observed = [_Observed(lesion, PRESENT, boxes[index], index) for lesion, index in zip(lesions, shown, strict=True)]
    return _Plan(observed, lesions, [], None, registrations, refused)


@dataclass(frozen=True, slots=True)
class _Known:
    """A lesion that was observed on an earlier photograph, with its place there."""

    lesion: str
    presence: str
    box: tuple[float, float, float, float]


def _known(store: Store, run: str) -> list[_Known]:
    """Returns the lesions that were observed on a photograph, with their places."""
    rows = store.all("SELECT * FROM observation WHERE run = ? AND x1 IS NOT NULL", run)
    return [_Known(row["lesion"], row["presence"], (row["x1"], row["y1"], row["x2"], row["y2"])) for row in rows]


def _mapped(
    alignment: Alignment, boxes: Sequence[object]
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.bool_]]:
    """Returns centres and sides of boxes on the later photograph, and which are in view."""
    array = np.array(boxes, np.float64).reshape(-1, 4)
    places, in_view = alignment.map((array[:, :2] + array[:, 2:]) / 2)
    return places, np.sqrt(np.prod(array[:, 2:] - array[:, :2], axis=1)) * alignment.scale, in_view


def _pairs(
    places: NDArray[np.float64],
    sides: NDArray[np.float64],
    known: Sequence[int],
    boxes: NDArray[np.float64],
    detected: Sequence[int],
    longest: float,
) -> dict[int, int]:
    """Returns detections by known lesion, of the chosen ones."""
    rows, columns = list(known), list(detected)
    found = match(places[rows].reshape(-1, 2), sides[rows].reshape(-1), boxes[columns].reshape(-1, 4), longest)
    return {rows[row]: columns[column] for row, column in found}


def _doubtful(
    store: Store,
    earlier: Sequence[sqlite3.Row],
    before: int,
    registrations: dict[str, Alignment],
    known: Sequence[_Known],
    places: NDArray[np.float64],
    longest: float,
) -> set[int]:
    """Returns the known lesions whose place the first photograph gives elsewhere than the one before."""
    first = earlier[0]["id"]
    if before == 0 or registrations[first].refused is not None:
        return set()
    at_first = {row.lesion: row.box for row in _known(store, first)}
    shared = [index for index, row in enumerate(known) if row.lesion in at_first]
    others, _, in_view = _mapped(registrations[first], [at_first[known[index].lesion] for index in shared])
    distance = np.linalg.norm(others - places[shared].reshape(-1, 2), axis=1)
    return {
        index
        for index, away, seen in zip(shared, distance, in_view, strict=True)
        if seen and away > _DISAGREEMENT * longest
    }


def _evidence(
    store: Store,
    run: sqlite3.Row,
    alignment: Alignment,
    boxes: NDArray[np.float64],
    fresh: Sequence[int],
    longest: float,
) -> dict[int, str]:
    """Returns for each new lesion what the photograph before shows at its place: absent, uncertain, out of view."""
    weak = store.all("SELECT * FROM detection WHERE run = ? AND ratio < 1", run["id"])
    places, sides, _ = _mapped(alignment, [[row["x1"], row["y1"], row["x2"], row["y2"]] for row in weak])
    seen = set(_pairs(places, sides, range(len(weak)), boxes, fresh, longest).values())
    corners = np.array([[0, 0], [run["width"], 0], [run["width"], run["height"]], [0, run["height"]]], np.float64)
    assert alignment.homography is not None
    projected = np.c_[corners, np.ones(4)] @ alignment.homography.T
    outline = (projected[:, :2] / projected[:, 2:]).tolist()
    states = {}
    for index in fresh:
        x, y = (boxes[index, :2] + boxes[index, 2:]) / 2
        states[index] = UNCERTAIN if index in seen else ABSENT if _is_inside(x, y, outline) else OUT_OF_VIEW
    return states


def _is_inside(x: float, y: float, outline: Sequence[Sequence[float]]) -> bool:
    """Returns whether a point is within a convex outline."""
    sides = [
        (bx - ax) * (y - ay) - (by - ay) * (x - ax)
        for (ax, ay), (bx, by) in zip(outline, [*outline[1:], outline[0]], strict=True)
    ]
    return all(side >= 0 for side in sides) or all(side <= 0 for side in sides)


def _box_at(place: NDArray[np.float64], side: float) -> NDArray[np.float64]:
    return np.concatenate([place - side / 2, place + side / 2])


def _write_run(store: Store, photo: str, detector: Detector, found: Found, subject: str, view: str, plan: _Plan) -> str:
    """Writes what was found; within a transaction."""
    manifest = detector.model.manifest
    run = store.insert(
        "run",
        photo=photo,
        model=manifest.name,
        model_sha256=manifest.digest,
        runtime=__version__,
        classes=json.dumps(manifest.classes),
        threshold=detector.threshold,
        frame_counts=json.dumps(found.frame_counts),
        severity=None if found.severity is None else json.dumps(found.severity.to_dict()),
        accuracy=json.dumps(manifest.validation.get("accuracy")),
        made_at=now(),
    )
    detections = []
    for lesion, ratio in zip(found.lesions, found.ratios, strict=True):
        x1, y1, x2, y2 = lesion.box
        detections.append(
            store.insert(
                "detection",
                run=run,
                **{"class": lesion.name},
                score=lesion.score,
                ratio=ratio,
                unsure=int(lesion.unsure),
                x1=x1,
                y1=y1,
                x2=x2,
                y2=y2,
            )
        )
    for earlier, alignment in plan.registrations.items():
        residual = alignment.residual_px
        store.insert(
            "registration",
            run=run,
            earlier=earlier,
            refused=alignment.refused,
            inliers=alignment.inliers,
            residual_px=residual if residual is not None and math.isfinite(residual) else None,
        )
    for lesion_id in plan.new_lesions:
        store.insert("lesion", id=lesion_id, subject=subject, view=view)
    for observed in plan.observed:
        detection = None if observed.detection is None else detections[observed.detection]
        _write_observation(store, run, observed, detection)
    for observed in plan.earlier_observed:
        assert plan.before is not None
        _write_observation(store, plan.before, observed, None)
    return run


def _write_observation(store: Store, run: str, observed: _Observed, detection: str | None) -> None:
    x1, y1, x2, y2 = (None,) * 4 if observed.box is None else observed.box.tolist()
    store.insert(
        "observation",
        lesion=observed.lesion,
        run=run,
        detection=detection,
        presence=observed.presence,
        x1=x1, y1=y1, x2=x2, y2=y2,
    )  # fmt: skip
