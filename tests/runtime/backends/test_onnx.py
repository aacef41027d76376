import logging

import numpy as np
import onnxruntime
import pytest

from acne_runtime.backends import onnx as module
from acne_runtime.backends.onnx import devices
from acne_runtime.errors import BackendError, ModelError
from acne_runtime.load import load_model

ALL = ["TensorrtExecutionProvider", "CUDAExecutionProvider", "AzureExecutionProvider", "CPUExecutionProvider"]


@pytest.fixture
def file(exported):
    return exported("multilabel", "onnx")


@pytest.fixture
def build(monkeypatch):
    """Has the installed build pretend to have other providers; what is not CPU starts as told."""

    def pretend(*, providers=ALL, failing=(), silent=()):
        session = onnxruntime.InferenceSession
        tried = []

        class Session:
            def __init__(self, path, options, providers, enable_fallback):
                assert not enable_fallback  # it would print, and run on another device without a word
                tried.extend(providers)
                if providers[0] in failing:
                    raise RuntimeError("libcudart.so.12: cannot open shared object file")
                self.session = session(path, options, providers=["CPUExecutionProvider"])
                self.providers = ["CPUExecutionProvider"] if providers[0] in silent else providers

            def get_providers(self):
                return self.providers

            def __getattr__(self, name):
                return getattr(self.session, name)

        monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: providers)
        monkeypatch.setattr(module.onnxruntime, "InferenceSession", Session)
        return tried

    return pretend


def test_devices_bear_the_names_of_the_builds_providers_and_none_sends_pictures_away(build):
    build()
    assert devices() == {
        "tensorrt": "TensorrtExecutionProvider",
        "cuda": "CUDAExecutionProvider",
        "cpu": "CPUExecutionProvider",
    }


@pytest.mark.parametrize("device", ["tensorrt", "cuda", "cpu"])
def test_the_device_that_was_asked_for_runs(build, file, device):
    tried = build()
    assert load_model(file, device=device).backend.device == device
    assert tried == [devices()[device]]


def test_auto_takes_the_best_that_starts_quickly(build, file):
    tried = build()
    assert load_model(file, device="auto").backend.device == "cuda"
    assert tried == ["CUDAExecutionProvider"]


REASONS = pytest.mark.parametrize(
    ("how", "why"),
    [
        ("failing", "libcudart.so.12: cannot open shared object file"),
        ("silent", "its libraries are missing or too old"),
    ],
)


@REASONS
def test_auto_falls_back_and_logs_why(build, file, how, why, caplog):
    build(**{how: ["CUDAExecutionProvider"]})
    caplog.set_level(logging.INFO)
    backend = load_model(file, device="auto").backend
    assert backend.device == "cpu"
    assert caplog.messages == [f"cuda does not start: {why}", "tiny-cnn runs on cpu"]
    assert backend.run(np.zeros((1, 64, 64, 3), np.uint8))["label"].shape == (1, 4)


@REASONS
def test_a_device_that_does_not_start_is_refused_not_replaced(build, file, how, why):
    build(**{how: ["CUDAExecutionProvider"]})
    with pytest.raises(BackendError, match=rf"`device` cuda: .*could not start it here \({why}\); use `device` cpu"):
        load_model(file, device="cuda")


@pytest.mark.parametrize("device", ["cuda", "qnn", "azure"])
def test_a_device_that_the_build_has_not_is_refused_with_those_it_has(build, file, device):
    build(providers=["AzureExecutionProvider", "CPUExecutionProvider"])
    with pytest.raises(BackendError, match=f"`device` {device}: the installed ONNX Runtime has cpu; use `device` cpu"):
        load_model(file, device=device)


@pytest.mark.parametrize("device", ["auto", "cuda", "cpu"])
def test_a_damaged_file_is_not_blamed_on_the_device(build, tmp_path, device):
    build()
    (tmp_path / "a.onnx").write_bytes(b"no model")
    with pytest.raises(ModelError, match=r"a\.onnx: ONNX Runtime cannot open this model"):
        load_model(tmp_path / "a.onnx", device=device)


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # LiteRT's, from a half-made delegate
def test_a_delegate_that_cannot_be_loaded_is_named(exported, tmp_path):
    (tmp_path / "libedge.so").write_bytes(b"no library")
    with pytest.raises(BackendError, match=r"`delegate` .*libedge\.so: cannot be loaded"):
        load_model(exported("multilabel", "tflite"), delegate=tmp_path / "libedge.so")
