import dataclasses
import json
import shutil

import numpy as np
import pytest
from click.testing import CliRunner

pytest.importorskip("tensorflow")

from support.images import write_picture

from acne_runtime.errors import SourceError
from acne_runtime.load import load_model
from acne_runtime.manifest import InputSpec, Manifest, OutputSpec
from acne_runtime.model import Model
from acne_runtime.result import Lesion, Result, Timing
from acne_trainer.cli.main import main
from acne_trainer.data.dataset import Dataset, Sample
from acne_trainer.data.formats.keras_txt import read_keras_txt
from acne_trainer.evaluation.evaluate import (
    apply_thresholds,
    evaluate,
    predict_split,
    with_best_thresholds,
    with_matching_thresholds,
)
from acne_trainer.metrics.detection_report import SCORE_THRESHOLD, average_precision

CLASSES = ("comedones", "nodules", "papules", "pustules")
TIMING = Timing(0, 0, 0)


def write_split(folder, marks, classes=CLASSES):
    """Writes a split whose photographs show these classes, one box each."""
    folder.mkdir(parents=True)
    (folder / "_classes.txt").write_text("\n".join(classes))
    lines = []
    for n, shown in enumerate(marks):
        write_picture(folder / f"{n}.jpg", 80, 100, seed=n)
        lines.append(
            " ".join([f"{n}.jpg", *(f"{10 + 20 * i},10,{25 + 20 * i},30,{one}" for i, one in enumerate(shown))])
        )
    (folder / "_annotations.txt").write_text("\n".join(lines))
    return folder


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    folder = tmp_path_factory.mktemp("data")
    write_split(folder / "train", [[0, 1], [1], [2, 3, 3], [0]])
    write_split(folder / "valid", [[0], [1, 2], [3], [2, 2]])
    write_split(folder / "test", [[0, 1], [1, 2], [3], [2]])
    return folder


def splits(data):
    return [read_keras_txt(data / name) for name in ("train", "valid", "test")]


def strict(text):
    """Reads JSON as the standard has it, without NaN and Infinity."""
    return json.loads(text, parse_constant=lambda word: pytest.fail(f"{word} is no JSON"))


@pytest.mark.parametrize("task", ["detection", "multilabel"])
def test_a_report_is_that_of_the_runtimes_own_results(exported, data, task):
    model = load_model(exported(task))
    train, _, test = splits(data)
    got = evaluate(model, train, test)
    assert got["images"] == 4
    assert evaluate(model, train, test) == got
    if task == "multilabel":
        predicted = [[label.score for label in model(sample.image()).labels] for sample in test.samples]
        truth = [sample.presence(4) for sample in test.samples]
        assert got["model"]["argmax_agreement"] == np.mean(np.argmax(predicted, 1) == np.argmax(truth, 1))
        # On the training photographs comedones and nodules stand equally often, and come first.
        assert got["baseline"]["argmax_agreement"] == 0.25
    else:
        counted = [len(model(sample.image()).lesions) for sample in test.samples]
        marked = np.array([2, 2, 1, 1])
        assert got["model"]["count_error"] == pytest.approx(np.abs(counted - marked).mean())
        assert got["baseline"]["count_error"] == pytest.approx(np.abs(1.5 - marked).mean())


