"""The project's errors: each message is one line that names the file, parameter or value, and the way out."""

from __future__ import annotations


class AcneEdgeError(Exception):
    """Base class of every error raised on purpose; the commands print its message and exit with `exit_code`.

    Attributes:
        parameter: The parameter at fault, if one is. Parameters stand in backticks in such a message; a command shows
            its flags in their place.
    """

    exit_code = 1

    def __init__(self, message: str, *, parameter: str | None = None):
        super().__init__(message)
        self.parameter = parameter


class SourceError(AcneEdgeError):
    """An image, folder, video, camera or stream cannot be read."""


class ModelError(AcneEdgeError):
    """A model file or its manifest is missing or corrupt, or the two do not match."""


class BackendError(AcneEdgeError):
    """An inference backend or device is not available, or does not accept the model."""


def printable(text: str) -> str:
    """Returns the text on one line: characters that cannot be printed, such as line breaks, become `?`."""
    return "".join(character if character.isprintable() else "?" for character in text)


def one_line(error: BaseException) -> str:
    """Returns the message of another library's error on one line, or the error's type where it has none."""
    text = "".join(character if character.isprintable() else " " for character in str(error))
    return " ".join(text.split()) or type(error).__name__
