import os
import struct
from pathlib import Path

import pytest
from support.visits import SKIN

from acne_monitor.store.photographs import decode_jpeg, encode_jpeg, parse_time, taken_at
from acne_runtime.errors import SourceError


def with_exif(taken=b"2026:11:25 10:20:30", offset=b"+01:00", order="<"):
    """Returns a JPEG with a minimal EXIF block."""
    texts = [(0x9003, taken + b"\0")] + ([(0x9011, offset + b"\0")] if offset else [])
    exif_at = 8 + 2 + 12 + 4
    data_at = exif_at + 2 + 12 * len(texts) + 4
    tiff = (b"II" if order == "<" else b"MM") + struct.pack(f"{order}HI", 42, 8)
    tiff += struct.pack(f"{order}HHHII", 1, 0x8769, 4, 1, exif_at) + struct.pack(f"{order}I", 0)
    entries, data = b"", b""
    for tag, text in texts:
        entries += struct.pack(f"{order}HHII", tag, 2, len(text), data_at + len(data))
        data += text
    tiff += struct.pack(f"{order}H", len(texts)) + entries + struct.pack(f"{order}I", 0) + data
    block = b"Exif\0\0" + tiff
    jpeg = encode_jpeg(SKIN[:64, :64])
    return jpeg[:2] + b"\xff\xe1" + struct.pack(">H", len(block) + 2) + block + jpeg[2:]


@pytest.mark.parametrize("order", ["<", ">"])
def test_the_date_is_that_of_the_camera(tmp_path, order):
    file = tmp_path / "a.jpg"
    file.write_bytes(with_exif(order=order))
    taken = taken_at(file)
    assert (taken.local, taken.offset, taken.source) == ("2026-11-25T10:20:30", "+01:00", "exif")


@pytest.mark.parametrize("kind", ["heic", "avif"])
def test_a_phones_photograph_has_its_date_too(kind):
    pytest.importorskip("pi_heif", reason="the extra `heif` is not installed")
    files = Path(__file__).parents[2] / "runtime" / "sources" / "heif_files"
    taken = taken_at(files / f"dated.{kind}")
    assert (taken.local, taken.offset, taken.source) == ("2026-11-25T10:20:30", "+01:00", "exif")
    assert taken_at(files / f"1.{kind}").source == "file"


@pytest.mark.parametrize(("offset", "kept"), [(None, None), (b"+1", None), (b"-03:30", "-03:30")])
def test_an_offset_is_kept_only_if_it_is_one(tmp_path, offset, kept):
    file = tmp_path / "a.jpg"
    file.write_bytes(with_exif(offset=offset))
    assert taken_at(file).offset == kept


@pytest.mark.parametrize("data", [encode_jpeg(SKIN[:64, :64]), with_exif(taken=b"0000:00:00 00:00:00"), b"no image"])
def test_without_it_the_file_says_when(tmp_path, data):
    file = tmp_path / "a.jpg"
    file.write_bytes(data)
    os.utime(file, (1_750_000_000, 1_750_000_000))
    taken = taken_at(file)
    assert taken.source == "file" and taken.local.startswith("2025-06-15")


@pytest.mark.parametrize(
    ("text", "local", "offset"),
    [
        ("2026-11-25", "2026-11-25T00:00:00", None),
        ("2026-11-25T10:00+01:00", "2026-11-25T10:00:00", "+01:00"),
        ("2026-11-25T10:00Z", "2026-11-25T10:00:00", "+00:00"),
    ],
)
def test_times_that_people_give(text, local, offset):
    taken = parse_time(text)
    assert (taken.local, taken.offset, taken.source) == (local, offset, "given")


@pytest.mark.parametrize("text", ["", "yesterday", "25.11.2026", "2026-13-01"])
def test_other_words_are_no_time(text):
    with pytest.raises(SourceError, match="no date or time such as"):
        parse_time(text)


def test_a_damaged_photograph_is_said():
    with pytest.raises(SourceError, match="acne-monitor verify"):
        decode_jpeg(b"nothing")
