import json
import os
import socket
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from support.images import picture

pytest.importorskip("tensorflow")

import cv2
import tensorflow as tf

from acne_runtime.errors import AcneEdgeError
from acne_trainer.distributed import any_worker, is_chief, make_strategy

SCRIPT = Path(__file__).parents[1] / "support" / "distributed_step.py"


@pytest.mark.parametrize("devices", ["tpu", "gpu:", "gpu:one", "cpu:0,", "", "gpu:0 1"])
def test_devices_that_do_not_parse_are_refused(devices):
    with pytest.raises(AcneEdgeError, match=r"--devices .*: expected auto, cpu, gpu or gpu:0,1"):
        make_strategy(devices)


def test_a_gpu_that_is_not_there_is_refused_with_the_way_out():
    with pytest.raises(AcneEdgeError, match=r"--devices gpu:7: TensorFlow sees .*--devices cpu"):
        make_strategy("gpu:7")


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    folder = tmp_path_factory.mktemp("data")
    lines = []
    for n in range(12):
        cv2.imwrite(str(folder / f"{n}.png"), picture(64, 64, n))
        lines.append(f"{n}.png 8,8,28,30,{n % 4} 36,30,{46 + n},44,{(n + 1) % 4}")
    (folder / "_annotations.txt").write_text("\n".join(lines))
    (folder / "_classes.txt").write_text("comedones\nnodules\npapules\npustules\n")
    return folder


def start(devices, data, run, **environment):
    return subprocess.Popen(
        [sys.executable, str(SCRIPT), devices, str(data), str(run)],
        env=os.environ | {"PYTHONPATH": str(SCRIPT.parents[1])} | environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def answer(process):
    out, errors = process.communicate(timeout=500)
    assert process.returncode == 0, errors[-2000:]
    return json.loads(out.splitlines()[-1])


def free_port():
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return one.getsockname()[1]


@pytest.mark.slow
def test_two_devices_and_two_machines_train_as_one(data, tmp_path):
    one = answer(start("cpu", data, tmp_path / "one"))
    two = answer(start("cpu:0,1", data, tmp_path / "two"))
    workers = [f"127.0.0.1:{free_port()}" for _ in range(2)]
    machines = [
        start(
            "cpu",
            data,
            tmp_path / f"machine-{index}",
            TF_CONFIG=json.dumps({"cluster": {"worker": workers}, "task": {"type": "worker", "index": index}}),
        )
        for index in range(2)
    ]
    answers = [answer(machine) for machine in machines]
    assert [got["replicas"] for got in (one, two, *answers)] == [1, 2, 2, 2]
    for got in (two, *answers):
        np.testing.assert_allclose(got["losses"], one["losses"], rtol=1e-4)
        np.testing.assert_allclose(got["weights"], one["weights"], rtol=1e-3, atol=1e-3)
        np.testing.assert_allclose(got["moments"], one["moments"], rtol=0.02, atol=1e-5)
    # The first machine alone writes a run folder.
    assert (tmp_path / "machine-0" / "history.csv").exists()
    assert not (tmp_path / "machine-1").exists()


def machines(task, names):
    """What a strategy knows of the machines it runs on."""
    cluster = SimpleNamespace(jobs=names)
    resolver = SimpleNamespace(task_type=task[0], task_id=task[1], cluster_spec=lambda: cluster)
    return SimpleNamespace(cluster_resolver=resolver)


@pytest.mark.parametrize(
    ("task", "names", "first"),
    [
        (("worker", 0), ["worker"], True),
        (("worker", 1), ["worker"], False),
        (("chief", 0), ["chief", "worker"], True),
        (("worker", 0), ["chief", "worker"], False),
        ((None, None), [], True),
    ],
)
def test_one_machine_alone_is_the_first(task, names, first):
    assert is_chief(machines(task, names)) == first


@pytest.mark.parametrize("flag", [True, False])
def test_alone_a_flag_is_ones_own(flag):
    assert any_worker(tf.distribute.get_strategy(), flag) is flag
