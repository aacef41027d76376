"""`acne-train report` and `acne-train compare`: looking at finished runs."""

from __future__ import annotations

from pathlib import Path

import click

from acne_runtime.atomic_write import write_atomically
from acne_runtime.cli.click_command import Command
from acne_trainer.cli.requirements import require_training_extra

_RUN = click.Path(path_type=Path)
_FILE = click.Path(dir_okay=False, path_type=Path)


@click.command(cls=Command)
@click.argument("run", type=_RUN)
@click.option("--out", type=_FILE, metavar="FILE", help="The page to write.  [default: RUN/report.html]")
@click.option("--split", type=click.Choice(["valid", "test"]), default="test", show_default=True)
@click.option("--with-photos", is_flag=True, help="Put photographs of people into the page, boxes drawn on them.")
def report(run: Path, out: Path | None, split: str, with_photos: bool) -> None:
    """Writes one HTML page about the run in RUN, readable offline.

    Ground truth is read from the data set that the run was trained on, if it still exists.
    """
    require_training_extra()
    from acne_trainer.reports.run_report import write_report

    out = out or run / "report.html"
    for gap in write_report(run, out, with_photos, split):
        click.echo(gap, err=True)
    click.echo(f"wrote {out}")


@click.command(cls=Command)
@click.argument("runs", type=_RUN, nargs=-1, required=True, metavar="RUN...")
@click.option("--csv", "csv_file", type=_FILE, metavar="FILE", help="Write the table here too, as CSV.")
@click.option("--json", "json_file", type=_FILE, metavar="FILE", help="Write the table here too, as JSON.")
def compare(runs: tuple[Path, ...], csv_file: Path | None, json_file: Path | None) -> None:
    """Prints the test metrics of trained runs side by side, with the trivial baseline below them."""
    require_training_extra()
    from acne_trainer.reports import compare as table
    from acne_trainer.run_folder import read_run

    finished = [read_run(run) for run in runs]
    rows = table.comparison(finished)
    for file, form in ((csv_file, table.as_csv), (json_file, table.as_json)):
        if file:
            write_atomically(file, form(rows).encode())
    for line in table.warnings(finished):
        click.echo(line, err=True)
    click.echo(table.as_text(rows), nl=False)
