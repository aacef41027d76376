import pytest

pytest.importorskip("jinja2")

from support.visits import BOXES, KnownLesions, add, new_store

from acne_monitor.history import History
from acne_monitor.reports.chart import WIDTH, draw_chart


@pytest.fixture
def store(tmp_path):
    with new_store(tmp_path / "store") as store:
        yield store


def test_nothing_to_draw(store):
    assert draw_chart(History(store, "S-01")) is None


def test_counts_bands_and_treatments(store):
    detector = KnownLesions()
    for day, says in ((1, BOXES), (8, BOXES[1:]), (22, [])):
        add(store, detector, day, says)
    subject = store.one("SELECT id FROM subject")["id"]
    with store.transaction() as audit:
        store.insert("treatment", subject=subject, text="before", from_date="2020-01-01", to_date="2020-02-01")
        store.insert("treatment", subject=subject, text="goes on", from_date="2026-11-08")
        audit("note", "")
    chart = draw_chart(History(store, "S-01"))
    total, inflammatory = chart.series
    assert [series.name for series in chart.series] == ["total", "inflammatory"]
    heights = [y for _, y, _ in total.dots]
    assert heights == sorted(heights) and "V2 2026-11-08: 4 total ± 2" in total.dots[1][2]
    points = [tuple(map(float, point.split(","))) for one in chart.series for point in f"{one.line} {one.band}".split()]
    assert all(0 <= x <= WIDTH and 0 <= y <= chart.height for x, y in points)
    assert [(round(x), text) for x, _, _, text in chart.bars] == [(44, "before"), (239, "goes on")]
    assert all(x + width <= WIDTH for x, _, width, _ in chart.bars)
    assert inflammatory.line


def test_one_visit_and_a_visit_without_a_view(store):
    detector = KnownLesions()
    add(store, detector, 1, BOXES)
    assert len(draw_chart(History(store, "S-01")).series[0].dots) == 1
    add(store, detector, 1, BOXES[:1], view="right")
    add(store, detector, 8, BOXES)
    add(store, detector, 15, BOXES)
    add(store, detector, 15, BOXES, view="right")
    dots = draw_chart(History(store, "S-01")).series[0].dots
    assert [text.split()[0] for _, _, text in dots] == ["V1", "V3"]  # V2 would look like a fall
