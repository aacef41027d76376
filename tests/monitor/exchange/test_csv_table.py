import csv
import io

from support.visits import BOXES, SAMPLES, KnownLesions, add, new_store

from acne_monitor.exchange.csv_table import COLUMNS, to_csv
from acne_monitor.history import History
from acne_runtime.sources.image_files import read_image


def test_a_line_for_each_photograph(tmp_path):
    with new_store(tmp_path / "store", "S, 1") as store:
        detector = KnownLesions()
        add(store, detector, 1, BOXES, code="S, 1", frames=10)
        add(store, detector, 8, BOXES[1:], code="S, 1")
        add(store, detector, 15, [], image=read_image(SAMPLES / "astronaut.png"), code="S, 1")
        lines = list(csv.DictReader(io.StringIO(to_csv(History(store, "S, 1")))))
    assert tuple(lines[0]) == COLUMNS
    assert [(line["subject"], line["visit"], line["total"], line["frames"]) for line in lines] == [
        ("S, 1", "V1", "5", "10"), ("S, 1", "V2", "4", "1"), ("S, 1", "V3", "0", "1")
    ]  # fmt: skip
    assert [(line["compared_with"], line["difference"], line["verdict"]) for line in lines] == [
        ("", "", ""), ("V1", "-1", "within measuring error"), ("V1", "", "")
    ]  # fmt: skip
    assert "take the same view again" in lines[2]["not_compared"]
    assert float(lines[1]["error"]) >= 1


def test_no_visits_are_a_heading(tmp_path):
    with new_store(tmp_path / "store") as store:
        assert to_csv(History(store, "S-01")) == ",".join(COLUMNS) + "\n"
