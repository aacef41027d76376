"""Calls a function for many items in threads, a bounded number ahead of who takes the results."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import islice
from typing import TypeVar

Item = TypeVar("Item")
Value = TypeVar("Value")


def cpu_count() -> int:
    """Returns the number of CPU cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def map_in_order(function: Callable[[Item], Value], items: Iterable[Item], threads: int) -> Iterator[Future[Value]]:
    """Calls a function for each item and yields the finished calls in the order of the items.

    Args:
        function: Called in a thread.
        items: Taken by the caller's thread, at most `threads` + 1 ahead of what was yielded.
        threads: How many calls run at once, from 1.

    Yields:
        Finished futures: `result()` returns the value or raises what the function raised.

    Raises:
        Exception: What `items` raised, after the calls for all items before it.
    """
    remaining = iter(items)
    ahead: deque[Future[Value]] = deque()
    failure: Exception | None = None
    with ThreadPoolExecutor(threads) as executor:
        try:
            while True:
                try:
                    for item in islice(remaining, threads + 1 - len(ahead)):
                        ahead.append(executor.submit(function, item))
                except Exception as error:  # raised below, when what came before it has been yielded
                    failure, remaining = error, iter(())
                if not ahead:
                    break
                future = ahead.popleft()
                future.exception()  # waits
                yield future
        finally:
            for future in ahead:
                future.cancel()
    if failure is not None:
        raise failure
