"""A click group and command that print this project's errors as one line instead of a traceback."""

from __future__ import annotations

import sys
from io import TextIOWrapper
from typing import Any

import click

from acne_runtime.errors import AcneEdgeError, printable


def _as_click_error(error: Exception) -> click.ClickException:
    if isinstance(error, OSError) and error.filename is not None:
        return click.ClickException(printable(f"{error.filename}: {error.strerror}"))
    shown = click.ClickException(printable(str(error)))
    vars(shown)["exit_code"] = getattr(error, "exit_code", 1)  # click has it on the class
    return shown


class _OneLine(click.Command):
    """Turns `AcneEdgeError` and `OSError` into one line on standard error and the error's exit code."""

    def invoke(self, ctx: click.Context) -> Any:
        """Runs the command; see `click.Command.invoke`."""
        for stream in (sys.stdout, sys.stderr):
            if isinstance(stream, TextIOWrapper):  # or a file's name that is no text ends the run when it is printed
                stream.reconfigure(errors="backslashreplace")
        try:
            return super().invoke(ctx)
        except BrokenPipeError:
            raise  # click ends quietly when the reader of a pipe has gone
        except (AcneEdgeError, OSError) as error:
            raise _as_click_error(error) from error


class Command(_OneLine):
    """A command whose errors are one line."""


class Group(_OneLine, click.Group):
    """A group of `Command`s."""

    command_class = Command
