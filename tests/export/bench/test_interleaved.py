from time import sleep

import pytest

from acne_export.bench.interleaved import interleaved_times


@pytest.mark.parametrize(("runs", "timed", "turns"), [(1, 5, 1), (10, 10, 2), (11, 15, 3)])
def test_all_take_whole_turns_of_five_behind_one_that_is_not_timed(runs, timed, turns):
    seen = []
    taken = interleaved_times({"a": lambda: seen.append("a"), "b": lambda: seen.append("b")}, runs)
    assert [len(times) for times in taken.values()] == [timed, timed]
    in_turns = [seen[start : start + 6] for start in range(0, len(seen), 6)]
    assert all(len(set(turn)) == 1 for turn in in_turns)
    assert len(in_turns) == 2 * turns


def test_what_takes_longer_has_more_milliseconds():
    taken = interleaved_times({"slow": lambda: sleep(0.02), "quick": lambda: None}, 5)
    assert min(taken["slow"]) >= 20 > max(taken["quick"])
