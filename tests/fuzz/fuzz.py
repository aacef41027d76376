"""Damaged input by the million: `python tests/fuzz/fuzz.py --inputs 1000000`.

Small pictures and videos of every kind, labels, manifests, model files and their metadata are damaged at random, and
read as the packages read them. Each must come out as what it is or end in one of our own errors, of one line, within
ten seconds; anything else, also a crash of native code, is printed with the number that makes it again
(`--first NUMBER --inputs 1 --only TARGET`).
"""

from __future__ import annotations

import io
import json
import mmap
import os
import re
import signal
import struct
import tempfile
import zipfile
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from time import perf_counter, sleep
from types import SimpleNamespace
from typing import Any

import click
import cv2
import numpy as np

from acne_runtime.backends.tflite_metadata import archived_metadata, read_metadata
from acne_runtime.backends.ultralytics_manifest import read_ultralytics_manifest
from acne_runtime.cli.native_logs import silence_native_logs
from acne_runtime.errors import AcneEdgeError
from acne_runtime.load import load_model
from acne_runtime.manifest import METADATA_KEY, Manifest
from acne_runtime.sources.container import missing_bytes
from acne_runtime.sources.image_files import decode_image
from acne_runtime.sources.standard_input import read_stream
from acne_runtime.sources.video_file import Video

SHIPPED = Path(__file__).parents[2] / "models"
HEIF_FILES = Path(__file__).parents[1] / "runtime" / "sources" / "heif_files"
MAX_PIXELS = 1_000_000
LIMIT_S = 10
ODD = (
    None,
    True,
    -1,
    0,
    1,
    3,
    2**31,
    10**40,
    1e308,
    float("nan"),
    float("inf"),
    "",
    "x",
    "\ud800",
    [],
    {},
    [[]],
    [None],
)
WORDS = (
    b"",
    b"-1",
    b"0",
    b"1",
    b"0.5",
    b"99",
    b"nan",
    b"inf",
    b"1e309",
    b"0x1",
    b"x",
    b"null",
    b"\xc3\xa4",
    b"1" * 400,
)
EDGES = (b"\0\0\0\0", b"\xff\xff\xff\xff", b"\x7f\xff\xff\xff", b"\xff\xff\xff\x7f", b"\1\0\0\0", b"\0\0\0\1")

Rng = np.random.Generator


def damaged_bytes(data: bytes, others: Sequence[bytes], rng: Rng) -> bytes:
    """Flips, sets, cuts, repeats, and splices pieces of `others`, one to five times."""
    found = bytearray(data)
    for _ in range(rng.integers(1, 6)):
        if not found:
            break
        place, length = int(rng.integers(len(found))), int(rng.integers(1, 33))
        match rng.integers(7):
            case 0:
                found[place] ^= 1 << int(rng.integers(8))
            case 1:
                found[place : place + length] = rng.bytes(length)
            case 2:
                found[place : place + 4] = EDGES[rng.integers(len(EDGES))]
            case 3:
                del found[place:]
            case 4:
                del found[place : place + length]
            case 5:
                found[place:place] = found[place : place + length]
            case _:
                other = others[rng.integers(len(others))]
                begin = int(rng.integers(len(other)))
                found[place : place + length] = other[begin : begin + length]
    return bytes(found)


