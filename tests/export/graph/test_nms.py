import dataclasses

import numpy as np
import pytest

pytest.importorskip("tensorflow")

from support.exports import recipe
from support.images import picture

from acne_export.exporters import EXPORTERS
from acne_export.exporting import export
from acne_export.run_folder import read_run_folder
from acne_export.validation import ValidationError
from acne_runtime.errors import ModelError
from acne_runtime.load import load_model
from acne_runtime.model import Model
from acne_runtime.postprocess.decode import lesion_scores

pytestmark = pytest.mark.slow  # conversions

PAIRS = sorted(EXPORTERS)
PHOTOGRAPHS = [picture(90, 120, 5), picture(64, 64, 6), picture(200, 100, 7)]


@pytest.mark.parametrize("form", ["onnx", "tflite"])
def test_suppression_inside_finds_what_the_runtime_finds(exported, form):
    inside, outside = load_model(exported("detection", form, nms=True)), load_model(exported("detection", form))
    assert inside.manifest.has_nms
    assert not outside.manifest.has_nms
    for photograph in PHOTOGRAPHS:
        one, other = inside(photograph), outside(photograph)
        assert one.counts() == other.counts()
        assert other.lesions
        for a, b in zip(sorted(one.lesions, key=by_box), sorted(other.lesions, key=by_box), strict=True):
            assert (a.name, a.score) == (b.name, pytest.approx(b.score, abs=1e-3))
            assert a.types == pytest.approx(b.types, abs=1e-3)
            assert a.box == pytest.approx(b.box, abs=0.5)


@pytest.mark.parametrize("form", ["onnx", "tflite"])
def test_box_voting_inside_moves_boxes_as_the_runtime_does(runs, exported, tmp_path, form):
    run = read_run_folder(runs["detection"])
    voting = {"nms_iou": 0.2, "nms_containment": 0.3, "box_voting_score": 0.1}
    run = dataclasses.replace(run, manifest=dataclasses.replace(run.manifest, **voting))
    export(run, recipe(form, nms=True), tmp_path / f"m.{form}")
    inside, plain = load_model(tmp_path / f"m.{form}"), load_model(exported("detection", form))
    outside = Model(dataclasses.replace(plain.manifest, **voting), plain.backend)
    moved = 0
    for photograph in PHOTOGRAPHS:
        one, other = inside(photograph).lesions, outside(photograph).lesions
        assert len(one) == len(other) > 0
        for a, b in zip(sorted(one, key=by_box), sorted(other, key=by_box), strict=True):
            assert a.box == pytest.approx(b.box, abs=0.01)
        moved += {lesion.box for lesion in other} != {lesion.box for lesion in plain(photograph).lesions}
    assert moved


def by_box(lesion):
    return tuple(round(side, 1) for side in lesion.box)


@pytest.mark.parametrize("form", ["onnx", "tflite"])
def test_a_lesion_score_inside_is_that_of_the_runtime(exported, form):
    inside = load_model(exported("detection", form, nms=True))
    for lesion in inside(PHOTOGRAPHS[0]).lesions:
        assert lesion.score == pytest.approx(float(lesion_scores(np.float32([lesion.types]))[0]), abs=1e-6)
        assert lesion.score >= np.float32(inside.manifest.thresholds[0])


@pytest.mark.parametrize(("form", "precision"), PAIRS)
def test_every_pair_takes_suppression_inside_or_says_why_not(exported, form, precision):
    if EXPORTERS[form, precision].no_nms:
        with pytest.raises(
            ModelError, match=f"^`nms`: not available with `precision` {precision}: .*; leave one of them out$"
        ):
            exported("detection", form, precision, nms=True)
        return
    inside, outside = (load_model(exported("detection", form, precision, nms=nms)) for nms in (True, False))
    for photograph in PHOTOGRAPHS:
        one, other = inside(photograph), outside(photograph)
        assert one.counts() == other.counts()
        assert other.lesions


def test_a_model_that_finds_nothing_cannot_show_that_suppression_works(runs, tmp_path):
    run = read_run_folder(runs["detection"])
    run = dataclasses.replace(run, manifest=dataclasses.replace(run.manifest, thresholds=(1.0,)))
    with pytest.raises(ValidationError, match=r"`nms`: the model finds no lesion .*`calibration`$"):
        export(run, recipe(nms=True), tmp_path / "m.onnx")
    assert list(tmp_path.iterdir()) == []


def test_thresholds_inside_cannot_be_lowered(exported):
    with pytest.raises(ModelError, match=r"the threshold is part of the file, `score_threshold` must be at least 0.95"):
        load_model(exported("detection", "onnx", nms=True), score_threshold=0.1)
    some = load_model(exported("detection", "onnx", nms=True), score_threshold=0.98)(PHOTOGRAPHS[0]).lesions
    assert some
    assert all(lesion.score >= 0.98 for lesion in some)
