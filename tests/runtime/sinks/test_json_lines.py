import json
import os

from support.results import detection_result, make_frame, multilabel_result

from acne_runtime.sinks.json_lines import JsonLines


def test_json_lines_make_no_file_before_there_is_a_result(tmp_path):
    sink = JsonLines(str(tmp_path / "out.jsonl"))
    assert list(tmp_path.iterdir()) == []
    sink.close()
    assert list(tmp_path.iterdir()) == []


def test_json_lines_hold_one_object_a_line(tmp_path):
    file = tmp_path / "new" / "folder" / "out.jsonl"
    sink = JsonLines(str(file))
    results = [detection_result("für später.jpg"), multilabel_result(index=1), detection_result(index=2, lesions=())]
    for index, result in enumerate(results, start=1):
        sink.write(make_frame(), [result])
        assert len(file.read_text(encoding="utf-8").splitlines()) == index  # at once, for whoever follows the file
    sink.close()
    lines = file.read_text(encoding="utf-8").splitlines()
    assert [json.loads(line) for line in lines] == [result.to_dict() for result in results]
    assert "für später" in lines[0]


def test_json_lines_replace_those_of_an_earlier_run(tmp_path):
    file = tmp_path / "out.jsonl"
    file.write_text("old\n" * 9)
    sink = JsonLines(str(file))
    sink.write(make_frame(), [detection_result()])
    sink.close()
    assert json.loads(file.read_text()) == detection_result().to_dict()


def test_a_name_that_is_no_text_is_written_all_the_same(tmp_path, capfdbinary):
    strange = os.fsdecode(b"f\xe4ce.jpg")
    for file in ("-", str(tmp_path / "out.jsonl")):
        sink = JsonLines(file)
        sink.write(make_frame(strange), [detection_result(strange)])
        sink.close()
    written = (tmp_path / "out.jsonl").read_bytes()
    assert b'"f\\udce4ce.jpg"' in written
    assert capfdbinary.readouterr().out == written
    assert json.loads(written) == detection_result(strange).to_dict()


def test_json_lines_go_to_standard_output_and_leave_it_open(capsys):
    sink = JsonLines("-")
    sink.write(make_frame(), [detection_result()])
    sink.close()
    print("still open")
    first, second = capsys.readouterr().out.splitlines()
    assert json.loads(first) == detection_result().to_dict()
    assert second == "still open"
