"""The commands that show what a store holds."""

from __future__ import annotations

import ipaddress
from pathlib import Path

import click

from acne_monitor.cli.options import MODEL_SHA256, STORE, SUBJECT
from acne_monitor.exchange import csv_table, fhir
from acne_monitor.following import OUT_OF_VIEW
from acne_monitor.history import GROUPS, PERSISTING, Comparison, History, change
from acne_monitor.store.archive import write_archive
from acne_monitor.store.store import Store, StoreError
from acne_runtime.atomic_write import write_atomically
from acne_runtime.cli.click_command import Command
from acne_runtime.cli.text_table import headed
from acne_runtime.load import DEFAULT_MODEL
from acne_runtime.severity import NO_DIAGNOSIS

_ID_DIGITS = 8


def open_history(store: Store, code: str, model_name: str | None) -> History:
    """Reads a subject's history with the model of a name, or the newest.

    Raises:
        StoreError: There is no such subject, or no result of such a model.
    """
    history = History(store, code)
    if model_name is None:
        return history
    digests = [digest for digest, name in history.models.items() if model_name in (name, digest)]
    if not digests:
        known = ", ".join(dict.fromkeys(history.models.values())) or "none yet"
        raise StoreError(f"`model` {model_name}: no results of it; there are results of: {known}", parameter="model")
    return History(store, code, digests[-1])


@click.command(cls=Command)
@STORE
@SUBJECT
@MODEL_SHA256
def visits(folder: Path, code: str, model_name: str | None) -> None:
    """Lists the visits of SUBJECT with their counts."""
    with Store(folder) as store:
        history = open_history(store, code, model_name)
    if not history.visits:
        click.echo(f"no visits; add one with: acne-monitor add {folder} {code} PHOTOGRAPH")
        return
    rows = [["visit", "date", "views", *GROUPS, "total", "severity", "quality"]]
    for visit in history.visits:
        counts = visit.counts()
        severities = [f"{one.view} {one.severity['grade']}" for one in visit.photographs.values() if one.severity]
        hints = [hint for one in visit.photographs.values() for hint in one.quality["hints"]]
        rows.append(
            [
                visit.name,
                visit.date,
                ", ".join(visit.photographs) or "(other model)",
                *(str(counts[group]) if visit.photographs else "" for group in [*GROUPS, "total"]),
                ", ".join(severities),
                "; ".join(dict.fromkeys(hints)) or "good",
            ]
        )
    click.echo(headed(rows, words=len(rows[0])))
    click.echo(NO_DIAGNOSIS)


@click.command(cls=Command)
@STORE
@SUBJECT
@click.option("--from", "from_visit", metavar="VISIT", help="V1, V2, ... or a date.  [default: the first]")
@click.option("--to", "to_visit", metavar="VISIT", help="[default: the last]")
@MODEL_SHA256
def compare(folder: Path, code: str, from_visit: str | None, to_visit: str | None, model_name: str | None) -> None:
    """Compares two visits of SUBJECT, lesion by lesion."""
    with Store(folder) as store:
        history = open_history(store, code, model_name)
        if len(history.visits) < 2 and from_visit is None and to_visit is None:
            raise StoreError(f"{code} has {len(history.visits)} visit(s); two are needed to compare")
        earlier = history.visit(from_visit) if from_visit else history.visits[0]
        later = history.visit(to_visit) if to_visit else history.visits[-1]
        comparisons = history.compare(earlier, later)
    click.echo(f"{code}: {earlier.name} ({earlier.date}) to {later.name} ({later.date})")
    for comparison in comparisons:
        _print_comparison(comparison)
    _print_change(comparisons)
    click.echo(NO_DIAGNOSIS)


def _print_comparison(comparison: Comparison) -> None:
    if comparison.refused is not None:
        click.echo(f"{comparison.view}: not comparable: {comparison.refused}")
        return
    rows = [["state", "type", "observation", "corrected by"]]
    for pair in sorted(comparison.pairs, key=lambda pair: (pair.state, pair.kind)):
        observed = pair.later or pair.earlier
        assert observed is not None
        if pair.state not in (PERSISTING, OUT_OF_VIEW) or observed.by:
            rows.append([pair.state, pair.kind, observed.id[:_ID_DIGITS], observed.by or ""])
    states = ", ".join(
        f"{comparison.count(state)} {state}" for state in dict.fromkeys(pair.state for pair in comparison.pairs)
    )
    click.echo(f"{comparison.view}: {states or 'no lesions'}")
    if len(rows) > 1:
        click.echo(headed(rows, words=len(rows[0])))


