import re
from html.parser import HTMLParser

import numpy as np
import pytest

pytest.importorskip("jinja2")

from support.visits import BOXES, SAMPLES, SKIN, KnownLesions, add, load_sample, new_store

from acne_monitor.following import score_again
from acne_monitor.history import History, correct
from acne_monitor.reports.report import render_report
from acne_runtime.severity import NO_DIAGNOSIS
from acne_runtime.sources.image_files import read_image

ACCURACY = {
    "data": "acne4/test",
    "after": {"photographs": 246, "recall_by_class": {"comedones": 0.39, "nodules": 0.34, "papules": 0.14}},
}
VOID = {"meta", "link", "img", "br", "input", "rect", "circle", "line", "path", "polyline", "polygon", "image"}


class Page(HTMLParser):
    """Collects what a page refers to, and checks that its elements are closed."""

    def __init__(self, text):
        super().__init__()
        self.open, self.addresses, self.tags, self.text = [], [], [], []
        self.feed(text)
        assert self.open == []

    def handle_starttag(self, tag, attributes):
        self.tags.append(tag)
        if tag not in VOID:
            self.open.append(tag)
        self.addresses += [value for name, value in attributes if name in ("src", "href", "xlink:href", "action")]
        assert not [name for name, _ in attributes if name.startswith("on")]

    def handle_startendtag(self, tag, attributes):
        self.handle_starttag(tag, attributes)
        if tag not in VOID:
            self.open.pop()

    def handle_endtag(self, tag):
        if tag not in VOID:
            assert self.open.pop() == tag

    def handle_data(self, data):
        if "style" not in self.open:
            self.text.append(data)

    @property
    def words(self):
        return re.sub(r"\s+", " ", "".join(self.text))


def check(text):
    """Returns the page, after what holds for every report was checked."""
    page = Page(text)
    assert "script" not in page.tags
    assert all(address.startswith("data:image/jpeg;base64,") for address in page.addresses)
    assert "http" not in re.sub(r"base64,[^\"]*", "", text)
    assert page.words.count(NO_DIAGNOSIS) >= 2 and "position: fixed" in text  # the footer is on each printed page
    assert not re.search(r"\b(nan|inf|None|undefined)\b", page.words)
    for change in re.findall(r"[+-]\d+ ± \d+|[+-]\d+ lesions", page.words):
        assert "±" in change
    return page


@pytest.fixture
def store(tmp_path):
    with new_store(tmp_path / "store") as store:
        yield store


def report(store, **options):
    return render_report(store, History(store, "S-01"), **options)


def test_no_visit_and_one_visit(store):
    assert "No photograph has been added yet." in check(report(store)).words
    add(store, KnownLesions(accuracy=ACCURACY), 1, BOXES)
    page = check(report(store))
    assert (
        "first visit" in page.words and "39 % of the comedones, 34 % of the nodules, 14 % of the papules" in page.words
    )


def test_two_visits_with_all_that_people_added(store):
    detector = KnownLesions()
    add(store, detector, 1, BOXES)
    add(store, detector, 8, BOXES[1:], frames=10)
    visit = store.all("SELECT id FROM visit ORDER BY at_local")[1]["id"]
    subject = store.one("SELECT id FROM subject")["id"]
    with store.transaction() as audit:
        store.insert("assessment", visit=visit, by="Dr. <b>A</b>", at="", iga=2, inflammatory=7, text="fine & dry")
        store.insert("treatment", subject=subject, text="Adapalene <0.1 %>", from_date="2026-11-03")
        audit("note", "")
    text = report(store)
    page = check(text)
    assert "Dr. <b>A</b>: IGA 2, 7 inflammatory, fine & dry" in page.words and "<b>A</b>" not in text
    assert "Adapalene <0.1 %>" in page.words
    assert "4 persisting, 1 resolved" in page.words and "-1 ± " in page.words
    assert text.count('class="mark persisting"') >= 8 and text.count('class="mark resolved"') >= 2
    assert "burst of 10" in page.words


def test_no_lesions_and_no_photographs(store):
    detector = KnownLesions()
    add(store, detector, 1, [])
    add(store, detector, 8, [])
    page = check(report(store, with_photographs=False))
    assert page.addresses == []


def test_refusals_corrections_and_quality_are_said(store):
    detector = KnownLesions()
    add(store, detector, 1, BOXES)
    correct(store, store.one("SELECT id FROM observation")["id"], "uncertain", "Dr. A")
    add(store, detector, 8, BOXES, image=read_image(SAMPLES / "astronaut.png"))
    page = check(report(store))
    assert "not comparable" in page.words and "take the same view again" in page.words
    add(store, detector, 15, BOXES, image=np.full_like(SKIN, 120))
    assert "come closer (taken anyway by test)" in check(report(store)).words


def test_a_damaged_photograph_is_named_and_the_rest_is_shown(store):
    detector = KnownLesions()
    add(store, detector, 1, BOXES)
    add(store, detector, 8, BOXES[1:])
    store.database.execute("UPDATE photo SET jpeg = zeroblob(100) WHERE rowid = 1")
    page = check(report(store))
    assert "a photograph in the store is damaged; run: acne-monitor verify" in page.words
    assert "4 persisting, 1 resolved" in page.words and page.addresses == []


def test_two_models_are_not_drawn_in_one_line(store):
    one, two = KnownLesions("one"), KnownLesions("two")
    add(store, one, 1, BOXES)
    add(store, one, 8, BOXES)
    add(store, two, 15, BOXES)
    page = check(report(store))
    assert (
        "this model has not seen these photographs" in page.words
        and "There are results of model-one too." in page.words
    )
    two.says = [(box, 0.9, "papules") for box in BOXES[:2]]
    score_again(store, two)
    assert "V3" in check(report(store)).words


def test_twelve_visits_are_at_most_three_megabytes(store):
    detector = KnownLesions()
    revisits = load_sample("render_revisit")
    rng = np.random.default_rng(0)
    many = [(x, y, x + 30, y + 30) for x in range(60, 600, 100) for y in range(60, 600, 100)]
    for visit in range(12):
        revisit = revisits.Revisit(640, 640, revisits.LEVELS["easy"], rng)
        seen = [tuple(box) for box in revisit.boxes(np.array(many, float))]
        add(store, detector, 2 * visit + 1, seen, image=revisit.render(SKIN))
    text = report(store)
    check(text)
    assert len(text.encode()) <= 3e6