@pytest.mark.parametrize("task", ["detection", "multilabel"])
def test_chosen_thresholds_are_probabilities_and_all_that_changes(exported, data, task):
    model = load_model(exported(task))
    _, valid, _ = splits(data)
    results = predict_split(model, valid)
    chosen = with_best_thresholds(model.manifest, valid, results)
    assert len(chosen.thresholds) == {"detection": 1, "multilabel": 4}[task]
    assert all(0 <= threshold <= 1 for threshold in chosen.thresholds)
    if task == "multilabel":  # each threshold is a photograph's score: rounded up, it would lose that photograph
        scores = np.array([[label.score for label in result.labels] for result in results])
        apart = scores[:, :, None] - np.array(chosen.thresholds)[None, None]
        assert all(((column >= 0) & (column < 1e-4)).any() for column in np.diagonal(apart, axis1=1, axis2=2).T)
    assert chosen.to_dict() | {"thresholds": 0} == model.manifest.to_dict() | {"thresholds": 0}
    if task == "detection":  # as one class, whatever the type
        best = average_precision(valid.samples, results, valid.classes, one_class=True).thresholds["lesion"]
        assert 0 <= best - chosen.thresholds[0] < 1e-4
    others = predict_split(load_model(exported(task), score_threshold=0.9), valid)
    assert with_best_thresholds(model.manifest, valid, others) == chosen
    again = [
        dataclasses.replace(result, timing=TIMING) for result in predict_split(Model(chosen, model.backend), valid)
    ]
    assert [dataclasses.replace(result, timing=TIMING) for result in apply_thresholds(chosen, results)] == again


DETECTOR = Manifest(
    "tiny-detector",
    "detection",
    CLASSES,
    InputSpec("image", 64, 64, "letterbox"),
    (OutputSpec("box_8", "box", 8), OutputSpec("score_8", "score", 8)),
    (0.5,),
    bins=16,
)
ROWS = dataclasses.replace(DETECTOR, outputs=(OutputSpec("rows", "row"),), thresholds=(0.5,) * 4)


def marked_lesions(samples, says_types, factor=1.0):
    """Finds what is marked: comedones at 0.9, nodules at 0.8, papules at 0.7, pustules at 0.6, times a factor."""

    def lesion(one, box):
        score = factor * (0.9 - 0.1 * one)
        types = tuple(score * (one == other) for other in range(4)) if says_types else None
        return Lesion(CLASSES[one], score, tuple(map(float, box)), types)

    return [
        Result("", 0, 0.0, 100, 80, "m", CLASSES, tuple(map(lesion, sample.classes, sample.boxes)), None, TIMING)
        for sample in samples
    ]


@pytest.mark.parametrize(
    ("manifest", "chosen", "carried"),
    [(DETECTOR, [0.6], [0.26]), (ROWS, [0.9, 0.8, 0.7, 0.6], [0.65] * 4)],
    ids=["one for all lesions", "one a class, as Ultralytics"],
)
def test_a_detector_gets_as_many_thresholds_as_its_manifest_has(data, manifest, chosen, carried):
    _, valid, _ = splits(data)
    exact, reduced = (marked_lesions(valid.samples, manifest is DETECTOR, factor) for factor in (1.0, 0.4))
    assert with_best_thresholds(manifest, valid, exact).thresholds == pytest.approx(chosen, abs=1e-4)
    # Of six lesions five reach 0.65; of a single class all or none do, and then the threshold stays.
    source = dataclasses.replace(manifest, thresholds=tuple(0.65 for _ in manifest.thresholds))
    got = with_matching_thresholds(manifest, reduced, source, exact).thresholds
    assert got == pytest.approx(carried, abs=1e-4)


def test_a_detectors_results_hold_all_boxes_that_average_precision_asks_for(exported, data):
    test = splits(data)[2]
    model = load_model(exported("detection"))
    results = predict_split(model, test)
    assert [result.source for result in results] == [sample.path.name for sample in test.samples]
    patient = load_model(exported("detection"), score_threshold=SCORE_THRESHOLD)
    assert [result.lesions for result in results] == [patient(sample.image()).lesions for sample in test.samples]


def test_a_multilabel_models_results_are_decided_by_its_own_thresholds(exported, data):
    test = splits(data)[2]
    results = predict_split(load_model(exported("multilabel"), score_threshold=1.0), test)
    own = load_model(exported("multilabel"))
    assert [result.labels for result in results] == [own(sample.image()).labels for sample in test.samples]


