"""`acne-train`: photographs become a trained model in a run folder."""

from __future__ import annotations

import os

import click

from acne_runtime import __version__
from acne_runtime.cli.click_command import Group
from acne_trainer.cli.data import data
from acne_trainer.cli.evaluate import counts, evaluate, thresholds
from acne_trainer.cli.fit import fit, reproduce
from acne_trainer.cli.report import compare, report


@click.group(cls=Group, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(__version__, prog_name="acne-train")
def main() -> None:
    """Trains the models of Acne Edge and scores them."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")


for command in (data, fit, reproduce, evaluate, thresholds, counts, report, compare):
    main.add_command(command)

if __name__ == "__main__":
    main()
