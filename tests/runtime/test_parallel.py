import threading
import time

import pytest

from acne_runtime.parallel import map_in_order


@pytest.mark.parametrize("threads", [1, 2, 5])
def test_results_come_in_order_and_a_failed_call_is_one_of_them(threads):
    def slower_first(number):
        time.sleep(0.002 * (number % 3))
        return 10 // (number - 4)

    finished = list(map_in_order(slower_first, range(20), threads))
    assert isinstance(finished[4].exception(), ZeroDivisionError)
    assert [one.result() for one in finished[5:]] == [10 // (number - 4) for number in range(5, 20)]


@pytest.mark.parametrize("threads", [1, 3])
def test_no_more_than_a_few_are_taken_ahead(threads):
    taken = 0

    def items():
        nonlocal taken
        for number in range(100):
            taken = number + 1
            yield number

    for yielded, _ in enumerate(map_in_order(abs, items(), threads), 1):
        assert taken <= yielded + threads


def test_what_the_items_raise_comes_after_the_results_before_it():
    def items():
        yield from range(3)
        raise OSError("the disk is gone")

    seen = []
    with pytest.raises(OSError, match="gone"):
        for one in map_in_order(abs, items(), 4):
            seen.append(one.result())
    assert seen == [0, 1, 2]


def test_calls_run_at_once():
    barrier = threading.Barrier(3, timeout=10)
    assert len(list(map_in_order(lambda _: barrier.wait(), range(6), 3))) == 6


def test_threads_end_when_nobody_takes_the_results_any_more():
    before = threading.active_count()
    calls = map_in_order(abs, iter(range(10**9)), 4)
    next(calls)
    calls.close()
    assert threading.active_count() == before
