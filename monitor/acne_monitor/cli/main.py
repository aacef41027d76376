"""`acne-monitor`: photographs of visits become a history, a comparison and a report."""

from __future__ import annotations

import logging

import click

from acne_monitor.cli.records import assess, consent, correct, note
from acne_monitor.cli.results import compare, export, report, serve, visits
from acne_monitor.cli.stores import erase, import_, init, subject, verify
from acne_monitor.cli.visits import add, rescore
from acne_runtime import __version__
from acne_runtime.cli.click_command import Group
from acne_runtime.cli.log_handler import log_to_stderr


@click.group(cls=Group, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(__version__, prog_name="acne-monitor")
@click.pass_context
def main(ctx: click.Context) -> None:
    """Follows acne lesions from visit to visit. Everything stays in one folder on this device.

    For education and monitoring only. Not a medical diagnosis.
    """
    ctx.with_resource(log_to_stderr("acne_monitor", logging.INFO))


for command in (
    init,
    subject,
    consent,
    add,
    visits,
    compare,
    correct,
    note,
    assess,
    report,
    export,
    import_,
    rescore,
    erase,
    verify,
    serve,
):
    main.add_command(command)

if __name__ == "__main__":
    main()
