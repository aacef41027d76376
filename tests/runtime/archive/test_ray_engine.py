"""`acne-run --engine ray`: the same answers as the plain command, whatever is killed."""

import json
import os
import signal
import socket
import subprocess
import sys
import time

import pytest
from click.testing import CliRunner
from support.images import write_picture

pytest.importorskip("ray", reason="the extra `ray` is not installed")

from acne_runtime.cli.run import main

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def model(exported):
    return exported("detection", "onnx", "float32")


@pytest.fixture(scope="module")
def archive(tmp_path_factory):
    folder = tmp_path_factory.mktemp("archive")
    for index in range(23):
        write_picture(folder / f"{index:02}.jpg", 60, 80 + index, seed=index)
    (folder / "07.jpg").write_bytes(b"no photograph")
    return folder


@pytest.fixture(scope="module")
def plain(archive, model, tmp_path_factory):
    """The lines of the plain command, sorted."""
    file = tmp_path_factory.mktemp("plain") / "out.jsonl"
    run("--source", archive, "--model", model, "--json", file, "--no-timing")
    lines = sorted(file.read_text().splitlines())
    assert len(lines) == 22
    return lines


def run(*arguments):
    return CliRunner().invoke(main, [str(argument) for argument in arguments])


def command(*arguments):
    """Starts the command in a process of its own."""
    words = [sys.executable, "-m", "acne_runtime.cli.run", "--engine", "ray", "--num-workers", "2"]
    return subprocess.Popen(
        [*words, *map(str, arguments)],
        stderr=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def results(out):
    return sorted(line for file in (out / "results").iterdir() for line in file.read_text().splitlines())


def test_an_archive_killed_and_resumed_has_the_lines_of_the_plain_command(archive, model, plain, tmp_path):
    arguments = ("--source", archive, "--model", model, "--out", tmp_path / "out", "--part-size", 2)
    process = command(*arguments)
    while process.poll() is None and len(list((tmp_path / "out").glob("results/part-*.jsonl"))) < 3:
        time.sleep(0.02)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    before = {file.name: file.stat().st_mtime_ns for file in (tmp_path / "out" / "results").glob("part-*.jsonl")}
    assert before
    refused = run("--engine", "ray", *arguments)
    assert refused.exit_code == 1
    assert refused.stderr.endswith("holds the results of a run; add --resume to go on, or name another folder\n")

    process = command(*arguments, "--resume")
    output, errors = process.communicate(timeout=300)
    assert process.returncode == 1
    assert "Traceback" not in errors
    lines = errors.splitlines()
    assert lines[-1].startswith("Error: 1 of 23 image(s) could not be read or used; ")
    assert lines[-2].startswith("23 of 23 photographs, ")
    assert output == ""
    assert results(tmp_path / "out") == plain
    (failure,) = [json.loads(line) for file in (tmp_path / "out" / "failures").iterdir() for line in file.open()]
    assert failure["source"] == str(archive / "07.jpg")
    after = {file.name: file.stat().st_mtime_ns for file in (tmp_path / "out" / "results").iterdir()}
    assert {name: after[name] for name in before} == before  # each part is written once

    other = run("--engine", "ray", *arguments[:-1], 3, "--resume")
    assert other.stderr.endswith("its results are of another run (part_size changed); name another folder\n")


def free_port():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]


def test_a_cluster_is_used_from_outside(archive, model, plain, tmp_path, monkeypatch):
    monkeypatch.setenv("RAY_AUTH_MODE", "disabled")
    monkeypatch.setenv("RAY_USAGE_STATS_ENABLED", "0")
    port = free_port()
    words = f"start --head --block --num-cpus 2 --include-dashboard=false --port {free_port()}".split()
    ray = [sys.executable, "-m", "ray.scripts.scripts", *words, "--ray-client-server-port", str(port)]
    head = subprocess.Popen(ray, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True)
    try:
        for _ in range(300):
            with socket.socket() as link:
                if link.connect_ex(("127.0.0.1", port)) == 0:
                    break
            time.sleep(0.1)
        for again in ((), ("--resume",), ("--resume",)):  # on a busy machine Ray's server of a client may not start
            process = command(
                *("--source", archive, "--model", model, "--out", tmp_path / "out", "--part-size", 8),
                *("--cluster", f"ray://127.0.0.1:{port}", *again),
            )
            _, errors = process.communicate(timeout=300)
            if "cannot be reached" not in errors:
                break
    finally:
        os.killpg(head.pid, signal.SIGKILL)  # its processes end with it
        head.wait(timeout=60)
    assert process.returncode == 1, errors
    assert "1 of 23 image(s) could not be read" in errors
    assert results(tmp_path / "out") == plain


