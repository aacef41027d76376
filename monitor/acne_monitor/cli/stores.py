"""The commands that make, check and empty stores."""

from __future__ import annotations

import hashlib
from pathlib import Path

import click

from acne_monitor.cli.options import BY, STORE, SUBJECT
from acne_monitor.following import find_subject
from acne_monitor.store import archive, checks
from acne_monitor.store.store import Store, StoreError, now
from acne_runtime.cli.click_command import Command, Group

_CODE_MAX = 64


@click.command(cls=Command)
@STORE
def init(folder: Path) -> None:
    """Makes an empty store in the folder STORE."""
    Store.create(folder).close()
    click.echo(f"{folder}: an empty store, readable by you only. Encryption and backups are the disk's.")


@click.group(cls=Group)
def subject() -> None:
    """Adds and lists subjects."""


@subject.command("add")
@STORE
@SUBJECT
@click.option(
    "--consent",
    "consent_file",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    required=True,
    metavar="FILE",
    help="The text that the person agreed to; its digest is kept.",
)
@click.option("--purpose", default="monitoring", show_default=True, help="What they agreed to.")
@click.option("--retain-until", metavar="DATE", help="When the record is to be looked at for erasure.")
@BY
def add_subject(
    folder: Path, code: str, consent_file: Path, purpose: str, retain_until: str | None, by: str | None
) -> None:
    """Adds the subject SUBJECT: a code, not a name."""
    if not code.strip() or len(code) > _CODE_MAX or not code.isprintable():
        raise StoreError(f"`code` {code!r}: a code of 1 to {_CODE_MAX} printable characters is needed")
    digest = hashlib.sha256(consent_file.read_bytes()).hexdigest()
    with Store(folder) as store:
        if store.one("SELECT 1 FROM subject WHERE code = ?", code):
            raise StoreError(f"subject {code!r} is in the store already")
        with store.transaction() as audit:
            row = store.insert("subject", code=code, created=now(), retain_until=retain_until)
            store.insert(
                "consent", subject=row, purpose=purpose, text_sha256=digest, given_at=now(), by=by or "this user"
            )
            audit("subject", f"subject {row}", by)
    click.echo(f"{code}: added")


@subject.command("list")
@STORE
def list_subjects(folder: Path) -> None:
    """Lists the subjects, with their visits and consent."""
    with Store(folder) as store:
        rows = store.all(
            "SELECT code, retain_until, (SELECT COUNT(*) FROM visit WHERE subject = subject.id) AS visits, "
            "(SELECT COUNT(*) FROM consent WHERE subject = subject.id AND withdrawn_at IS NULL) AS consents "
            "FROM subject ORDER BY code"
        )
    for row in rows:
        consent = "" if row["consents"] else ", consent withdrawn"
        until = f", kept until {row['retain_until']}" if row["retain_until"] else ""
        click.echo(f"{row['code']}: {row['visits']} visit(s){consent}{until}")
    if not rows:
        click.echo(f"no subjects; add one with: acne-monitor subject add {folder} CODE --consent FILE")


@click.command(cls=Command)
@STORE
@SUBJECT
@click.option("--yes", is_flag=True, help="Do not ask.")
@BY
def erase(folder: Path, code: str, yes: bool, by: str | None) -> None:
    """Removes a subject and all photographs, and proves that no file of the store holds them.

    Backups and the blocks of a worn disk are beyond its reach.
    """
    with Store(folder) as store:
        find_subject(store, code)
        if not yes:
            click.confirm(f"Remove {code} with all visits and photographs? This cannot be undone.", abort=True)
        counts = checks.erase(store, code, by)
    click.echo(
        f"{code}: erased ({', '.join(f'{rows} {table}' for table, rows in counts.items())}); no trace in {folder}"
    )


@click.command(cls=Command)
@STORE
def verify(folder: Path) -> None:
    """Checks the database, every photograph and the audit trail."""
    with Store(folder) as store:
        problems = checks.verify(store)
        photos = store.all("SELECT COUNT(*) FROM photo")[0][0]
        lines = store.all("SELECT COUNT(*) FROM audit")[0][0]
    for problem in problems:
        click.echo(problem, err=True)
    if problems:
        raise click.ClickException(f"{len(problems)} problem(s) in {folder}")
    click.echo(f"{folder}: {photos} photograph(s) and {lines} audit line(s), all as written")


@click.command("import", cls=Command)
@STORE
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
def import_(folder: Path, file: Path) -> None:
    """Makes the store STORE from FILE, which `acne-monitor export --all` wrote."""
    with archive.read_archive(file, folder) as store:
        subjects = store.all("SELECT COUNT(*) FROM subject")[0][0]
    click.echo(f"{folder}: {subjects} subject(s)")
