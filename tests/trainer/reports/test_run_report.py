import dataclasses
import json
import re
import shutil
from html.parser import HTMLParser

import numpy as np
import pytest
from click.testing import CliRunner
from markupsafe import escape

pytest.importorskip("faster_coco_eval")

from support import run_folders as made

from acne_runtime.errors import ModelError, SourceError
from acne_runtime.severity import NO_DIAGNOSIS
from acne_trainer.cli.report import report
from acne_trainer.evaluation.error_analysis import detection_failures, multilabel_failures
from acne_trainer.evaluation.predictions import load_predictions, predictions_file, save_predictions
from acne_trainer.metrics.confusion import argmax_confusion, box_confusion, class_outcomes
from acne_trainer.metrics.scored_image import ScoredImage
from acne_trainer.reports.run_report import write_report

TASKS = ("detection", "multilabel")
EVIL = "<script>alert({})<&amp>\"'.jpg"
VOID = {"meta", "br", "img", "hr", "input", "link"}


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs")
    data = made.write_data(folder / "data")
    return {task: made.write_finished_run(folder / task, task, data) for task in TASKS}


@pytest.fixture(params=TASKS)
def task(request):
    return request.param


@pytest.fixture
def run(runs, task, tmp_path):
    """A copy that a test may change."""
    return shutil.copytree(runs[task], tmp_path / "run")


class Page(HTMLParser):
    """A page's text and attributes; fails where elements are not closed in order."""

    def __init__(self, file):
        super().__init__()
        self.source = file.read_text()
        self.open, self.attributes, self.words, self.headings = [], [], [], []
        self.feed(self.source)
        assert self.open == []
        self.text = " ".join(" ".join(self.words).split())

    def handle_starttag(self, tag, attrs):
        self.attributes += [(tag, *pair) for pair in attrs]
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if self.open and self.open[-1] != "style":
            self.words.append(data)
            if self.open[-1] == "h2":
                self.headings.append(data)


def written(run, **options):
    file = run / "page.html"
    gaps = write_report(run, file, **options)
    return Page(file), gaps


def test_a_page_has_everything(run, task):
    page, gaps = written(run)
    assert gaps == []
    expected = {"Course of the training", "All metrics", "Thresholds", "Precision and recall", "Confusion"}
    expected |= {"Failures worth looking at", "Settings and origin"}
    expected |= {"Counts", "By size", "Photographs with two or more types"} if task == "detection" else {"Calibration"}
    assert set(page.headings) == expected
    assert page.text.count(NO_DIAGNOSIS) == 1
    assert "5 photographs of tiny/test, trained on 5 others" in page.text
    assert page.source.count("<svg") == 4
    assert "Not shown" not in page.text


def test_the_headline_is_that_of_the_metrics(run, task):
    page, _ = written(run)
    test = json.loads((run / "metrics.json").read_text())["test"]
    name = "ap50" if task == "detection" else "argmax_agreement"
    model, baseline = test["model"], test["baseline"]
    low, high = model[f"{name}_interval_95"]
    assert f"{model[name]:.3f} 95 % interval {low:.3f} to" in page.text
    assert f"{high:.3f}".replace("1.000", "1.00") in page.text
    assert f"trivial baseline {baseline[name]:.3f}" in page.text


def test_a_page_loads_nothing_and_holds_no_pixel_of_a_photograph(run):
    page, _ = written(run)
    assert not re.search(r"https?:|//|url\(|@import", re.sub(r"<!doctype html>", "", page.source))
    loading = [pair for pair in page.attributes if pair[1] in ("src", "href", "srcset", "xlink:href", "action", "data")]
    assert loading == []
    assert not {"script", "iframe", "object", "link", "img", "image"} & {tag for tag, *_ in page.attributes}
    assert "base64" not in page.source


def test_photographs_are_in_the_page_only_when_asked_for(run, task):
    page, gaps = written(run, with_photos=True)
    assert gaps == []
    pictures = [value for tag, name, value in page.attributes if (tag, name) == ("image", "href")]
    assert len(pictures) == 5
    assert all(picture.startswith("data:image/jpeg;base64,/9j/") for picture in pictures)
    boxes = {kind: page.attributes.count(("rect", "class", kind)) for kind in ("gt", "predicted")}
    # Nine lesions are marked; all but one are found, and one too many on each photograph.
    assert boxes == ({"gt": 9, "predicted": 8 + 5} if task == "detection" else {"gt": 0, "predicted": 0})
    if task == "multilabel":
        assert "ground truth: comedones, nodules" in page.text