def test_an_object_store_is_read_and_written(archive, model, plain, tmp_path, monkeypatch):
    pytest.importorskip("s3fs")
    server_of = pytest.importorskip("moto.server")
    server = server_of.ThreadedMotoServer(ip_address="127.0.0.1", port=0)
    server.start()
    try:
        host, port = server.get_host_and_port()
        for name, value in {
            "AWS_ENDPOINT_URL": f"http://{host}:{port}",
            "AWS_ACCESS_KEY_ID": "test",
            "AWS_SECRET_ACCESS_KEY": "test",
            "AWS_DEFAULT_REGION": "us-east-1",
        }.items():
            monkeypatch.setenv(name, value)
        import s3fs

        store = s3fs.S3FileSystem(skip_instance_cache=True)
        store.mkdir("clinic")
        for file in archive.iterdir():
            store.pipe_file(f"clinic/faces/{file.name}", file.read_bytes())
        process = command(
            "--source", "s3://clinic/faces", "--model", model, "--out", "s3://clinic/out", "--part-size", 8
        )
        _, errors = process.communicate(timeout=300)
        assert process.returncode == 1, errors
        assert "1 of 23 image(s) could not be read" in errors
        store.invalidate_cache()
        written = [
            line for path in store.ls("clinic/out/results") for line in store.cat_file(path).decode().splitlines()
        ]
        renamed = [line.replace(str(archive), "s3://clinic/faces") for line in plain]
        assert sorted(written) == sorted(renamed)
        process = command("--source", "s3://nosuch", "--model", model, "--out", tmp_path / "none")
        _, errors = process.communicate(timeout=60)
        assert process.returncode == 1
        assert errors.startswith("Error: s3://nosuch: ")
        assert len(errors.splitlines()) == 1
    finally:
        server.stop()


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        (["--engine", "ray", "--source", "x"], "--engine ray needs --source, the archive, and --out"),
        (["--engine", "ray", "--source", "x", "--out", "o", "--csv", "a.csv"], "--csv does not go with --engine ray"),
        (["--engine", "ray", "--source", "x", "--out", "o", "--track"], "--track does not go with --engine ray"),
        (["--source", "x", "--out", "o"], "--out needs --engine ray"),
        (["--source", "x", "--resume"], "--resume needs --engine ray"),
    ],
)
def test_options_that_do_not_go_together_are_said(arguments, problem):
    refused = run(*arguments)
    assert refused.exit_code == 2
    assert problem in refused.stderr


def test_a_wrong_model_or_cluster_is_said_before_any_worker_starts(archive, model, tmp_path):
    for arguments, problem in (
        (["--model", "nosuch"], "neither a .onnx or .tflite file nor a shipped model"),
        (["--model", "acne-cnn", "--severity"], "--severity: none of the models detects"),
    ):
        refused = run("--engine", "ray", "--source", archive, "--out", tmp_path / "out", *arguments)
        assert refused.exit_code == 1
        assert problem in refused.stderr
        assert not (tmp_path / "out").exists()


def test_parquet_has_a_row_for_each_photograph_and_each_failure(archive, model, tmp_path):
    parquet = pytest.importorskip("pyarrow.parquet")
    gone = tmp_path / "gone.jpg"
    (tmp_path / "list.txt").write_text("\n".join([*(str(file) for file in sorted(archive.glob("*.jpg"))), str(gone)]))
    process = command(
        *("--source", tmp_path / "list.txt", "--model", model, "--out", tmp_path / "out", "--quiet"),
        *("--out-format", "parquet"),
    )
    _, errors = process.communicate(timeout=300)
    assert errors.splitlines() == [
        f"Error: 2 of 24 image(s) could not be read or used; {tmp_path / 'out'}/failures says why"
    ]
    assert parquet.read_table(tmp_path / "out" / "results").num_rows == 22
    failures = parquet.read_table(tmp_path / "out" / "failures").to_pylist()
    assert {"source": str(gone), "error": f"{gone}: No such file or directory"} in failures


def test_a_list_goes_through_the_plain_command_too(archive, model, plain, tmp_path):
    (archive / "list.txt").write_text("03.jpg\n01.jpg\n")
    done = run("--source", archive / "list.txt", "--model", model, "--json", "-", "--no-timing", "--quiet")
    (archive / "list.txt").unlink()
    assert done.exit_code == 0
    assert sorted(done.stdout.splitlines()) == [line for line in plain if "/01.jpg" in line or "/03.jpg" in line]