@pytest.mark.parametrize("task", ["detection", "multilabel"])
def test_results_at_hand_are_not_made_again(exported, data, task):
    model = load_model(exported(task))
    train, _, test = splits(data)
    results = predict_split(model, test)
    blind = Dataset(
        test.path,
        test.classes,
        tuple(Sample(sample.path.with_name("gone"), sample.boxes, sample.classes) for sample in test.samples),
    )
    with pytest.raises(SourceError, match="gone"):
        evaluate(model, train, blind)
    assert evaluate(model, train, blind, results)["images"] == 4


def test_a_detector_is_not_scored_on_a_table_without_boxes(exported, data):
    train, _, test = splits(data)
    table = Dataset(
        test.path,
        test.classes,
        tuple(Sample(sample.path, sample.boxes[:0], sample.classes[:0], sample.classes) for sample in test.samples),
    )
    with pytest.raises(SourceError, match="test: its labels have no boxes"):
        evaluate(load_model(exported("detection")), train, table)
    evaluate(load_model(exported("multilabel")), table, table)


@pytest.mark.parametrize("form", ["onnx", "tflite"])
def test_a_file_is_scored_by_the_command_and_written_where_asked(exported, data, tmp_path, form):
    arguments = ["evaluate", "--model", str(exported("multilabel", form)), "--data", str(data), "--split", "valid"]
    done = CliRunner().invoke(main, [*arguments, "--json", str(tmp_path / "out" / "measured.json")])
    assert (done.exit_code, done.stderr) == (0, "")
    measured = strict((tmp_path / "out" / "measured.json").read_text())
    assert measured["images"] == 4
    assert f"{measured['model']['macro_ap']:.3f}" in next(x for x in done.stdout.splitlines() if "macro AP" in x)
    assert done.stdout.splitlines()[0].startswith("tiny-cnn on 4 photographs of")
    assert strict(CliRunner().invoke(main, [*arguments, "--json", "-"]).stdout) == measured


@pytest.mark.parametrize("task", ["detection", "multilabel"])
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("marks", [[[0], [1], [2]], [[0, 3], [1, 3], [2, 3]]], ids=["on none", "on all"])
def test_a_class_on_none_or_all_of_the_photographs_leaves_figures_that_are_json(exported, data, tmp_path, task, marks):
    shutil.copytree(data / "train", tmp_path / "train")
    write_split(tmp_path / "test", marks)
    done = CliRunner().invoke(
        main, ["evaluate", "--model", str(exported(task)), "--data", str(tmp_path), "--json", "-"]
    )
    assert done.exit_code == 0
    assert strict(done.stdout)["images"] == 3


def test_a_split_of_other_classes_is_refused(exported, data, tmp_path):
    shutil.copytree(data / "train", tmp_path / "train")
    write_split(tmp_path / "test", [[0], [1]], classes=("papules", "pustules"))
    train, other = read_keras_txt(tmp_path / "train"), read_keras_txt(tmp_path / "test")
    with pytest.raises(SourceError, match=r"\['papules', 'pustules'\] are not those of tiny-cnn, \['comedones'"):
        evaluate(load_model(exported("multilabel")), train, other)


@pytest.mark.parametrize(
    ("arguments", "exit_code", "problem"),
    [
        (["--data", "DATA"], 2, "--model"),
        (["--model", "MODEL"], 2, "--data"),
        (["--model", "MODEL", "--data", "DATA", "--split", "train"], 2, "--split"),
        (["--model", "missing.onnx", "--data", "DATA"], 1, "missing.onnx: no such model file"),
        (["--model", "MODEL", "--data", "missing"], 1, "missing: no such folder"),
    ],
)
def test_a_wrong_call_names_what_is_wrong(exported, data, arguments, exit_code, problem):
    values = {"DATA": str(data), "MODEL": str(exported("multilabel"))}
    done = CliRunner().invoke(main, ["evaluate", *(values.get(argument, argument) for argument in arguments)])
    assert (done.exit_code, type(done.exception)) == (exit_code, SystemExit)
    assert problem in done.stderr
    if exit_code == 1:
        assert len(done.stderr.splitlines()) == 1
