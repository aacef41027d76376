import csv

from acne_runtime.frame import Frame
from acne_runtime.result import Label, Lesion, Result, Timing, Track
from acne_runtime.sinks.csv_file import COLUMNS, CsvFile

CLASSES = ("comedones", "papules")
TIMING = Timing(1.0, 2.0, 3.0)


def result(source, index, *, lesions=None, labels=None):
    return Result(source, index, index / 10, 160, 120, "tiny", CLASSES, lesions, labels, TIMING)


def test_a_table_has_a_line_for_each_lesion_label_and_empty_frame(tmp_path):
    table = CsvFile(tmp_path / "out" / "found.csv")
    found = result("a,b.jpg", 0, lesions=(Lesion("papules", 0.91234, (1.0, 2.5, 30.0, 40.123), (0.5, 0.6), True),))
    present = result("a,b.jpg", 0, labels=(Label("comedones", 0.25, False), Label("papules", 0.75, True)))
    frame = Frame(None, "a,b.jpg")
    table.write(frame, [found, present])
    table.write(frame, [result("a,b.jpg", 1, lesions=())])
    table.close()
    with (tmp_path / "out" / "found.csv").open(newline="") as stream:
        lines = list(csv.DictReader(stream))
    assert tuple(lines[0]) == COLUMNS
    where = {"source": "a,b.jpg", "frame": "0", "time_s": "0.0", "model": "tiny"}
    no_box = dict.fromkeys(("unsure", "x1", "y1", "x2", "y2", "track"), "")
    assert lines == [
        where
        | {
            "class": "papules",
            "score": "0.9123",
            "present": "",
            "unsure": "True",
            "x1": "1.0",
            "y1": "2.5",
            "x2": "30.0",
        }
        | {"y2": "40.12", "track": ""},
        where | {"class": "comedones", "score": "0.25", "present": "False"} | no_box,
        where | {"class": "papules", "score": "0.75", "present": "True"} | no_box,
        where | {"frame": "1", "time_s": "0.1", "class": "", "score": "", "present": ""} | no_box,
    ]


def test_a_tracked_lesion_has_its_id(tmp_path):
    table = CsvFile(tmp_path / "found.csv")
    lesion = Lesion("papules", 0.9, (1.0, 2.0, 3.0, 4.0), track=Track(7, "confirmed", 0.5))
    table.write(Frame(None, "clip.mp4"), [result("clip.mp4", 0, lesions=(lesion,))])
    table.close()
    assert (tmp_path / "found.csv").read_text().splitlines()[1].endswith(",4.0,7")


def test_a_table_without_frames_is_no_file(tmp_path):
    CsvFile(tmp_path / "found.csv").close()
    assert list(tmp_path.iterdir()) == []
