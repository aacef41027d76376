import gzip
import json

import pytest

from acne_runtime.errors import SourceError
from acne_runtime.result import Label, Lesion, Result, Timing
from acne_trainer.evaluation.predictions import LEAST_SCORE, load_predictions, predictions_file, save_predictions

CLASSES = ("comedones", "papules")


def result(source="a.jpg", lesions=None, labels=None):
    return Result(source, 0, 0.0, 640, 480, "tiny", CLASSES, lesions, labels, Timing(0.5, 12.25, 1.0))


FOUND = result(
    'über "all" <b>.jpg',
    lesions=(
        Lesion("papules", 0.9123, (1.25, 2.0, 30.5, 44.75), (0.7, 0.7077), unsure=True),
        Lesion("comedones", LEAST_SCORE, (0.0, 0.0, 5.0, 5.0)),
        Lesion("papules", LEAST_SCORE - 0.0001, (9.0, 9.0, 12.0, 12.0)),
    ),
)
NONE = result("b.jpg", lesions=())
LABELLED = result("c.jpg", labels=(Label("comedones", 0.0042, False), Label("papules", 0.75, True)))


def test_what_is_saved_is_read_again(tmp_path):
    file = predictions_file(tmp_path / "run", "test")
    assert file.name == "predictions-test.jsonl.gz"
    save_predictions([NONE, LABELLED], file)
    assert load_predictions(file) == [NONE, LABELLED]


def test_boxes_with_less_than_the_least_score_are_left_out(tmp_path):
    save_predictions([FOUND], tmp_path / "p.gz")
    (got,) = load_predictions(tmp_path / "p.gz")
    assert got.lesions == FOUND.lesions[:2]
    assert (got.source, got.classes) == (FOUND.source, CLASSES)


def test_a_line_is_what_the_runtime_prints_and_holds_no_pixel(tmp_path):
    save_predictions([NONE], tmp_path / "p.gz")
    assert json.loads(gzip.decompress((tmp_path / "p.gz").read_bytes())) == NONE.to_dict()


def test_the_same_results_give_the_same_file(tmp_path):
    for name in ("one", "other"):
        save_predictions([FOUND, NONE], tmp_path / name)
    assert (tmp_path / "one").read_bytes() == (tmp_path / "other").read_bytes()


def test_no_photograph_gives_no_result(tmp_path):
    save_predictions([], tmp_path / "p.gz")
    assert load_predictions(tmp_path / "p.gz") == []


GOOD = LABELLED.to_dict()
OF_ONE_TYPE = {"class": "papules", "score": 1, "types": {"papules": 1}, "box": [1, 2, 3, 4]}


def test_what_an_older_version_saved_is_read_without_types(tmp_path):
    old = NONE.to_dict() | {"schema": 1, "lesions": [{"class": "papules", "score": 0.5, "box": [1, 2, 3, 4]}]}
    (tmp_path / "p.gz").write_bytes(gzip.compress(f"{json.dumps(old)}\n".encode()))
    (got,) = load_predictions(tmp_path / "p.gz")
    assert got.lesions == (Lesion("papules", 0.5, (1.0, 2.0, 3.0, 4.0)),)


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ("{", "Expecting property name"),
        ("[]", "list indices"),
        (json.dumps(GOOD | {"schema": 3}), "schema 3, not 2 or 1"),
        (json.dumps(NONE.to_dict() | {"lesions": [OF_ONE_TYPE]}), "types ['papules'] are not"),
        (json.dumps({key: value for key, value in GOOD.items() if key != "width"}), "'width'"),
        (json.dumps({key: value for key, value in GOOD.items() if key != "labels"}), "either lesions or labels"),
        (json.dumps(GOOD | {"labels": [{"class": "moles", "score": 1, "present": True}]}), "['moles']"),
        (json.dumps(NONE.to_dict() | {"lesions": [{"class": "papules", "score": 1, "box": [1, 2]}]}), "unpack"),
    ],
)
def test_a_line_that_is_no_prediction_is_named(tmp_path, line, problem):
    file = tmp_path / "p.gz"
    file.write_bytes(gzip.compress(f"{json.dumps(GOOD)}\n{line}\n".encode()))
    with pytest.raises(SourceError) as caught:
        load_predictions(file)
    assert str(caught.value).startswith(f"{file}:2: not a prediction")
    assert problem in str(caught.value)


@pytest.mark.parametrize(
    "content",
    [b"", b"no gzip", gzip.compress(b"x" * 500)[:-9], gzip.compress(b"\xff\xfe")],
    ids=["empty", "no gzip", "truncated", "not UTF-8"],  # not the bytes, which hold the time
)
def test_a_damaged_file_is_named(tmp_path, content):
    (tmp_path / "p.gz").write_bytes(content)
    with pytest.raises(SourceError, match=r"p\.gz: corrupt"):
        load_predictions(tmp_path / "p.gz")


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(SourceError, match=r"p\.gz: not found"):
        load_predictions(tmp_path / "p.gz")
