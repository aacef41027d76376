"""An audit as a page of text."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from acne_runtime.cli.text_table import aligned
from acne_trainer.audit.audit import Audit
from acne_trainer.audit.finding import NOTE, PROBLEM, UNREADABLE

_MOST_CASES = 5
_MOST_FAMILIES = 10
_HEADINGS = {UNREADABLE: "CANNOT BE READ", PROBLEM: "PROBLEMS", NOTE: "NOTES"}


def audit_text(audit: Audit) -> str:
    """Returns the findings, the gravest first, and then the set's statistics in aligned tables."""
    return "\n".join([*_head(audit), *_findings(audit), *_statistics(audit)]) + "\n"


def _head(audit: Audit) -> Iterator[str]:
    photographs = sum(statistics.photographs for statistics in audit.splits.values())
    boxes = sum(sum(statistics.boxes) for statistics in audit.splits.values())
    marked = f"{boxes:,} boxes" if audit.has_boxes else "no boxes"
    yield f"{audit.root}: {audit.form}, {photographs:,} photographs, {marked}, classes: {', '.join(audit.classes)}"


def _findings(audit: Audit) -> Iterator[str]:
    for level, heading in _HEADINGS.items():
        findings = [finding for finding in audit.findings if finding.level == level]
        if findings:
            yield from ("", heading)
        for finding in findings:
            yield f"- {finding.sentence}"
            yield from (f"    {case}" for case in finding.cases[:_MOST_CASES])
            if len(finding.cases) > _MOST_CASES:
                yield f"    ... and {len(finding.cases) - _MOST_CASES} more (--json lists all)"
    if not audit.findings:
        yield from ("", "Nothing is wrong with it as far as this can see.")


def _statistics(audit: Audit) -> Iterator[str]:
    splits = audit.splits.values()
    rows = [
        ["", *audit.splits],
        ["photographs", *(f"{statistics.photographs:,}" for statistics in splits)],
        ["without a label", *(f"{statistics.unlabelled:,}" for statistics in splits)],
    ]
    if audit.has_boxes:
        rows.append(["boxes", *(f"{sum(statistics.boxes):,}" for statistics in splits)])
        spread = (" / ".join(map(str, statistics.boxes_a_photograph)) for statistics in splits)
        rows.append(["boxes a photograph (50 % / 90 % / most)", *spread])
    yield from _table("", rows)
    shares = [
        [
            name,
            *(
                f"{statistics.showing[index]:,} ({_percent(statistics.showing[index], statistics.photographs)})"
                for statistics in splits
            ),
        ]
        for index, name in enumerate(audit.classes)
    ]
    yield from _table("Photographs that show each class", [["", *audit.splits], *shares])
    if audit.has_boxes:
        boxes = [
            [name, *(f"{statistics.boxes[index]:,}" for statistics in splits), *_sides(audit, index)]
            for index, name in enumerate(audit.classes)
        ]
        if len(audit.classes) > 1:
            every = range(len(audit.classes))
            boxes.append(["all", *(f"{sum(statistics.boxes):,}" for statistics in splits), *_sides(audit, *every)])
        yield from _table(
            f"Boxes of each class, and their side (root of the area) at {audit.training_size} px",
            [["", *audit.splits, "10 %", "50 %", "90 %"], *boxes],
        )
    if len(audit.classes) > 1:
        together = [
            [name, *(f"{count:,}" for count in row)] for name, row in zip(audit.classes, audit.together, strict=True)
        ]
        yield from _table("Photographs that show both", [["", *audit.classes], *together])
    if audit.types.types > 1 and audit.types.families:
        families = [
            [f.name or "(a number)", f"{f.photographs:,}", f"{f.one_type:.0%}", f"{f.type} {f.that_type:.0%}"]
            for f in audit.types.families[:_MOST_FAMILIES]
        ]
        yield from _table(
            "Largest series by file name: photographs, those that show one type only, and the commonest type alone",
            families,
        )
        yield (
            f"  The name predicts the only type of {audit.types.accuracy_by_filename:.0%} of photographs in series, "
            f"the most common type, of {audit.types.accuracy_of_majority:.0%}."
        )


def _sides(audit: Audit, *indices: int) -> list[str]:
    return [f"{side:.0f}" for side in audit.side_percentiles(*indices)] or ["-"] * 3


def _percent(part: int, whole: int) -> str:
    return f"{part / whole:.1%}" if whole else "-"


def _table(title: str, rows: Sequence[Sequence[str]]) -> Iterator[str]:
    """Yields rows with their first column at the left and the others at the right."""
    yield from ("", title) if title else ("",)
    yield from (f"  {line}" for line in aligned(rows))
