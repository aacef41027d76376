import json
import shutil
from dataclasses import dataclass, replace

import numpy as np
import pytest
from click.testing import CliRunner
from support.run_folders import CLASSES, manifest, write_data

from acne_runtime.manifest import Manifest
from acne_runtime.result import Lesion, Result, Timing
from acne_trainer.cli.main import main
from acne_trainer.evaluation.count_calibration import calibrate_counts


@dataclass
class Sample:
    classes: np.ndarray


@dataclass
class Labelled:
    classes: tuple
    samples: list


def labelled(counts, names=CLASSES):
    marks = [np.array([names.index("papules")] * count + [names.index("comedones")] * 3) for count in counts]
    return Labelled(names, [Sample(split) for split in marks])


def result(lesions):
    return Result("a", 0, 0.0, 9, 9, "tiny-detector", CLASSES, lesions, None, Timing(1, 1, 1))


def found(counts, noise=9):
    sure, unsure = (Lesion("pustules", score, (0, 0, 1, 1)) for score in (0.99, 0.01))
    return [result((sure,) * count + (unsure,) * noise) for count in counts]


def test_a_model_that_counts_rightly_has_a_ratio_of_one():
    counts = list(range(40))
    got = calibrate_counts(manifest("detection"), labelled(counts), found(counts))
    assert (got["ratio_90"], got["photographs"]) == ([1.0, 1.0], 40)
    assert 0.01 < got["threshold"] <= 0.99


def test_a_model_that_finds_a_third_has_a_ratio_of_three():
    got = calibrate_counts(manifest("detection"), labelled([28] * 30), found([2] * 30, noise=0))
    assert (got["ratio_50"], got["ratio_90"]) == (9.67, [9.67, 9.67])


def test_of_two_thresholds_that_one_counts_by_which_the_ratio_varies_least():
    counts = list(range(5, 45))
    rng = np.random.default_rng(0)
    results = []
    for count in counts:  # one in ten or so is seen well, all are seen faintly, each as two
        scores = [0.9] * rng.binomial(count, 0.1) + [0.3] * (2 * count + 1)
        results.append(result(tuple(Lesion("papules", score, (0, 0, 1, 1)) for score in scores)))
    got = calibrate_counts(manifest("detection"), labelled(counts), results)
    assert 0.2 < got["threshold"] <= 0.3
    assert 0.45 < got["ratio_50"] < 0.55


@pytest.mark.parametrize(
    ("untyped_as", "types"),
    [((), list(CLASSES)), (("papules", "pustules"), None)],
    ids=["of any type", "of two types"],
)
def test_of_untyped_labels_only_types_count_that_they_may_be_of(untyped_as, types):
    samples = [Sample(np.zeros(count, int)) for count in range(30)]
    results = [  # every second lesion is a comedo for the model
        result(tuple(Lesion(CLASSES[0] if i % 2 else "papules", 0.9, (0, 0, 1, 1)) for i in range(count)))
        for count in range(30)
    ]
    got = calibrate_counts(manifest("detection"), Labelled(("lesion",), samples), results, untyped_as)
    assert got.get("types") == types


def test_the_threshold_is_where_counts_are_right_in_the_middle():
    rng = np.random.default_rng(0)
    results, counts = [], rng.integers(0, 40, 50).tolist()
    for count in counts:  # true lesions score above 0.3, as many false ones below
        scores = np.concatenate([rng.uniform(0.3, 1, count), rng.uniform(0, 0.29, 30)])
        lesions = tuple(Lesion("papules", float(photo_scores), (0, 0, 1, 1)) for photo_scores in scores)
        results.append(result(lesions))
    got = calibrate_counts(manifest("detection"), labelled(counts), results)
    assert 0.29 < got["threshold"] < 0.31
    assert got["ratio_90"] == [1.0, 1.0]


def test_a_score_at_the_threshold_counts():
    at = float(np.float32(0.0439))  # a little below 0.0439
    results = [result((Lesion("papules", at, (0, 0, 1, 1)),) * 3)] * 5
    got = calibrate_counts(manifest("detection"), labelled([3] * 5), results)
    assert got["ratio_90"] == [1.0, 1.0]
    assert got["threshold"] <= at


def test_of_a_set_of_one_class_all_lesions_count():
    samples = [Sample(np.zeros(count, int)) for count in range(30)]
    got = calibrate_counts(manifest("detection"), Labelled(("lesion",), samples), found(range(30)))
    assert got["ratio_90"] == [1.0, 1.0]


def test_the_interval_holds_nine_of_ten_new_photographs():
    rng = np.random.default_rng(0)
    inside = []
    for _ in range(60):
        truth = rng.poisson(rng.gamma(2, 6, 240))
        seen = rng.binomial(truth, 0.6)
        got = calibrate_counts(manifest("detection"), labelled(truth[:120].tolist()), found(seen[:120], noise=0))
        low, high = got["ratio_90"]
        ratio = (truth[120:] + 1) / (seen[120:] + 1)
        inside.append(np.mean((low <= ratio) & (ratio <= high)))
    assert 0.89 < np.mean(inside) < 0.95


@pytest.mark.parametrize(
    ("task", "names", "counts"),
    [("multilabel", CLASSES, [1]), ("detection", ("comedones", "papules"), [1]), ("detection", CLASSES, [])],
    ids=["a classifier", "labels without pustules", "no photograph"],
)
def test_what_cannot_be_counted_says_nothing(task, names, counts):
    assert calibrate_counts(manifest(task), labelled(counts, names), found(counts)) is None


@pytest.fixture
def run(runs, tmp_path):
    folder = shutil.copytree(runs["detection"], tmp_path / "run")
    (folder / "metrics.json").write_text(json.dumps({"test": {"images": 5, "model": {}, "baseline": {}}}))
    return folder


def read_manifest(run):
    return Manifest.from_json((run / "manifest.json").read_bytes(), "run")


def test_the_command_writes_it_into_the_runs_manifest(run, tmp_path):
    before = read_manifest(run)
    done = CliRunner().invoke(main, ["counts", "--run", str(run), "--data", str(write_data(tmp_path / "data"))])
    assert done.exit_code == 0, done.output
    stated = read_manifest(run).validation["counting"]
    assert (stated["photographs"], stated["data"]) == (4, "data/valid")
    assert f"count from a score of {stated['threshold']} on" in done.output
    assert replace(read_manifest(run), validation=before.validation) == before


def test_labels_without_pustules_are_refused_in_one_line_and_change_nothing(run, tmp_path):
    data = write_data(tmp_path / "data")
    (data / "valid" / "_classes.txt").write_text("a\nb\nc\nd")
    before = read_manifest(run)
    done = CliRunner().invoke(main, ["counts", "--run", str(run), "--data", str(data)])
    assert done.exit_code == 1
    assert done.output.strip().endswith("the model or the labels have no papules and pustules")
    assert len(done.stderr.splitlines()) == 1
    assert read_manifest(run) == before
