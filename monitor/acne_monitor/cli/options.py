"""Arguments and options that several commands share."""

from __future__ import annotations

from pathlib import Path

import click

STORE = click.argument("folder", metavar="STORE", type=click.Path(path_type=Path))
SUBJECT = click.argument("code", metavar="SUBJECT")
BY = click.option("--by", metavar="NAME", help="Who does it, for the audit trail.  [default: this user]")
MODEL_SHA256 = click.option(
    "--model",
    "model_name",
    metavar="NAME",
    help="The model whose results are shown.  [default: that of the newest visit]",
)
