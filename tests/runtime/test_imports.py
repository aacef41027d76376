import subprocess
import sys

import pytest

import acne_runtime

HEAVY = ("tensorflow", "keras", "keras_cv", "onnxruntime", "onnx", "ai_edge_litert", "matplotlib", "sklearn", "scipy")


def loaded_after(statement):
    """Names of the heavy packages that a fresh Python has loaded after a statement."""
    program = f"import sys; {statement}; print(*[name for name in {HEAVY!r} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    return set(done.stdout.split())


@pytest.mark.parametrize(
    "statement",
    [
        "import acne_runtime",
        "import acne_runtime.cli.run",
        "from acne_runtime import Manifest, Model, SeverityModel, TiledModel, load_model, open_source",
        "from acne_runtime.backends import base, tflite_metadata",
        "from acne_runtime import draw; from acne_runtime.sinks import annotated_media, console, json_lines, window",
        "import acne_export.cli",
        "import acne_trainer.cli.main",
    ],
)
def test_an_import_that_needs_no_backend_loads_none(statement):
    assert loaded_after(statement) == set()


@pytest.mark.parametrize(
    ("module", "backend"),
    [("acne_runtime.backends.onnx", "onnxruntime"), ("acne_runtime.backends.litert", "ai_edge_litert")],
)
def test_a_backend_loads_its_own_library_and_no_other(module, backend):
    pytest.importorskip(backend)
    assert loaded_after(f"import {module}") == {backend}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("package", "forbidden"),
    [
        ("acne_runtime.cli.run", ("acne_export", "acne_trainer")),
        ("acne_export.exporting", ("acne_trainer", "keras_cv")),
        ("acne_trainer.train", ("acne_export",)),
    ],
)
def test_packages_know_only_the_runtime(package, forbidden):
    if package != "acne_runtime.cli.run":
        pytest.importorskip("tensorflow")
    program = f"import sys, {package}; print(*[name for name in {forbidden!r} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.split() == []


def test_the_front_door_is_lazy_and_complete():
    program = "import sys, acne_runtime; print('numpy' in sys.modules, 'cv2' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert (done.stdout, done.stderr) == ("False False\n", "")
    assert sorted(acne_runtime.__all__) == acne_runtime.__all__
    assert all(getattr(acne_runtime, name).__name__ == name for name in acne_runtime.__all__)
    with pytest.raises(AttributeError, match="has no attribute 'load_modle'"):
        acne_runtime.load_modle  # noqa: B018
