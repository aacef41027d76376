"""Tables as text."""

from __future__ import annotations

from collections.abc import Iterator, Sequence


def aligned(rows: Sequence[Sequence[str]], words: int = 1) -> Iterator[str]:
    """Yields rows whose columns stand under each other: the first `words` columns to the left, others to the right."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        cells = (
            cell.ljust(width) if place < words else cell.rjust(width)
            for place, (cell, width) in enumerate(zip(row, widths, strict=True))
        )
        yield "  ".join(cells).rstrip()


def headed(rows: Sequence[Sequence[str]], words: int = 1) -> str:
    """Returns aligned lines with the first underlined as a heading."""
    heading, *lines = aligned(rows, words)
    rule = "  ".join("-" * max(map(len, column)) for column in zip(*rows, strict=True))
    return "\n".join([heading, rule, *lines])
