"""A photograph that ends the process: the part is done again, without it in the end."""

import json
import subprocess
import sys

import pytest
from support.images import write_picture

from acne_runtime.archive.part_worker import ArchiveSettings, PartWorker

ATTEMPT = """
import os, sys
from acne_runtime.archive import part_worker
decode = part_worker.decode_frame
part_worker.decode_frame = lambda data, name, *rest: os._exit(9) if "crash" in name else decode(data, name, *rest)
settings = part_worker.ArchiveSettings((sys.argv[1],), sys.argv[2])
print(part_worker.PartWorker(settings)({"number": 3, "names": sys.argv[3:]}))
"""


@pytest.fixture(scope="module")
def model(exported):
    return str(exported("detection", "onnx", "float32"))


@pytest.fixture
def photographs(tmp_path):
    for index, name in enumerate(("a.jpg", "crash.jpg", "b.jpg")):
        write_picture(tmp_path / name, 60, 80, seed=index)
    return [str(tmp_path / name) for name in ("a.jpg", "crash.jpg", "b.jpg")]


def test_a_photograph_that_ends_the_process_is_a_failure_in_the_end(model, photographs, tmp_path):
    out = tmp_path / "out"
    command = [sys.executable, "-c", ATTEMPT, model, str(out), *photographs]
    codes = [subprocess.run(command, capture_output=True, check=False).returncode for _ in range(4)]
    assert codes == [9, 9, 9, 0]
    failure = json.loads((out / "failures" / "part-0000003.jsonl").read_text())
    assert failure == {"source": photographs[1], "error": f"{photographs[1]}: ends the process that reads it"}
    lines = (out / "results" / "part-0000003.jsonl").read_text().splitlines()
    assert [json.loads(line)["source"] for line in lines] == [photographs[0], photographs[2]]
    assert list((out / "started").iterdir()) == []


def test_a_process_that_was_killed_once_blames_no_photograph(model, photographs, tmp_path):
    worker = PartWorker(ArchiveSettings((model,), str(tmp_path / "out")))
    worker._store.write_started(0, {"at": photographs[1], "deaths": {}})
    assert worker({"number": 0, "names": photographs}) == {"photographs": 3, "failures": 0, "error": ""}
    assert not (tmp_path / "out" / "failures").exists()
