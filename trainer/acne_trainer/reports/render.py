"""The parts of a report as HTML, from the templates next to this file; text is escaped."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import jinja2
from markupsafe import Markup

_TEMPLATES = jinja2.Environment(
    loader=jinja2.PackageLoader("acne_trainer.reports"),
    autoescape=True,
    undefined=jinja2.StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)


def render(template: str, **values: Any) -> Markup:
    """Returns the markup of a template."""
    return Markup(_TEMPLATES.get_template(template).render(**values))


def section(title: str, *parts: str) -> Markup:
    """Returns a section under its heading; parts that are no markup become paragraphs."""
    return render("section.html", title=title, parts=parts)


def table(headings: Sequence[str], rows: Sequence[Sequence[str]]) -> Markup:
    """Returns a table whose first column names the rows; it scrolls where it is wider than the screen."""
    return render("table.html", headings=headings, rows=rows, caption="")


def shaded_table(
    headings: Sequence[str], names: Sequence[str], counts: Sequence[Sequence[int]], caption: str
) -> Markup:
    """Returns a table of counts, each cell as dark as its share of its row.

    Args:
        headings: Of all columns, the one with the names included.
        names: Of the rows.
        counts: Row by row.
        caption: Stands above the table.
    """
    rows = list(zip(names, counts, strict=True))
    return render("shaded_table.html", headings=headings, rows=rows, caption=caption)


def note(text: str, label: str = "") -> Markup:
    """Returns a remark that stands out."""
    return render("note.html", text=text, label=label)


def group(name: str, parts: Sequence[Markup]) -> Markup:
    """Returns parts side by side, as the page lays out `charts` and `photos`."""
    return render("group.html", name=name, parts=parts)
