"""Errors meant for people: one line that names the file, flag or value and the way out."""

from __future__ import annotations


class AcneEdgeError(Exception):
    """Base of every error this project raises on purpose; the commands print its message and exit with `exit_code`."""

    exit_code = 1


def printable(text: str) -> str:
    """Returns text for a line of its own: what would break it, such as a line break in a file's name, is a `?`."""
    return "".join(one if one.isprintable() else "?" for one in text)


def one_line(error: BaseException) -> str:
    """Returns what an error of somebody else's says, on one line."""
    text = "".join(one if one.isprintable() else " " for one in str(error))
    return " ".join(text.split()) or type(error).__name__


class SourceError(AcneEdgeError):
    """A photograph, folder, video or camera cannot be read."""


class ModelError(AcneEdgeError):
    """A model file or its manifest is missing, damaged, or does not fit the other."""


class BackendError(AcneEdgeError):
    """An inference backend or device is missing or refuses the model."""
