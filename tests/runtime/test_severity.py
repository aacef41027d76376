import pytest

from acne_runtime.severity import GRADES, Severity, grade_of


@pytest.mark.parametrize(
    ("lesions", "grade"),
    [
        (0, "mild"),
        (5, "mild"),
        (6, "moderate"),
        (20, "moderate"),
        (21, "severe"),
        (50, "severe"),
        (51, "very severe"),
        (500, "very severe"),
    ],
)
def test_the_grades_are_those_of_hayashi(lesions, grade):
    assert grade_of(lesions) == grade


@pytest.mark.parametrize(
    ("one", "words"),
    [
        (Severity("mild", 1), "mild (about 1 papules and pustules)"),
        (Severity("mild", 1, (0, 4)), "mild (about 1 papules and pustules; 90 %: 0 to 4, mild)"),
        (
            Severity("moderate", 12, (4, 31)),
            "moderate (about 12 papules and pustules; 90 %: 4 to 31, mild to severe)",
        ),
        (Severity("mild", 1, types=("papules",)), "mild (about 1 inflammatory lesions)"),
    ],
)
def test_it_reads_as_words(one, words):
    assert str(one) == words


@pytest.mark.parametrize(("lesions", "more"), [(0, 6), (5, 1), (6, 15), (50, 1), (51, None)])
def test_it_says_how_many_lesions_more_make_the_next_grade(lesions, more):
    one = Severity(grade_of(lesions), lesions)
    assert one.lesions_to_next_grade == more
    assert one.to_dict().get("lesions_to_next_grade") == more
    assert more is None or grade_of(lesions + more) == GRADES[GRADES.index(one.grade) + 1]


def test_there_are_four_grades():
    assert {grade_of(count) for count in range(100)} == set(GRADES)


@pytest.mark.parametrize(
    ("interval", "words"), [(None, "mild"), ((0, 4), "mild"), ((2, 21), "mild (mild to severe)")], ids=str
)
def test_a_picture_shows_the_grades_that_it_may_be(interval, words):
    assert Severity("mild", 1, interval).grades == words
