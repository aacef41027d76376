"""A short run of `tests/fuzz/fuzz.py`, which does it by the hundred thousand."""

import pytest
from fuzz.fuzz import Target, fuzz, targets

from acne_runtime.cli.native_logs import silence_native_logs
from acne_runtime.errors import AcneEdgeError

TARGETS = targets()


@pytest.mark.parametrize("target", TARGETS, ids=lambda one: one.name)
def test_damaged_input_is_accepted_or_refused_in_one_line(target):
    with silence_native_logs():
        counts, faults = fuzz(target, 400)
    assert faults == []
    assert counts["accepted"] > 0
    assert counts["accepted"] + counts["refused"] == 400


@pytest.mark.parametrize(
    "raised", [ValueError("x"), AcneEdgeError("two\nlines"), None], ids=["another error", "two lines", "nothing"]
)
def test_what_a_fault_is(raised):
    def read(rng):
        if raised:
            raise raised

    counts, faults = fuzz(Target("made up", 1.0, read), 3)
    assert len(faults) == counts["uncaught"] == (3 if raised else 0)
