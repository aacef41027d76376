from dataclasses import replace

import pytest
from support.images import picture

from acne_runtime.disclaimer import NO_DIAGNOSIS
from acne_runtime.frame import Frame
from acne_runtime.result import Label, Lesion, Result, Timing
from acne_runtime.severity import Severity
from acne_runtime.sinks.console import ConsoleSummary, describe

CLASSES = ("comedones", "nodules", "papules", "pustules")
LESIONS = (
    Lesion("papules", 0.9, (10.0, 12.0, 40.0, 44.0)),
    Lesion("comedones", 0.5, (0.0, 0.0, 8.5, 7.25)),
    Lesion("papules", 0.4, (50.0, 60.0, 80.0, 90.0)),
)
LABELS = tuple(Label(name, score, score > 0.5) for name, score in zip(CLASSES, (0.9, 0.2, 0.7, 0.1), strict=True))


def answer(source="a.jpg", index=0, *, lesions=LESIONS, labels=None, size=(120, 160)):
    return Result(source, index, index / 10, *size[::-1], "tiny", CLASSES, lesions, labels, Timing(1.0, 2.0, 3.0))


def labelled(**kwargs):
    return answer(lesions=None, labels=LABELS, **kwargs)


def frame(source="a.jpg", index=0, *, size=(120, 160)):
    return Frame(picture(*size), str(source), index, index / 10)


@pytest.mark.parametrize(
    ("result", "words"),
    [
        (answer(), "1 comedones, 2 papules"),
        (answer(lesions=()), "no lesion found"),
        (labelled(), "comedones 0.90, papules 0.70"),
        (answer(lesions=None, labels=(Label("nodules", 0.1, False),)), "no type present"),
    ],
)
def test_a_result_is_described_in_words(result, words):
    assert describe(result) == words


@pytest.mark.parametrize("to_stderr", [False, True])
def test_the_summary_is_a_line_a_photograph_and_says_once_what_it_is_not(capsys, to_stderr):
    sink = ConsoleSummary(pause_s=0.0, to_stderr=to_stderr)
    for name in ("a.jpg", "b.jpg"):
        sink.write(frame(name), [answer(name)])
    sink.close()
    captured = capsys.readouterr()
    said, silent = (captured.err, captured.out) if to_stderr else (captured.out, captured.err)
    assert said.splitlines() == [
        "a.jpg: 1 comedones, 2 papules (6 ms)",
        "b.jpg: 1 comedones, 2 papules (6 ms)",
        NO_DIAGNOSIS,
    ]
    assert silent == ""


def test_the_summary_tells_several_models_apart_and_the_severity(capsys):
    sink = ConsoleSummary(pause_s=0.0, to_stderr=False)
    sink.write(frame(), [replace(answer(), severity=Severity("moderate", 6, (3, 21))), labelled()])
    sink.close()
    assert capsys.readouterr().out.splitlines() == [
        "a.jpg (tiny): 1 comedones, 2 papules (6 ms)",
        "a.jpg (tiny): severity moderate (about 6 papules and pustules; 90 %: 3 to 21, mild to severe)",
        "a.jpg (tiny): comedones 0.90, papules 0.70 (6 ms)",
        NO_DIAGNOSIS,
    ]


def test_the_summary_keeps_to_a_line_whatever_the_name_is(capsys):
    ConsoleSummary(0.0, to_stderr=False).write(frame("two\nlines.jpg"), [answer("two\nlines.jpg")])
    (line,) = capsys.readouterr().out.splitlines()
    assert line.startswith("two?lines.jpg: ")


def test_the_summary_of_a_video_speaks_once_a_second(capsys):
    sink = ConsoleSummary(pause_s=3600.0, to_stderr=False)
    for index in range(5):
        sink.write(frame("clip.mp4", index), [answer("clip.mp4", index)])
    sink.close()
    assert capsys.readouterr().out.splitlines() == ["clip.mp4 at 0.0 s: 1 comedones, 2 papules (6 ms)", NO_DIAGNOSIS]