def damaged_text(data: bytes, others: Sequence[bytes], rng: Rng) -> bytes:
    """Replaces one to three words or numbers."""
    words = re.split(rb"([\w.-]+)", data)
    for _ in range(rng.integers(1, 4)):
        words[2 * int(rng.integers(len(words) // 2)) + 1] = WORDS[rng.integers(len(WORDS))]
    return b"".join(words)


def damaged_json(value: Any, rng: Rng) -> Any:
    """Puts odd values, lacks and surplus somewhere into what `json.loads` gave."""
    if isinstance(value, (dict, list)) and value and rng.random() < 0.85:
        keys = list(value) if isinstance(value, dict) else list(range(len(value)))
        key = keys[rng.integers(len(keys))]
        copy: Any = value.copy()
        match rng.integers(8):
            case 0:
                del copy[key]
            case 1 if isinstance(copy, dict):
                copy[str(ODD[rng.integers(len(ODD))])] = copy[key]
            case 2 if isinstance(copy, list):
                copy.append(copy[key])
            case _:
                copy[key] = damaged_json(copy[key], rng)
        return copy
    return ODD[rng.integers(len(ODD))]


def pictures() -> list[bytes]:
    """Returns small pictures of every kind and depth that the runtime reads."""
    rng = np.random.default_rng(0)
    colour = cv2.resize(rng.integers(0, 256, (6, 8, 3), np.uint8), (24, 20), interpolation=cv2.INTER_CUBIC)
    grey, deep = colour[..., 0].copy(), colour.astype(np.uint16) * 257
    alpha = np.dstack([colour, grey])
    kinds: list[tuple[str, Any, list[int]]] = [
        (".jpg", colour, []),
        (".jpg", colour, [cv2.IMWRITE_JPEG_PROGRESSIVE, 1]),
        (".jpg", grey, []),
        (".png", colour, []),
        (".png", alpha, []),
        (".png", deep, []),
        (".png", grey, [cv2.IMWRITE_PNG_BILEVEL, 1]),
        (".bmp", colour, []),
        (".bmp", grey, []),
        (".webp", colour, [cv2.IMWRITE_WEBP_QUALITY, 60]),
        (".webp", alpha, [cv2.IMWRITE_WEBP_QUALITY, 101]),
        (".tiff", colour, [cv2.IMWRITE_TIFF_COMPRESSION, 1]),
        (".tiff", deep, [cv2.IMWRITE_TIFF_COMPRESSION, 5]),
        (".tiff", grey, []),
        (".gif", colour, []),
    ]
    found = [cv2.imencode(suffix, image, options)[1].tobytes() for suffix, image, options in kinds]
    turned = b"\xff\xe1\x00\x22Exif\0\0MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0\x06\0\0\0\0\0\0"
    # Places of two pictures (CIPA DC-007): this one, and one behind it.
    entries = struct.pack(">4xII4x4xII4x", len(found[0]), 0, len(found[2]), len(found[0]) + 56)
    two = b"MPF\0MM\0*" + struct.pack(">IHHHIII", 8, 1, 0xB002, 7, len(entries), 26, 0) + entries
    with_another = found[0][:2] + b"\xff\xe2" + struct.pack(">H", len(two) + 2) + two + found[0][2:] + found[2]
    return [*found, found[0][:2] + turned + found[0][2:], with_another]


@dataclass(frozen=True)
class Target:
    """What is damaged, and what reads it."""

    name: str
    share: float
    read: Callable[[Rng], object]


def targets() -> list[Target]:
    """Returns all targets; each makes its input from the generator that it is given."""
    seeds = pictures()
    texts = [file.read_bytes() for file in sorted(SHIPPED.glob("*/*.json")) if b'"schema"' in file.read_bytes()]
    texts = [text for text in texts if b'"thresholds"' in text]
    parsed = [json.loads(text) for text in texts]
    tflite = _small_tflite()
    archive = io.BytesIO(tflite)
    with zipfile.ZipFile(archive, "a") as zipped:
        zipped.writestr("metadata.json", json.dumps(THEIRS))
    archived = archive.getvalue()

    def manifest_values(rng: Rng) -> object:
        value = parsed[rng.integers(len(parsed))]
        for _ in range(rng.integers(1, 4)):
            value = damaged_json(value, rng)
        return _asked(Manifest.from_json(json.dumps(value), "fuzz"))

    def manifest_text(rng: Rng) -> object:
        return _asked(Manifest.from_json(damaged_bytes(texts[rng.integers(len(texts))], texts, rng), "fuzz"))

    def metadata(rng: Rng) -> object:
        try:
            return read_metadata(damaged_bytes(tflite, seeds, rng), METADATA_KEY)
        except ValueError as error:  # which the backend makes one line of
            raise AcneEdgeError(str(error)) from error

    def theirs(rng: Rng) -> object:
        metadata = {key: value for key, value in THEIRS.items() if rng.random() < 0.97}
        key = list(metadata)[rng.integers(len(metadata))]
        metadata[key] = damaged_bytes(metadata[key].encode(), [b"{}[](),'\"0:-1e9"], rng).decode("utf-8", "replace")
        metadata = {"task": "detect", "names": "{0: 'a'}", "imgsz": "[64, 64]"} | metadata
        shapes: list[Sequence[int | str]] = [(1, 3, 64, 64), (1, 64, 64, 3), ("batch", 3, "h", "w"), ()]
        shape = shapes[rng.integers(1, 3)] if rng.random() < 0.9 else shapes[0]
        opened = SimpleNamespace(
            name="onnx", foreign_metadata=metadata, outputs=["output0"], input_shape=shape, input_dtype="float32"
        )
        return _asked(read_ultralytics_manifest(opened, "fuzz"))  # type: ignore[arg-type]

    heif = [file.read_bytes() for file in sorted(HEIF_FILES.iterdir()) if file.suffix in (".heic", ".avif")]
    clips = _clips()
    onnx = _small_onnx() if find_spec("onnx") else b""

    def video(rng: Rng) -> object:
        suffix = list(clips)[rng.integers(len(clips))]
        file = _scratch() / f"clip{suffix}"
        file.write_bytes(damaged_bytes(clips[suffix], list(clips.values()), rng))
        missing_bytes(file)
        return [frame.time_s for frame, _ in zip(Video(file), range(30), strict=False)]

    def onnx_file(rng: Rng) -> object:
        file = _scratch() / "model.onnx"
        file.write_bytes(damaged_bytes(onnx, [onnx], rng))
        return load_model(file)(np.zeros((40, 60, 3), np.uint8))

    optional = {
        "pi_heif": Target("HEIC and AVIF", 0.02, lambda rng: decode_image(_one(heif, rng), "fuzz", MAX_PIXELS)),
        "tensorflow": Target("labels", 0.1, damaged_labels),
        "onnx": Target("ONNX file", 0.03, onnx_file),
    }
    return [
        *(target for package, target in optional.items() if find_spec(package)),
        Target("video", 0.03, video),
        Target("picture", 0.42, lambda rng: decode_image(_one(seeds, rng), "fuzz", MAX_PIXELS)),
        Target("pictures on stdin", 0.1, lambda rng: list(read_stream(_stream(seeds, rng), MAX_PIXELS))),
        Target("manifest, values", 0.1, manifest_values),
        Target("manifest, bytes", 0.05, manifest_text),
        Target("TFLite metadata", 0.05, metadata),
        Target("archive behind it", 0.05, lambda rng: archived_metadata(damaged_bytes(archived, [archived], rng))),
        Target("Ultralytics metadata", 0.05, theirs),
    ]


THEIRS = {
    "task": "detect",
    "names": "{0: 'comedones', 1: 'papules'}",
    "imgsz": "[640, 640]",
    "args": "{'batch': 1, 'nms': False}",
    "stride": "32",
}


def _one(seeds: Sequence[bytes], rng: Rng) -> bytes:
    return damaged_bytes(seeds[rng.integers(len(seeds))], seeds, rng)


def _stream(seeds: Sequence[bytes], rng: Rng) -> io.BytesIO:
    return io.BytesIO(b"".join(_one(seeds, rng) for _ in range(rng.integers(1, 4))))


def _scratch() -> Path:
    """A folder in memory for this process."""
    folder = Path("/dev/shm" if Path("/dev/shm").is_dir() else tempfile.gettempdir()) / f"fuzz-{os.getpid()}"
    folder.mkdir(exist_ok=True)
    return folder


def _clips() -> dict[str, bytes]:
    clips = {}
    for suffix, code in ((".mp4", "mp4v"), (".avi", "MJPG"), (".mkv", "mp4v")):
        file = _scratch() / f"seed{suffix}"
        writer = cv2.VideoWriter(str(file), cv2.VideoWriter.fourcc(*code), 10, (32, 24))
        for index in range(4):
            writer.write(np.full((24, 32, 3), 50 * index, np.uint8))
        writer.release()
        clips[suffix] = file.read_bytes()
    return clips


def _small_onnx() -> bytes:
    """A model without our digest, so that its damage reaches ONNX Runtime."""
    from onnx import TensorProto, helper, numpy_helper

    output = np.zeros((1, 6, 21), np.float32)
    output[0, :5, 3] = 8, 16, 4, 4, 0.9
    graph = helper.make_graph(
        [helper.make_node("Identity", ["value"], ["output0"])],
        "small",
        [helper.make_tensor_value_info("images", TensorProto.FLOAT, (1, 3, 32, 32))],
        [helper.make_tensor_value_info("output0", TensorProto.FLOAT, output.shape)],
        [numpy_helper.from_array(output, "value")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    helper.set_model_props(model, THEIRS | {"imgsz": "[32, 32]"})
    return model.SerializeToString()


_PNG = cv2.imencode(".png", np.zeros((48, 64, 3), np.uint8))[1].tobytes()
_VOC = b"""<annotation><filename>a.png</filename><size><width>64</width><height>48</height><depth>3</depth></size>
<object><name>papules</name><bndbox><xmin>4</xmin><ymin>5</ymin><xmax>20</xmax><ymax>22</ymax></bndbox></object>
</annotation>"""
_COCO = json.dumps(
    {
        "images": [{"id": 0, "file_name": "a.png", "width": 64, "height": 48}],
        "annotations": [{"id": 1, "image_id": 0, "category_id": 1, "bbox": [4, 4, 10, 10], "iscrowd": 0}],
        "categories": [{"id": 1, "name": "papules"}],
    }
).encode()
LABELS = {
    "yolo": (
        "yolo",
        [
            ("data.yaml", b"names: [papules, nodules]\nnc: 2\ntrain: train/images\n"),
            ("train/labels/a.txt", b"0 0.5 0.5 0.2 0.2\n1 0.1 0.1 0.3 0.1 0.3 0.3\n"),
            ("train/images/a.png", _PNG),
        ],
    ),
    "coco": ("coco", [("train/_annotations.coco.json", _COCO), ("train/a.png", _PNG)]),
    "voc": ("voc", [("train/a.xml", _VOC), ("train/a.png", _PNG)]),
    "keras": (
        "keras",
        [
            ("train/_annotations.txt", b"a.png 4,5,20,22,0 30,30,40,40,1\n"),
            ("train/_classes.txt", b"papules\nnodules\n"),
            ("train/a.png", _PNG),
        ],
    ),
    "csv": ("csv", [("train/_classes.csv", b"filename, papules, nodules\na.png, 1, 0\n"), ("train/a.png", _PNG)]),
}


def _asked(manifest: Manifest) -> Manifest:
    """Asks a manifest that was accepted everything that the runtime asks of it before the first photograph."""
    json.dumps([manifest.output_shape(output) for output in manifest.outputs])
    if len(f"{manifest.name} {' '.join(manifest.classes)}".encode().splitlines()) != 1:
        raise AssertionError("names that do not stand in one line")
    if Manifest.from_json(manifest.to_json(), "fuzz") != manifest:
        raise AssertionError("another manifest after writing and reading")
    return manifest


def _small_tflite() -> bytes:
    """Returns what of a TFLite file its metadata lies in; written as TensorFlow's schema has it."""
    import flatbuffers

    builder = flatbuffers.Builder(256)
    data = builder.CreateByteVector(b"{}")
    name = builder.CreateString(METADATA_KEY)

    def table(fields: dict[int, Callable[[int], None]]) -> int:
        builder.StartObject(7)
        for slot, add in fields.items():
            add(slot)
        return int(builder.EndObject())

    def vector(of: Sequence[int]) -> int:
        builder.StartVector(4, len(of), 4)
        for one in reversed(of):
            builder.PrependUOffsetTRelative(one)
        return int(builder.EndVector())

    buffer = table({0: lambda slot: builder.PrependUOffsetTRelativeSlot(slot, data, 0)})
    entry = table(
        {
            0: lambda slot: builder.PrependUOffsetTRelativeSlot(slot, name, 0),
            1: lambda slot: builder.PrependUint32Slot(slot, 0, 1),
        }
    )
    buffers, entries = vector([buffer]), vector([entry])
    model = table(
        {
            4: lambda slot: builder.PrependUOffsetTRelativeSlot(slot, buffers, 0),
            6: lambda slot: builder.PrependUOffsetTRelativeSlot(slot, entries, 0),
        }
    )
    builder.Finish(model, file_identifier=b"TFL3")
    return bytes(builder.Output())


def damaged_labels(rng: Rng) -> object:
    """Reads a small labelled set of which one file is damaged."""
    folder, files = LABELS[list(LABELS)[rng.integers(len(LABELS))]]
    root = _scratch() / folder
    if not root.is_dir():
        for name, content in files:
            (root / name).parent.mkdir(parents=True, exist_ok=True)
            (root / name).write_bytes(content)
    name, content = files[rng.integers(sum(not name.endswith(".png") for name, _ in files))]
    damage = damaged_text if rng.random() < 0.7 else damaged_bytes
    (root / name).write_bytes(damage(content, [content], rng))
    from acne_trainer.data.load import read_splits

    try:
        return [len(data.samples) for data in read_splits(root).values()]
    finally:
        (root / name).write_bytes(content)


def fuzz(target: Target, inputs: int, first: int = 0) -> tuple[Counter[str], list[str]]:
    """Returns how many inputs were accepted, refused and neither, and what the last were."""
    counts: Counter[str] = Counter()
    faults = []
    for number in range(first, first + inputs):
        try:
            target.read(np.random.default_rng([number, len(target.name)]))
            counts["accepted"] += 1
        except AcneEdgeError as error:
            counts["refused"] += 1
            if len(str(error).splitlines()) != 1:
                faults.append(f"{target.name} {number}: no single line: {str(error)!r}")
        except Exception as error:  # what this looks for
            faults.append(f"{target.name} {number}: {type(error).__name__}: {error}")
    counts["uncaught"] = len(faults)
    return counts, faults


def fuzz_in_processes(target: Target, inputs: int, first: int) -> tuple[Counter[str], list[str]]:
    """Does as `fuzz` in processes of its own, which may crash or hang: then the next one goes on behind that input."""
    counts: Counter[str] = Counter()
    faults: list[str] = []
    number, last = first, first + inputs
    shared = mmap.mmap(-1, 16)
    while number < last:
        reading, writing = os.pipe()
        child = os.fork()
        if child == 0:
            os.close(reading)
            with os.fdopen(writing, "w") as report:
                for at in range(number, last):
                    shared[:8] = struct.pack("<q", at)
                    signal.alarm(LIMIT_S)  # ends the process
                    found, wrong = fuzz(target, 1, at)
                    report.write(json.dumps([found, wrong]) + "\n")
            os._exit(0)
        os.close(writing)
        with os.fdopen(reading) as report:
            for line in report:
                try:
                    found, wrong = json.loads(line)
                except ValueError:  # cut off by a crash
                    continue
                counts.update(found)
                faults += wrong
        _, status = os.waitpid(child, 0)
        (at,) = struct.unpack("<q", shared[:8])
        if status == 0:
            break
        problem = "longer than 10 s" if os.WTERMSIG(status) == signal.SIGALRM else f"signal {os.WTERMSIG(status)}"
        faults.append(f"{target.name} {at}: {problem}")
        number = at + 1
        sleep(0.01)
    counts["uncaught"] = len(faults)
    return counts, faults


@click.command(help=__doc__)
@click.option("--inputs", default=120_000, show_default=True)
@click.option("--first", default=0, help="Number of the first input.")
@click.option("--only", help="One target.")
def main(inputs: int, first: int, only: str | None) -> None:
    """Damages, reads and prints."""
    cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)
    click.echo(f"{'damaged':22}{'inputs':>8}{'accepted':>10}{'refused':>9}{'uncaught':>10}{'seconds':>9}")
    every: list[str] = []
    total = 0
    for target in targets():
        if only not in (None, target.name):
            continue
        count = inputs if only else round(inputs * target.share)
        started = perf_counter()
        with silence_native_logs():  # the picture libraries complain there
            found, faults = fuzz_in_processes(target, count, first)
        spent = perf_counter() - started
        every += faults
        total += count
        cells = f"{count:8}{found['accepted']:10}{found['refused']:9}{found['uncaught']:10}{spent:9.1f}"
        click.echo(f"{target.name:22}{cells}")
    click.echo(f"{'all':22}{total:8}")
    click.echo("\n".join(every[:20]))
    raise SystemExit(bool(every))


if __name__ == "__main__":
    main()
