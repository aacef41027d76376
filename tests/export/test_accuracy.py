"""The trainer's command, asked for real."""

import pytest

pytest.importorskip("tensorflow")
pytest.importorskip("faster_coco_eval")

from support.run_folders import write_data

from acne_export.accuracy import HEADLINE, LabelledSet
from acne_runtime.errors import AcneEdgeError
from acne_runtime.load import load_model

pytestmark = pytest.mark.slow  # conversions


@pytest.fixture(scope="module")
def photographs(tmp_path_factory):
    return LabelledSet(write_data(tmp_path_factory.mktemp("data")), "test")


@pytest.mark.parametrize("task", ["detection", "multilabel"])
def test_figures_and_thresholds_are_the_trainers(exported, photographs, task):
    file = exported(task, "onnx")
    measured = photographs.metrics(file, task)
    assert measured["photographs"] == 5
    assert 0 <= measured[HEADLINE[task]] <= 1
    assert set(measured["recall_by_class"]) == {"comedones", "nodules", "papules", "pustules"}
    assert ("count_error" in measured) == (task == "detection")
    thresholds = photographs.thresholds(file, file)
    assert len(thresholds) == {"detection": 1, "multilabel": 4}[task]
    assert thresholds == pytest.approx(load_model(file).manifest.thresholds, abs=0.1)


def test_a_folder_without_photographs_is_one_line(exported, tmp_path):
    with pytest.raises(AcneEdgeError) as refused:
        LabelledSet(tmp_path, "test").metrics(exported("detection", "onnx"), "detection")
    assert str(refused.value).startswith(f"`data` {tmp_path}: ")
    assert "\n" not in str(refused.value)
    assert "Traceback" not in str(refused.value)