def test_names_are_escaped(tmp_path, task):
    data = made.write_data(tmp_path / "data", names=EVIL)
    run = made.write_finished_run(tmp_path / "<b>run</b>", task, data)
    page, gaps = written(run, with_photos=True)
    assert gaps == []
    assert "<script" not in page.source
    assert "<b>run" not in page.source
    assert EVIL.format(0) in page.text
    assert escape(EVIL.format(0)) in page.source


def test_the_validation_photographs_can_be_looked_at_too(run):
    page, _ = written(run, split="valid")
    assert "4 photographs of tiny/valid" in page.text


@pytest.mark.parametrize("with_photos", [False, True])
def test_a_page_is_written_when_the_photographs_are_gone(run, with_photos):
    config = run / "config.toml"
    config.write_text(config.read_text().replace("/data", "/gone"))
    page, gaps = written(run, with_photos=with_photos)
    assert len(gaps) == 1
    assert "/gone" in gaps[0]
    assert f"Not shown: {gaps[0]}" in page.text
    assert {"Course of the training", "All metrics", "Thresholds"} <= set(page.headings)
    assert "Confusion" not in page.headings


@pytest.mark.parametrize(
    ("missing", "lost"),
    [
        ("predictions-test.jsonl.gz", {"Precision and recall", "Confusion", "Failures worth looking at"}),
        ("config.toml", {"Precision and recall", "Confusion", "Failures worth looking at"}),
        ("history.csv", {"Course of the training"}),
    ],
)
def test_a_page_says_what_it_could_not_show(run, missing, lost):
    whole, _ = written(run)
    (run / missing).unlink()
    page, gaps = written(run)
    assert [str(run / missing) in gap for gap in gaps] == [True]
    assert lost <= set(whole.headings) - set(page.headings)
    assert gaps[0] in page.text


def test_photographs_that_are_no_longer_labelled_are_counted(run, task, tmp_path):
    results = load_predictions(predictions_file(run, "test"))
    results[0] = dataclasses.replace(results[0], source="other.jpg")
    save_predictions(results, predictions_file(run, "test"))
    page, gaps = written(run)
    assert len(gaps) == 1
    assert "1 of 5 photographs are no longer there" in gaps[0]
    assert "Confusion" in page.headings


def test_a_photograph_that_cannot_be_decoded_is_passed_over(tmp_path):
    data = made.write_data(tmp_path / "data")
    run = made.write_finished_run(tmp_path / "run", "multilabel", data)
    (data / "test" / "3.jpg").write_bytes(b"no photograph")
    page, gaps = written(run, with_photos=True)
    assert [tag for tag, name, _ in page.attributes if (tag, name) == ("image", "href")] == ["image"] * 4
    assert len(gaps) == 1
    assert "3.jpg" in gaps[0]


def test_the_papers_input_scaling_is_pointed_out(run, task):
    config = (run / "config.toml").read_text()
    (run / "config.toml").write_text(config.replace('"cnn"', '"vgg19"') + 'input_scaling = "paper"\n')
    page, _ = written(run)
    assert ("36.75, 2.15 and 14.62" in page.text) == (task == "multilabel")
    (run / "config.toml").write_text(config + 'input_scaling = "own"\n')
    assert "36.75" not in written(run)[0].text


def test_a_training_of_one_epoch_has_a_page(run):
    (run / "history.csv").write_text("epoch,loss,val_loss\n1.0,nan,inf\n")
    assert "1 epochs." in written(run)[0].text


def corrupted(name, content):
    return lambda run: (run / name).write_text(content)


@pytest.mark.parametrize(
    ("damage", "problem"),
    [
        (shutil.rmtree, "run: no run folder of acne-train"),
        (lambda run: [file.unlink() for file in run.iterdir()], "run: no run folder of acne-train"),
        (lambda run: (run / "manifest.json").unlink(), "run: this training is not finished"),
        (lambda run: (run / "metrics.json").unlink(), "metrics.json: not found"),
        (corrupted("manifest.json", "{}"), "manifest.json: invalid manifest: missing"),
        (corrupted("metrics.json", '{"test": {"phot'), "metrics.json: not JSON"),
        (corrupted("metrics.json", "[]"), "metrics.json: no metrics of a"),
        (corrupted("metrics.json", '{"test": {"images": 3}}'), "metrics.json: no metrics of a"),
        (corrupted("config.toml", "model ="), "config.toml: not TOML"),
        (corrupted("history.csv", ""), "history.csv:1: no column named epoch"),
        (corrupted("history.csv", "epoch,loss\n1.0,2.0\n2.0,many\n"), "history.csv:3: could not convert"),
        (corrupted("history.csv", "epoch,loss\n1.0\n"), "history.csv:2: 1 cells under 2 columns"),
        (corrupted("history.csv", "epoch,loss\n,1.0\n"), "history.csv:2: no number of the epoch"),
        (corrupted("history.csv", "epoch,loss\n\0"), "history.csv"),
        (corrupted("predictions-test.jsonl.gz", "x"), "predictions-test.jsonl.gz: corrupt"),
    ],
)
def test_a_run_folder_that_is_none_or_half_written_is_one_line(run, damage, problem):
    damage(run)
    with pytest.raises((SourceError, ModelError)) as caught:
        write_report(run, run.with_name("page.html"))
    assert problem in str(caught.value)
    assert "\n" not in str(caught.value)
    done = CliRunner().invoke(report, [str(run)])
    assert (done.exit_code, done.stderr) == (1, f"Error: {caught.value}\n")
    assert not run.with_name("page.html").exists()


