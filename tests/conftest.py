import os
import signal
from pathlib import Path

import pytest

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("CUDA_VISIBLE_DEVICES", "-1")

SHARED_DATA = Path(__file__).resolve().parents[2] / "shared" / "data"


def pytest_configure(config):
    config.addinivalue_line("markers", "shared_data: reads the labelled photographs that lie next to the repository")
    config.addinivalue_line("markers", "slow: takes more than half a minute")


def pytest_collection_modifyitems(items):
    for item in items:
        if "shared_data" in getattr(item, "fixturenames", ()):
            item.add_marker("shared_data")


@pytest.fixture(scope="session")
def shared_data():
    if not SHARED_DATA.is_dir():
        pytest.skip(f"{SHARED_DATA} does not exist: the photographs are no part of the repository")
    return SHARED_DATA


@pytest.fixture
def ctrl_c():
    """Has Ctrl-C interrupt, here and in child processes: what a shell starts with `&` ignores it."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.fixture(scope="session")
def tiny():
    """The module that builds tiny models; TensorFlow, which it needs, costs seconds and is not on a device."""
    pytest.importorskip("tensorflow")
    from support import tiny_models

    return tiny_models


@pytest.fixture(scope="session")
def networks(tiny):
    return {task: build() for task, build in tiny.NETWORKS.items()}


@pytest.fixture(scope="session")
def runs(tiny, networks, tmp_path_factory):
    """Run folders by task; tests that change one work on a copy."""
    return {
        task: tiny.write_run(tmp_path_factory.mktemp(f"run-{task}"), network, tiny.MANIFESTS[task])
        for task, network in networks.items()
    }


@pytest.fixture(scope="session")
def exported(runs, tmp_path_factory):
    """Gives the converted file of a task, format and precision; each is converted once."""
    from acne_export.exporting import export
    from acne_export.recipe import Recipe
    from acne_export.run_folder import read_run_folder

    folder = tmp_path_factory.mktemp("exported")
    made = {}

    def convert(task, form="onnx", precision="float32", **changes):
        run = read_run_folder(runs[task])
        recipe = Recipe(form, precision, **{"input": "uint8", "size": run.manifest.input.width, **changes})
        if (task, recipe) not in made:
            target = folder / recipe.file_name(run.manifest.name, run.manifest.input.width)
            made[task, recipe] = export(run, recipe, target)
        return made[task, recipe]

    return convert
