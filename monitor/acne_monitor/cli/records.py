"""The commands by which people add what they know."""

from __future__ import annotations

from datetime import date
from pathlib import Path

import click

from acne_monitor import history
from acne_monitor.cli.options import BY, STORE, SUBJECT
from acne_monitor.following import NOT_A_LESION, OUT_OF_VIEW, find_subject
from acne_monitor.history import STATES, History
from acne_monitor.store.store import Store, StoreError, now
from acne_runtime.cli.click_command import Command

_STATES = [state.replace(" ", "-") for state in (*STATES, NOT_A_LESION) if state != OUT_OF_VIEW]


@click.command(cls=Command)
@STORE
@click.argument("observation")
@click.option("--state", type=click.Choice(_STATES), required=True)
@BY
def correct(folder: Path, observation: str, state: str, by: str | None) -> None:
    """Corrects a lesion at a visit; OBSERVATION is an id that `acne-monitor compare` prints."""
    with Store(folder) as store:
        history.correct(store, observation, state, by)
    click.echo(f"{observation}: {state}")


@click.command(cls=Command, flags={"from_date": "--from", "to_date": "--to"})
@STORE
@SUBJECT
@click.option("--treatment", required=True, metavar="TEXT", help="What was taken or done.")
@click.option("--from", "from_date", required=True, metavar="DATE")
@click.option("--to", "to_date", metavar="DATE", help="The last day.  [default: goes on]")
@BY
def note(folder: Path, code: str, treatment: str, from_date: str, to_date: str | None, by: str | None) -> None:
    """Notes a treatment, for the chart's time axis. Nothing is concluded from it."""
    first, last = _date("from_date", from_date), None if to_date is None else _date("to_date", to_date)
    if last is not None and last < first:
        raise StoreError(f"`to_date` {last}: before {first}", parameter="to_date")
    with Store(folder) as store:
        subject = find_subject(store, code)
        with store.transaction() as audit:
            row = store.insert("treatment", subject=subject, text=treatment, from_date=first, to_date=last)
            audit("note", f"treatment {row}", by)
    click.echo(f"{code}: {treatment}, {first} to {last or 'now'}")


@click.command(cls=Command)
@STORE
@SUBJECT
@click.argument("visit")
@click.option("--iga", type=click.IntRange(0, 4), help="Investigator's Global Assessment; never computed here.")
@click.option("--inflammatory", type=click.IntRange(min=0), help="Papules and pustules counted by a person.")
@click.option("--noninflammatory", type=click.IntRange(min=0), help="Comedones counted by a person.")
@click.option("--nodules", type=click.IntRange(min=0))
@click.option("--text")
@click.option("--by", required=True, metavar="NAME", help="Who assessed.")
def assess(
    folder: Path,
    code: str,
    visit: str,
    iga: int | None,
    inflammatory: int | None,
    noninflammatory: int | None,
    nodules: int | None,
    text: str | None,
    by: str,
) -> None:
    """Adds a clinician's own assessment of VISIT, such as V3; it stands beside the model's counts."""
    values = {
        "iga": iga,
        "inflammatory": inflammatory,
        "noninflammatory": noninflammatory,
        "nodules": nodules,
        "text": text,
    }
    if all(value is None for value in values.values()):
        raise click.UsageError("nothing to add: give --iga, a count, or --text")
    with Store(folder) as store:
        chosen = History(store, code).visit(visit)
        with store.transaction() as audit:
            row = store.insert("assessment", visit=chosen.id, by=by, at=now(), **values)
            audit("assess", f"assessment {row}", by)
    click.echo(f"{chosen.name} {chosen.date}: assessed by {by}")


@click.command(cls=Command)
@STORE
@SUBJECT
@click.option("--withdraw", is_flag=True, required=True, help="The person no longer agrees.")
@BY
def consent(folder: Path, code: str, withdraw: bool, by: str | None) -> None:
    """Notes that a subject's consent is withdrawn; whether to erase the record is the operator's policy."""
    with Store(folder) as store:
        subject = find_subject(store, code)
        with store.transaction() as audit:
            store.database.execute(
                "UPDATE consent SET withdrawn_at = ? WHERE subject = ? AND withdrawn_at IS NULL", (now(), subject)
            )
            audit("withdraw", f"subject {subject}", by)
    click.echo(f"{code}: consent withdrawn; to remove the record: acne-monitor erase {folder} {code}")


def _date(parameter: str, text: str) -> str:
    try:
        return date.fromisoformat(text).isoformat()
    except ValueError as error:
        raise StoreError(f"`{parameter}` {text}: no date such as 2026-11-25", parameter=parameter) from error
