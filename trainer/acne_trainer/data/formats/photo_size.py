"""The size of a photograph, from its header."""

from __future__ import annotations

from pathlib import Path

from PIL import Image, UnidentifiedImageError

from acne_runtime.errors import SourceError

_ORIENTATION = 0x0112  # the EXIF tag
_QUARTER_TURNS = frozenset({5, 6, 7, 8})


def photo_size(file: Path) -> tuple[int, int]:
    """Returns the upright width and height in pixels without decoding the photograph.

    Raises:
        SourceError: It is missing, empty, or no picture.
    """
    try:
        with Image.open(file) as image:
            width, height = image.size
            turned = image.getexif().get(_ORIENTATION) in _QUARTER_TURNS
    except UnidentifiedImageError:
        problem = "not a photograph, or a damaged one" if file.stat().st_size else "the file is empty"
        raise SourceError(f"{file}: {problem}") from None
    except (OSError, Image.DecompressionBombError) as error:
        raise SourceError(f"{file}: {getattr(error, 'strerror', None) or error}") from None
    return (height, width) if turned else (width, height)
