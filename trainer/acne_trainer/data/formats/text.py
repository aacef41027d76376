"""Text files of a labelled set."""

from __future__ import annotations

from pathlib import Path

from acne_runtime.errors import SourceError


def read_text(file: Path, expected: str) -> str:
    """Reads UTF-8 text; a byte-order mark is no part of it.

    Args:
        file: The file.
        expected: What should have been there, for the message if nothing is.

    Raises:
        SourceError: It is not there, or not UTF-8.
    """
    try:
        return file.read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        raise SourceError(f"{file}: not found; {expected}") from None
    except UnicodeDecodeError as error:
        raise SourceError(f"{file}: not UTF-8 text ({error.reason} at byte {error.start})") from None


def shortened(text: str, longest: int = 80) -> str:
    """Returns the text as an error message quotes it: whole, or its beginning."""
    return text if len(text) <= longest else f"{text[:longest]}..."
