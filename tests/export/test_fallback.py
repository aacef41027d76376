import pytest

pytest.importorskip("tensorflow")

from support.exports import losing, make, recipe

from acne_export.exporters import EXPORTERS, FALLBACKS
from acne_export.exporting import AccuracyDropError, ExportOptions, export_with_fallback
from acne_runtime.load import load_model

pytestmark = pytest.mark.slow  # conversions


def test_a_fallback_skips_what_cannot_have_nms_in_the_graph(runs, tmp_path, monkeypatch, caplog):
    monkeypatch.chdir(tmp_path)
    options = ExportOptions(data=losing({"int8": 0.02}))
    with pytest.raises(AccuracyDropError, match="int8"):
        make(runs["detection"], recipe("onnx", "int8", nms=True), None, options, export_with_fallback)
    assert not any("float16" in line for line in caplog.messages)
    assert list(tmp_path.iterdir()) == []


def test_a_fallback_takes_the_next_precision_that_passes_and_says_so(runs, tmp_path, monkeypatch, caplog):
    monkeypatch.chdir(tmp_path)
    options = ExportOptions(data=losing({"int8": 0.02, "w8a16": 0.3}))
    file = make(runs["detection"], recipe("tflite", "int8"), None, options, export_with_fallback)
    assert file.name == "tiny-detector-dynamic.tflite"
    assert load_model(file).manifest.precision == "dynamic"
    refusals = [line for line in caplog.messages if ": not written: " in line]
    assert [line.split(":")[0] for line in refusals] == ["tiny-detector-int8.tflite", "tiny-detector-w8a16.tflite"]
    assert refusals[0].endswith("trying w8a16")
    assert "ap50 drops from 0.500 to 0.200" in refusals[1]
    assert sorted(path.name for path in tmp_path.iterdir()) == [file.name, f"{file.name}.json"]


def test_when_no_fallback_holds_the_last_refusal_is_told(runs, tmp_path):
    options = ExportOptions(data=losing(dict.fromkeys(("int8", "float16"), 0.02)))
    with pytest.raises(AccuracyDropError, match="at float16"):
        make(runs["detection"], recipe("onnx", "int8"), tmp_path / "m.onnx", options, export_with_fallback)
    assert list(tmp_path.iterdir()) == []


def test_every_fallback_is_a_pair_that_there_is():
    for (form, precision), others in FALLBACKS.items():
        assert (form, precision) in EXPORTERS
        assert others
        assert all((form, other) in EXPORTERS for other in others)
