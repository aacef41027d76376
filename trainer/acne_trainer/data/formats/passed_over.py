"""What a reader does about a photograph or label that it cannot read: stop at it, or tell of it and go on."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeAlias

from acne_runtime.errors import SourceError

OnError: TypeAlias = Callable[[SourceError], None]
"""Is told of each photograph or label that cannot be read, which is then passed over."""


@contextmanager
def passed_over(on_error: OnError | None) -> Iterator[None]:
    """Hands a `SourceError` of its block to `on_error`; where there is none, the error goes on its way."""
    try:
        yield
    except SourceError as error:
        if on_error is None:
            raise
        on_error(error)
