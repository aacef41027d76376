"""A click group and command that print this project's errors as one line instead of a traceback."""

from __future__ import annotations

import re
import sys
from collections.abc import Mapping
from io import TextIOWrapper
from typing import Any

import click

from acne_runtime.errors import AcneEdgeError, printable


class _OneLineErrors(click.Command):
    """Prints `AcneEdgeError` and `OSError` as one line on standard error and exits with the error's code."""

    def __init__(self, *args: Any, flags: Mapping[str, str] | None = None, **kwargs: Any):
        """Creates the command.

        Args:
            *args: As for `click.Command`.
            flags: Flags by library parameter, where they differ, such as `{"overlap": "--tile-overlap"}`.
            **kwargs: As for `click.Command`.
        """
        super().__init__(*args, **kwargs)
        own = [flag for option in self.params for flag in option.opts if flag.startswith("--")]
        self._flags = {flag[2:].replace("-", "_"): flag for flag in own} | dict(flags or {})

    def invoke(self, ctx: click.Context) -> Any:
        """Runs the command; see `click.Command.invoke`."""
        for stream in (sys.stdout, sys.stderr):
            if isinstance(stream, TextIOWrapper):  # printing a file name that is not valid text must not fail
                stream.reconfigure(errors="backslashreplace")
        try:
            return super().invoke(ctx)
        except BrokenPipeError:
            raise  # click exits quietly when the reader of a pipe has closed it
        except (AcneEdgeError, OSError) as error:
            raise self._to_click_error(error) from error

    def _to_click_error(self, error: Exception) -> click.ClickException:
        if isinstance(error, OSError) and error.filename is not None:
            return click.ClickException(printable(f"{error.filename}: {error.strerror}"))
        message = str(error)
        if isinstance(error, AcneEdgeError) and error.parameter is not None:
            message = re.sub(r"`(\w+)`", lambda match: self._flags.get(match[1], match[0]), message)
        shown = click.ClickException(printable(message))
        vars(shown)["exit_code"] = getattr(error, "exit_code", 1)  # click has it on the class
        return shown


class Command(_OneLineErrors):
    """A command that prints errors as one line."""


class Group(_OneLineErrors, click.Group):
    """A group of `Command`s."""

    command_class = Command
