import json
import os

from support.images import picture

from acne_runtime.frame import Frame
from acne_runtime.result import Label, Lesion, Result, Timing
from acne_runtime.sinks.json_lines import JsonLines

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


def test_json_lines_make_no_file_before_there_is_a_result(tmp_path):
    sink = JsonLines(str(tmp_path / "out.jsonl"))
    assert list(tmp_path.iterdir()) == []
    sink.close()
    assert list(tmp_path.iterdir()) == []


def test_json_lines_hold_one_object_a_line(tmp_path):
    file = tmp_path / "new" / "folder" / "out.jsonl"
    sink = JsonLines(str(file))
    results = [answer("für später.jpg"), labelled(index=1), answer(index=2, lesions=())]
    for index, result in enumerate(results, start=1):
        sink.write(frame(), [result])
        assert len(file.read_text(encoding="utf-8").splitlines()) == index  # at once, for whoever follows the file
    sink.close()
    lines = file.read_text(encoding="utf-8").splitlines()
    assert [json.loads(line) for line in lines] == [result.to_dict() for result in results]
    assert "für später" in lines[0]


def test_json_lines_replace_those_of_an_earlier_run(tmp_path):
    file = tmp_path / "out.jsonl"
    file.write_text("old\n" * 9)
    sink = JsonLines(str(file))
    sink.write(frame(), [answer()])
    sink.close()
    assert json.loads(file.read_text()) == answer().to_dict()


def test_a_name_that_is_no_text_is_written_all_the_same(tmp_path, capfdbinary):
    strange = os.fsdecode(b"f\xe4ce.jpg")
    for file in ("-", str(tmp_path / "out.jsonl")):
        sink = JsonLines(file)
        sink.write(frame(strange), [answer(strange)])
        sink.close()
    written = (tmp_path / "out.jsonl").read_bytes()
    assert b'"f\\udce4ce.jpg"' in written
    assert capfdbinary.readouterr().out == written
    assert json.loads(written) == answer(strange).to_dict()


def test_json_lines_go_to_standard_output_and_leave_it_open(capsys):
    sink = JsonLines("-")
    sink.write(frame(), [answer()])
    sink.close()
    print("still open")
    first, second = capsys.readouterr().out.splitlines()
    assert json.loads(first) == answer().to_dict()
    assert second == "still open"
