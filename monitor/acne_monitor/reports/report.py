"""The report for a person and a dermatologist: one HTML file, no script, nothing from outside, for screen and A4."""

from __future__ import annotations

import json
from typing import Any

import jinja2

from acne_monitor.following import OUT_OF_VIEW
from acne_monitor.history import GROUPS, PERSISTING, STATES, Comparison, History, Visit, change
from acne_monitor.reports.chart import WIDTH, draw_chart
from acne_monitor.reports.pictures import data_url, lesion_crops, lesion_map
from acne_monitor.store.store import Store, now
from acne_runtime import __version__
from acne_runtime.errors import SourceError
from acne_runtime.severity import NO_DIAGNOSIS

_MAX_STRIPS = 24
"""Lesions whose crops are shown, those that changed first; more make the file large and no reader looks at them."""


def open_templates(*packages: str) -> jinja2.Environment:
    """Returns the templates of some packages, whose text is escaped."""
    return jinja2.Environment(
        loader=jinja2.ChoiceLoader([jinja2.PackageLoader(package) for package in packages]),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )


_TEMPLATES = open_templates("acne_monitor.reports")


def render_report(store: Store, history: History, with_photographs: bool = True) -> str:
    """Returns the report as HTML.

    Args:
        store: Holds the photographs.
        history: The subject's.
        with_photographs: Whether it shows any.
    """
    seen = [visit for visit in history.visits if visit.photographs]
    views = [
        {"visits": visits, "comparison": comparison, "change": change([comparison])}
        | _pictures(store, visits, comparison, with_photographs)
        for visits, comparison in _first_and_last(history, seen)
    ]
    return _TEMPLATES.get_template("report.html").render(
        code=history.subject["code"],
        made_at=now(),
        version=__version__,
        model=history.models.get(history.model_sha256, "no model yet"),
        model_sha256=history.model_sha256,
        other_models=[name for digest, name in history.models.items() if digest != history.model_sha256],
        visits=visit_rows(history),
        unseen=[visit for visit in history.visits if not visit.photographs],
        groups=list(GROUPS),
        chart=draw_chart(history),
        chart_width=WIDTH,
        treatments=history.treatments,
        views=views,
        states=STATES,
        misses=_accuracy(store, history),
        consent=store.one("SELECT * FROM consent WHERE subject = ? ORDER BY given_at DESC", history.subject["id"]),
        no_diagnosis=NO_DIAGNOSIS,
    )


def visit_rows(history: History) -> list[dict[str, Any]]:
    """Returns the table of visits: counts, change since the first one of the same views, severity, quality."""
    rows = []
    seen = [visit for visit in history.visits if visit.photographs]
    for visit in seen:
        shared = seen[0].photographs.keys() & visit.photographs.keys()
        compared = history.compare(seen[0], visit) if visit is not seen[0] and shared else []
        hints = [hint for one in visit.photographs.values() for hint in one.quality["hints"]]
        rows.append(
            {
                "visit": visit,
                "counts": visit.counts(),
                "change": change(compared),
                "is_first": visit is seen[0],
                "compared": compared,
                "severities": [(view, one.severity) for view, one in visit.photographs.items() if one.severity],
                "hints": list(dict.fromkeys(hints)),
                "overridden": [one.override_by for one in visit.photographs.values() if one.override_by],
                "frames": [len(one.frame_counts) for one in visit.photographs.values()],
                "assessed": [_assessed(row) for row in visit.assessments],
            }
        )
    return rows


def _assessed(row: Any) -> str:
    """Returns a clinician's assessment as text."""
    counts = [
        f"{row[column]} {group}"
        for column, group in zip(("inflammatory", "noninflammatory", "nodules"), GROUPS, strict=True)
        if row[column] is not None
    ]
    iga = [] if row["iga"] is None else [f"IGA {row['iga']}"]
    return f"{row['by']}: {', '.join([*iga, *counts, *([row['text']] if row['text'] else [])])}"


def _first_and_last(history: History, seen: list[Visit]) -> list[tuple[list[Visit], Comparison]]:
    """Returns for each view its visits, and the comparison of the first with the last."""
    views = dict.fromkeys(view for visit in seen for view in visit.photographs)
    found = []
    for view in views:
        visits = [visit for visit in seen if view in visit.photographs]
        if len(visits) > 1:
            found += [(visits, one) for one in history.compare(visits[0], visits[-1]) if one.view == view]
    return found


def _pictures(store: Store, visits: list[Visit], comparison: Comparison, with_photographs: bool) -> dict[str, Any]:
    nothing: dict[str, Any] = {"map": None, "earlier_url": None, "later_url": None, "strips": [], "damaged": ""}
    if comparison.refused is not None:
        return nothing
    try:
        return nothing | _maps_and_crops(store, visits, comparison, with_photographs)
    except SourceError as error:  # what is sound is shown all the same
        return nothing | {"damaged": str(error)}


def _maps_and_crops(
    store: Store, visits: list[Visit], comparison: Comparison, with_photographs: bool
) -> dict[str, Any]:
    drawn = lesion_map(store, comparison)
    urls = (data_url(drawn.earlier), data_url(drawn.later)) if with_photographs else (None, None)
    order = {state: place for place, state in enumerate(("new", "resolved", "uncertain", PERSISTING))}
    pairs = sorted((pair for pair in comparison.pairs if pair.state != OUT_OF_VIEW), key=lambda pair: order[pair.state])
    pairs = pairs[:_MAX_STRIPS] if with_photographs else []
    crops = lesion_crops(store, visits, comparison.view, [pair.lesion for pair in pairs])
    strips = [(pair, [None if jpeg is None else data_url(jpeg) for jpeg in crops[pair.lesion]]) for pair in pairs]
    return {"map": drawn, "earlier_url": urls[0], "later_url": urls[1], "strips": strips}


def _accuracy(store: Store, history: History) -> dict[str, Any] | None:
    """Returns what the model's file says of its accuracy: data, photographs, recall by type."""
    row = store.one("SELECT accuracy FROM run WHERE model_sha256 = ? AND accuracy IS NOT NULL", history.model_sha256)
    stated: Any = json.loads(row["accuracy"]) if row is not None else None
    try:
        return {"data": stated["data"]} | stated["after"] if stated["after"]["recall_by_class"] else None
    except (TypeError, KeyError):
        return None
