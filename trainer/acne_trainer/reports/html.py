"""HTML and SVG from plain values: whatever is not markup already is escaped."""

from __future__ import annotations

import html
from collections.abc import Iterable, Sequence


class Html(str):
    """Text that is markup already."""

    __slots__ = ()


def element(name: str, *children: str, **attributes: object) -> Html:
    """Returns one element.

    Args:
        name: Its tag.
        children: Markup, or text, which is escaped.
        attributes: Values are escaped; a trailing underscore of a name is dropped, others become hyphens (`class_`,
            `stroke_width`); `None` leaves the attribute out.
    """
    given = "".join(
        f' {key.rstrip("_").replace("_", "-")}="{html.escape(str(value))}"'
        for key, value in attributes.items()
        if value is not None
    )
    return Html(f"<{name}{given}>{joined(children)}</{name}>")


def joined(parts: Iterable[str]) -> Html:
    """Returns markup, or escaped text, one after the other."""
    return Html("".join(part if isinstance(part, Html) else html.escape(part) for part in parts))


def section(title: str, *children: str) -> Html:
    """Returns a part of a page under its heading."""
    return element("section", element("h2", title), *children)


def paragraph(text: str) -> Html:
    """Returns a paragraph."""
    return element("p", text)


def table(headings: Sequence[str], rows: Iterable[Sequence[str]], caption: str = "") -> Html:
    """Returns a table whose first column names the rows; it scrolls where it is wider than the screen."""
    return _table(headings, ((row[0], [element("td", cell) for cell in row[1:]]) for row in rows), caption)


def shaded_table(
    headings: Sequence[str], names: Sequence[str], counts: Sequence[Sequence[int]], caption: str = ""
) -> Html:
    """Returns a table of counts, each cell as dark as its share of its row.

    Args:
        headings: Of all columns, the one with the names included.
        names: Of the rows.
        counts: Row by row.
        caption: Stands above the table.
    """

    def cells(row: Sequence[int]) -> list[Html]:
        total = max(1, sum(row))
        return [element("td", f"{count}", class_="shade", style=f"--share:{count / total:.3f}") for count in row]

    return _table(headings, ((name, cells(row)) for name, row in zip(names, counts, strict=True)), caption)


def _table(headings: Sequence[str], rows: Iterable[tuple[str, Sequence[Html]]], caption: str) -> Html:
    head = element("tr", *(element("th", heading, scope="col") for heading in headings))
    body = (element("tr", element("th", name, scope="row"), *cells) for name, cells in rows)
    title = element("caption", caption) if caption else ""
    # Can be reached by keyboard, since it may have to be scrolled.
    return element(
        "div", element("table", title, element("thead", head), element("tbody", *body)), class_="wide", tabindex=0
    )
