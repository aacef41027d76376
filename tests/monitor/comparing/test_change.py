import pytest

from acne_monitor.comparing.change import Change, change_error, count_error


@pytest.mark.parametrize(
    ("new", "resolved", "error", "verdict"),
    [(0, 0, 1, "within measuring error"), (1, 9, 5, "lower"), (9, 1, 5, "higher"), (1, 6, 5, "within measuring error")],
)
def test_the_verdict_knows_the_measuring_error(new, resolved, error, verdict):
    assert Change(20, 20 + new - resolved, new, resolved, error).verdict == verdict


def test_percent_is_given_for_enough_lesions_only_and_never_without_its_error():
    assert Change(9, 4, 0, 5, 3.0).percent is None
    assert str(Change(9, 4, 0, 5, 3.0)) == "-5 ± 3.0: lower"
    assert str(Change(25, 17, 0, 8, 5.0)) == "-8 ± 5.0 (-32 % ± 20 %): lower"


def test_the_errors_grow_with_the_root_of_the_counts():
    assert change_error(40, 40) == pytest.approx(2 * change_error(10, 10))
    assert change_error(0, 0) == 1  # one lesion more or less is never a change
    assert count_error(40, 1) == pytest.approx(2 * count_error(10, 1)) and count_error(0, 1) > 0


def test_a_burst_counts_more_steadily():
    assert count_error(20, 10) < 0.75 * count_error(20, 1)
