from dataclasses import replace

import pytest
from support.results import detection_result, make_frame, multilabel_result

from acne_runtime.result import Label
from acne_runtime.severity import NO_DIAGNOSIS, Severity
from acne_runtime.sinks.console import ConsoleSummary, describe


@pytest.mark.parametrize(
    ("result", "words"),
    [
        (detection_result(), "1 comedones, 2 papules"),
        (detection_result(lesions=()), "no lesion found"),
        (multilabel_result(), "comedones 0.90, papules 0.70"),
        (detection_result(lesions=None, labels=(Label("nodules", 0.1, False),)), "no type present"),
    ],
)
def test_a_result_is_described_in_words(result, words):
    assert describe(result) == words


@pytest.mark.parametrize("to_stderr", [False, True])
def test_the_summary_is_a_line_a_photograph_and_says_once_what_it_is_not(capsys, to_stderr):
    sink = ConsoleSummary(pause_s=0.0, to_stderr=to_stderr)
    for name in ("a.jpg", "b.jpg"):
        sink.write(make_frame(name), [detection_result(name)])
    sink.close()
    captured = capsys.readouterr()
    printed, silent = (captured.err, captured.out) if to_stderr else (captured.out, captured.err)
    assert printed.splitlines() == [
        "a.jpg: 1 comedones, 2 papules (6 ms)",
        "b.jpg: 1 comedones, 2 papules (6 ms)",
        NO_DIAGNOSIS,
    ]
    assert silent == ""


def test_the_summary_tells_several_models_apart_and_the_severity(capsys):
    sink = ConsoleSummary(pause_s=0.0, to_stderr=False)
    sink.write(
        make_frame(), [replace(detection_result(), severity=Severity("moderate", 6, (3, 21))), multilabel_result()]
    )
    sink.close()
    assert capsys.readouterr().out.splitlines() == [
        "a.jpg (tiny): 1 comedones, 2 papules (6 ms)",
        "a.jpg (tiny): severity moderate (about 6 papules and pustules; 90 %: 3 to 21, mild to severe)",
        "a.jpg (tiny): comedones 0.90, papules 0.70 (6 ms)",
        NO_DIAGNOSIS,
    ]


def test_the_summary_keeps_to_a_line_whatever_the_name_is(capsys):
    ConsoleSummary(0.0, to_stderr=False).write(make_frame("two\nlines.jpg"), [detection_result("two\nlines.jpg")])
    (line,) = capsys.readouterr().out.splitlines()
    assert line.startswith("two?lines.jpg: ")


def test_the_summary_of_a_video_speaks_once_a_second(capsys):
    sink = ConsoleSummary(pause_s=3600.0, to_stderr=False)
    for index in range(5):
        sink.write(make_frame("clip.mp4", index), [detection_result("clip.mp4", index)])
    sink.close()
    assert capsys.readouterr().out.splitlines() == ["clip.mp4 at 0.0 s: 1 comedones, 2 papules (6 ms)", NO_DIAGNOSIS]