def _print_change(comparisons: list[Comparison]) -> None:
    for name, kinds in [("all lesions", None), *GROUPS.items()]:
        found = change(comparisons, kinds)
        if found is not None and (kinds is None or found.earlier or found.later):
            click.echo(f"{name}: {found}")


@click.command(cls=Command)
@STORE
@SUBJECT
@click.option("-o", "--out", type=click.Path(dir_okay=False, path_type=Path), required=True, metavar="FILE.html")
@click.option("--no-photos", is_flag=True, help="Leave the photographs out.")
@MODEL_SHA256
def report(folder: Path, code: str, out: Path, no_photos: bool, model_name: str | None) -> None:
    """Writes a report of SUBJECT: one HTML file without scripts, to read or print."""
    from acne_monitor.cli.requirements import require_monitor_extra

    require_monitor_extra()
    from acne_monitor.reports.report import render_report

    with Store(folder) as store:
        page = render_report(store, open_history(store, code, model_name), with_photographs=not no_photos)
    write_atomically(out, page.encode())
    click.echo(f"{out}: {len(page.encode()) / 1e6:.1f} MB")


@click.command(cls=Command)
@STORE
@click.argument("code", metavar="[SUBJECT]", required=False)
@click.option("--fhir", "as_fhir", is_flag=True, help="A FHIR R4 bundle of SUBJECT, as JSON.")
@click.option("--csv", "as_csv", is_flag=True, help="A table of SUBJECT's visits.")
@click.option("--all", "everything", is_flag=True, help="The whole store as a ZIP file, for `acne-monitor import`.")
@click.option("--with-photos", is_flag=True, help="FHIR: put the photographs in too.")
@click.option("-o", "--out", type=click.Path(dir_okay=False, path_type=Path), required=True, metavar="FILE")
@MODEL_SHA256
def export(
    folder: Path,
    code: str | None,
    as_fhir: bool,
    as_csv: bool,
    everything: bool,
    with_photos: bool,
    out: Path,
    model_name: str | None,
) -> None:
    """Writes what a store holds in a form that other programs read."""
    if as_fhir + as_csv + everything != 1:
        raise click.UsageError("give one of --fhir, --csv and --all")
    if everything == (code is not None):
        raise click.UsageError("--all takes the whole store" if everything else "name a SUBJECT")
    with Store(folder) as store:
        if code is None:
            write_archive(store, out)
        else:
            history = open_history(store, code, model_name)
            text = fhir.to_json(store, history, with_photos) if as_fhir else csv_table.to_csv(history)
            write_atomically(out, text.encode())
    click.echo(f"{out}: {out.stat().st_size / 1e6:.2f} MB")


@click.command(cls=Command)
@STORE
@click.option("--camera", type=click.IntRange(min=0), default=0, show_default=True, metavar="N")
@click.option("--source", metavar="FILE|URL", help="A video or a stream instead of a camera; a file is repeated.")
@click.option("--model", "model_name", default=DEFAULT_MODEL, show_default=True, metavar="NAME|FILE")
@click.option("--port", type=click.IntRange(0, 65535), default=0, show_default=True, help="0: any that is free.")
@click.option("--host", default="127.0.0.1", show_default=True, help="Another one needs --cert and --key.")
@click.option("--cert", type=click.Path(exists=True, dir_okay=False, path_type=Path), metavar="PEM")
@click.option("--key", type=click.Path(exists=True, dir_okay=False, path_type=Path), metavar="PEM")
def serve(
    folder: Path,
    camera: int,
    source: str | None,
    model_name: str,
    port: int,
    host: str,
    cert: Path | None,
    key: Path | None,
) -> None:
    """Opens a page on this device: live view, history, comparison and report."""
    from acne_monitor.cli.requirements import require_monitor_extra

    require_monitor_extra()
    if (cert is None) != (key is None):
        raise click.UsageError("--cert and --key go together")
    if cert is None and not _is_loopback(host):
        raise click.UsageError(f"--host {host} is seen by other devices, which needs --cert and --key")
    from acne_monitor.serve.server import run_server

    run_server(folder, source if source is not None else camera, model_name, host, port, cert, key)


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
