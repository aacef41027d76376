import pytest

from acne_monitor.comparing.change import Change, measuring_error


@pytest.mark.parametrize(
    ("new", "resolved", "error", "verdict"),
    [(0, 0, 1, "within measuring error"), (1, 9, 5, "lower"), (9, 1, 5, "higher"), (1, 6, 5, "within measuring error")],
)
def test_the_verdict_knows_the_measuring_error(new, resolved, error, verdict):
    assert Change(20, 20 + new - resolved, new, resolved, error).verdict == verdict


def test_percent_is_given_for_enough_lesions_only_and_never_without_its_error():
    assert Change(9, 4, 0, 5, 3.0).percent is None
    assert str(Change(9, 4, 0, 5, 3.0)) == "-5 ± 3: lower"
    assert str(Change(25, 17, 0, 8, 5.0)) == "-8 ± 5 (-32 % ± 20 %): lower"


def test_the_error_grows_with_the_count_and_falls_with_the_frames():
    single, burst = measuring_error((20, 20), (1, 1)), measuring_error((20, 20), (10, 10))
    assert single > burst > measuring_error((5, 5), (10, 10))
    assert burst == pytest.approx(1.96 * (0.11 * 40) ** 0.5)
    assert measuring_error((0, 0), (10, 10)) >= 1  # one lesion more or less is never a change
