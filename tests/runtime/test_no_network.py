"""The real command in a process that the kernel kills as soon as it asks for a socket of any kind."""

import json
import platform
import signal
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

REPOSITORY = Path(__file__).resolve().parents[2]
SHIPPED = REPOSITORY / "models" / "acne-yolov8-lite0"
FILES = {"onnx": SHIPPED / "acne-yolov8-lite0.onnx", "litert": SHIPPED / "acne-yolov8-lite0-int8.tflite"}
BACKENDS = pytest.mark.parametrize("backend", FILES)

NO_SECCOMP = 77

# A filter in classic BPF (seccomp(2)): on this machine's own calls, `socket`, `connect` and `io_uring_setup` kill the
# process, and so does every call in another machine's numbering. Threads to come are under it too.
LOCKED = f"""
import ctypes, os, platform, resource, runpy, socket, struct, sys

resource.setrlimit(resource.RLIMIT_CORE, (0, 0))  # those killed would leave a file

AUDIT_ARCH, SOCKET, CONNECT = {{"x86_64": (0xC000003E, 41, 42), "aarch64": (0xC00000B7, 198, 203)}}[platform.machine()]
IO_URING_SETUP = 425
LOAD, EQUAL, AT_LEAST, RETURN = 0x20, 0x15, 0x35, 0x06
KILL, ALLOW, X32 = 0x80000000, 0x7FFF0000, 0x40000000

program = [
    (LOAD, 0, 0, 4),  # the machine
    (EQUAL, 0, 5, AUDIT_ARCH),
    (LOAD, 0, 0, 0),  # the call's number
    (AT_LEAST, 3, 0, X32),
    (EQUAL, 2, 0, SOCKET),
    (EQUAL, 1, 0, CONNECT),
    (EQUAL, 0, 1, IO_URING_SETUP),
    (RETURN, 0, 0, KILL),
    (RETURN, 0, 0, ALLOW),
]
code = ctypes.create_string_buffer(b"".join(struct.pack("HBBI", *line) for line in program))


class Program(ctypes.Structure):
    _fields_ = [("length", ctypes.c_ushort), ("filter", ctypes.c_void_p)]


prctl = ctypes.CDLL(None, use_errno=True).prctl
prctl.argtypes = [ctypes.c_int, *[ctypes.c_ulong] * 4]
NO_NEW_PRIVS, SET_SECCOMP, MODE_FILTER = 38, 22, 2
described = Program(len(program), ctypes.addressof(code))
if prctl(NO_NEW_PRIVS, 1, 0, 0, 0) or prctl(SET_SECCOMP, MODE_FILTER, ctypes.addressof(described), 0, 0):
    print(os.strerror(ctypes.get_errno()))
    sys.exit({NO_SECCOMP})
"""
COMMAND = 'runpy.run_module("acne_runtime.cli.run", run_name="__main__", alter_sys=True)'
EMBEDDER = """
import cv2
from acne_runtime.load import load_model

model = load_model(sys.argv[1])
print(model(cv2.imread("samples/rendered_skin.jpg")).to_dict()["lesions"])
"""


def child(script, *arguments):
    return subprocess.run(
        [sys.executable, "-c", script, *map(str, arguments)],
        cwd=REPOSITORY,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def locked(rest, *arguments):
    return child(LOCKED + rest, *arguments)


@pytest.fixture(scope="module", autouse=True)
def seccomp():
    if sys.platform != "linux" or platform.machine() not in ("x86_64", "aarch64"):
        pytest.skip("seccomp is Linux's, and the numbers of its calls are known for x86_64 and aarch64")
    done = locked("")
    if done.returncode == NO_SECCOMP:
        pytest.skip(f"seccomp is not to be had here: {done.stdout.strip()}")
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize(
    "asks",
    [
        "socket.socket()",
        "socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)",
        "socket.socket(socket.AF_UNIX)",
        "ctypes.CDLL(None).connect(0, None, 0)",
        "ctypes.CDLL(None).syscall(IO_URING_SETUP, 1, None)",
        "import threading; thread = threading.Thread(target=socket.socket); thread.start(); thread.join()",
    ],
)
def test_whoever_asks_for_a_socket_is_killed(asks):
    done = locked(f'print("before", flush=True)\n{asks}\nprint("after")')
    assert (done.returncode, done.stdout) == (-signal.SIGSYS, "before\n")


def test_a_url_asks_for_a_socket():
    done = locked(COMMAND, "--source", "http://127.0.0.1:9/x", "--model", FILES["litert"], "--json", "-")
    assert (done.returncode, done.stdout) == (-signal.SIGSYS, "")


def lines(file):
    answers = [json.loads(line) for line in file.read_text().splitlines()]
    for line in answers:
        del line["timing_ms"]
    return answers


@BACKENDS
def test_photographs_are_looked_at_without_a_socket_and_with_the_same_answer(backend, tmp_path):
    answers = []
    for run in (locked, lambda rest, *arguments: child(f"import runpy\n{rest}", *arguments)):
        file = tmp_path / f"{len(answers)}.jsonl"
        done = run(COMMAND, "--source", "samples", "--model", FILES[backend], "--json", file)
        assert (done.returncode, done.stderr) == (0, "")
        answers.append(lines(file))
    assert answers[0] == answers[1]
    assert [Path(line["source"]).name for line in answers[0]] == ["astronaut.png", "rendered_skin.jpg"]
    assert any(line["lesions"] for line in answers[0])


def test_a_videos_name_opens_no_socket(tmp_path):
    """FFmpeg would take it for an address."""
    name = "http:127.0.0.1:9?.mp4"
    writer = cv2.VideoWriter(str(tmp_path / "a.mp4"), cv2.VideoWriter.fourcc(*"mp4v"), 10.0, (64, 48))
    writer.write(np.zeros((48, 64, 3), np.uint8))
    writer.release()
    (tmp_path / "a.mp4").rename(tmp_path / name)
    model, out = REPOSITORY / FILES["litert"], tmp_path / "out.jsonl"
    done = locked(
        f"import os; os.chdir({str(tmp_path)!r})\n{COMMAND}", "--source", name, "--model", model, "--json", out
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert [line["source"] for line in lines(out)] == [name]


@BACKENDS
def test_a_program_that_embeds_the_runtime_opens_no_socket(backend):
    done = locked(EMBEDDER, FILES[backend])
    assert done.returncode == 0
    assert done.stdout.startswith("[{'class': ")