def test_answers_with_a_box_a_type_are_not_shown_as_lesions(runs, tmp_path):
    run = shutil.copytree(runs["detection"], tmp_path / "run")
    file = predictions_file(run, "test")
    old = [
        dataclasses.replace(result, lesions=tuple(dataclasses.replace(lesion, types=None) for lesion in result.lesions))
        for result in load_predictions(file)
    ]
    save_predictions(old, file)
    (gap,) = write_report(run, tmp_path / "page.html")
    assert gap.startswith(f"{file}: of an older acne-train, with a box a type instead of a box a lesion; precision-rec")


def test_answers_of_another_model_are_refused(runs, tmp_path):
    run = shutil.copytree(runs["detection"], tmp_path / "run")
    shutil.copy(predictions_file(runs["multilabel"], "test"), run)
    with pytest.raises(SourceError, match=r"0\.jpg has an answer that is not of tiny-detector"):
        write_report(run, tmp_path / "page.html")


def test_the_command_writes_into_the_run_folder_or_where_asked(run, tmp_path):
    done = CliRunner().invoke(report, [str(run)])
    assert (done.exit_code, done.stdout, done.stderr) == (0, f"wrote {run / 'report.html'}\n", "")
    (run / "history.csv").unlink()
    done = CliRunner().invoke(report, [str(run), "--out", str(tmp_path / "new" / "page.html"), "--with-photos"])
    assert (done.exit_code, done.stdout) == (0, f"wrote {tmp_path / 'new' / 'page.html'}\n")
    assert len(done.stderr.splitlines()) == 1
    assert "image/jpeg" in (tmp_path / "new" / "page.html").read_text()


# Two nodules and a comedone; a nodule is taken for a comedone, one box lies on nothing, one nodule is missed.
TAKEN = ScoredImage(
    np.array([[0.0, 0, 10, 10], [20, 0, 30, 10], [40, 0, 50, 10]]),
    np.array([1, 1, 0]),
    np.array([[0.0, 0, 10, 10], [60, 0, 70, 10], [40, 0, 50, 10]]),
    np.array([0, 1, 0]),
    np.array([0.9, 0.8, 0.7]),
)
EMPTY = ScoredImage(np.zeros((0, 4)), np.zeros(0, int), np.zeros((0, 4)), np.zeros(0, int), np.zeros(0))


def test_what_was_taken_for_what_is_counted():
    assert box_confusion([TAKEN, EMPTY, TAKEN], 2).tolist() == [[2, 0, 0], [2, 0, 2], [0, 2, 0]]
    truth = np.float32([[1, 0], [0, 1], [1, 1], [0, 0]])
    predicted = np.array([[True, False], [True, True], [False, True], [False, True]])
    assert class_outcomes(truth, predicted).tolist() == [[1, 1, 1, 1], [2, 0, 1, 1]]
    scores = np.float32([[0.9, 0.1], [0.4, 0.6], [0.2, 0.8], [0.3, 0.4]])
    assert argmax_confusion(truth, scores).tolist() == [[1, 2], [0, 1]]


def test_the_worst_failures_come_first():
    failures = detection_failures([EMPTY, TAKEN], ("comedones", "nodules"))
    assert [(failure.image_index, failure.message) for of_kind in failures.values() for failure in of_kind] == [
        (1, "2 of 3 lesions missed"),
        (1, "2 of 3 boxes are false positives"),
        (1, "comedones at 0.90"),
        (1, "nodules at 0.80"),
    ]
    truth = np.float32([[1, 0], [0, 1], [1, 1]])
    scores = np.float32([[0.9, 0.7], [0.8, 0.6], [0.4, 0.1]])
    failures = multilabel_failures(truth, scores, scores >= 0.5, ("comedones", "nodules"), max_per_kind=2)
    assert [(failure.image_index, failure.message) for of_kind in failures.values() for failure in of_kind] == [
        (2, "2 of 2 types wrong"),
        (0, "1 of 2 types wrong"),
        (1, "comedones at 0.80"),
        (0, "nodules at 0.70"),
        (2, "nodules at 0.10"),
        (2, "comedones at 0.40"),
    ]
