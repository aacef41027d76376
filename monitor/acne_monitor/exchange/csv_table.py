"""A subject's visits as a table: one line per photograph."""

from __future__ import annotations

import csv
import io

from acne_monitor.history import GROUPS, History, change

COLUMNS = (
    "subject", "visit", "at_local", "utc_offset", "view", "model", "model_sha256", *GROUPS, "total", "frames",
    "severity_grade", "severity_lesions", "usable", "compared_with", "new", "resolved", "difference", "error",
    "verdict", "not_compared",
)  # fmt: skip


def to_csv(history: History) -> str:
    """Returns the table; the comparison is with the first visit that has the view."""
    text = io.StringIO(newline="")
    table = csv.DictWriter(text, COLUMNS, lineterminator="\n")
    table.writeheader()
    baselines: dict[str, int] = {}
    for index, visit in enumerate(history.visits):
        for view, photograph in visit.photographs.items():
            line = {
                "subject": history.subject["code"],
                "visit": visit.name,
                "at_local": visit.at_local,
                "utc_offset": visit.utc_offset,
                "view": view,
                "model": photograph.model,
                "model_sha256": photograph.model_sha256,
                "frames": len(photograph.frame_counts),
                "usable": photograph.quality["usable"],
            } | photograph.counts()
            if photograph.severity is not None:
                line["severity_grade"] = photograph.severity["grade"]
                line["severity_lesions"] = photograph.severity["lesions"]
            baseline = baselines.setdefault(view, index)
            if baseline != index:
                compared = [one for one in history.compare(history.visits[baseline], visit) if one.view == view]
                found = change(compared)
                line["compared_with"] = history.visits[baseline].name
                if found is None:
                    line["not_compared"] = compared[0].refused
                else:
                    line |= {
                        "new": found.new,
                        "resolved": found.resolved,
                        "difference": found.difference,
                        "error": round(found.error, 1),
                        "verdict": found.verdict,
                    }
            table.writerow(line)
    return text.getvalue()
