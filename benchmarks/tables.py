"""The tables of benchmarks/README.md: each is written by its benchmark, from what it measured.

A table stands behind a comment that names its file: `<!-- results/cold_start.json -->`.
"""

from __future__ import annotations

import datetime
import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path

import click

from acne_runtime.parallel import cpu_count

README = Path(__file__).with_name("README.md")
RESULTS = Path(__file__).with_name("results")
_TABLE = re.compile(r"<!-- results/([\w-]+)\.json -->\n(?:\|.*\n)*")

Row = Mapping[str, str | int | float]
"""Values by column; numbers as they shall be shown, rounded."""


def publish(name: str, rows: Sequence[Row], details: object = None) -> None:
    """Prints a table, keeps it as `results/NAME.json`, and puts it into the README.

    Args:
        name: Of the file.
        rows: All with the same columns.
        details: JSON values behind the table; kept in the file.
    """
    record = {"date": datetime.date.today().isoformat(), "cores": cpu_count(), "rows": rows, "details": details}
    (RESULTS / f"{name}.json").write_text(json.dumps(record, indent=1) + "\n")
    README.write_text(with_tables(README.read_text()))
    click.echo(as_markdown(rows))


def with_tables(text: str) -> str:
    """Returns the README with the tables that the files in `results` hold."""

    def table(place: re.Match[str]) -> str:
        file = RESULTS / f"{place[1]}.json"
        if not file.exists():
            return place[0]
        rows = json.loads(file.read_text())["rows"]
        return f"<!-- results/{place[1]}.json -->\n{as_markdown(rows)}\n"

    return _TABLE.sub(table, text)


def as_markdown(rows: Sequence[Row]) -> str:
    """Returns a Markdown table without a last line break."""
    lines = [list(rows[0]), ["---"] * len(rows[0]), *([_shown(value) for value in row.values()] for row in rows)]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


def _shown(value: str | int | float) -> str:
    return value if isinstance(value, str) else f"{value:,}"
