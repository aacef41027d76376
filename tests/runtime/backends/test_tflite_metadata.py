import dataclasses
import io
import zipfile

import numpy as np
import pytest

pytest.importorskip("tensorflow")

from acne_export.tflite_export.metadata import embed_manifest_in_tflite
from acne_runtime.backends.tflite_metadata import archived_metadata, read_metadata
from acne_runtime.manifest import METADATA_KEY, Manifest


@pytest.fixture(scope="module")
def file(exported):
    return exported("multilabel", "tflite", "int8").read_bytes()


@pytest.fixture(scope="module")
def plain(file):
    """A minimal file: what a converter writes before anything is added to it."""
    from ai_edge_litert.tools import flatbuffer_utils

    model = flatbuffer_utils.convert_bytearray_to_object(bytearray(file))
    model.metadata = None
    return bytes(flatbuffer_utils.convert_object_to_bytearray(model))


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"name": "Entzündung 面皰"},
        {"provenance": {"note": "x" * 100_000}},
        {"validation": {"ap50": 0.1 + 0.2, "by_class": {"papules": None}}},
    ],
    ids=["plain", "umlauts", "long", "nested"],
)
def test_a_manifest_comes_back_from_the_file_it_was_put_into(tiny, plain, changes):
    manifest = dataclasses.replace(tiny.MULTILABEL, **changes)
    text = read_metadata(embed_manifest_in_tflite(plain, manifest), METADATA_KEY)
    assert text == manifest.to_json().encode()
    assert Manifest.from_json(text, "here") == manifest


def test_a_file_without_the_entry_gives_none(plain, file):
    assert read_metadata(plain, METADATA_KEY) is None
    assert read_metadata(file, "another_entry") is None
    assert read_metadata(file, METADATA_KEY) is not None


def test_other_entries_stay_beside_the_manifest(file):
    # The converter's own entry, written before the manifest.
    assert read_metadata(file, "min_runtime_version").strip(b"\0")


@pytest.mark.parametrize("data", [b"", b"TFL3", b"\0" * 7, b"\0" * 8, b"\0" * 4 + b"TFL2" + b"\0" * 90, b"GGUF" * 9])
def test_what_is_no_tflite_file_is_refused(data):
    with pytest.raises(ValueError, match="not a TFLite file"):
        read_metadata(data, METADATA_KEY)


def refused(data):
    try:
        read_metadata(data, METADATA_KEY)
    except ValueError:
        return True
    return False


def test_a_file_cut_off_anywhere_is_refused_or_gives_the_whole_manifest(file):
    lengths = {*range(8, 200), *range(200, len(file), 997), *range(len(file) - 50, len(file))}
    whole = read_metadata(file, METADATA_KEY)
    refusals = 0
    for length in sorted(lengths):
        if refused(file[:length]):
            refusals += 1
        else:
            assert read_metadata(file[:length], METADATA_KEY) == whole
    assert refusals > 0.7 * len(lengths)


@pytest.mark.parametrize("end", [200, 2000, None], ids=["at the start", "around the manifest", "anywhere"])
def test_flipped_bits_raise_nothing_but_a_refusal(file, end):
    rng = np.random.default_rng(0)
    outcomes = []
    for _ in range(400):
        damaged = bytearray(file)
        places = rng.integers(8, end or len(file), rng.integers(1, 20 if end else 5000))
        for place in places:
            damaged[place] ^= 1 << int(rng.integers(8))
        outcomes.append(refused(bytes(damaged)))
    assert any(outcomes)


@pytest.mark.parametrize("seed", range(3))
def test_noise_behind_the_right_mark_raises_nothing_but_a_refusal(seed):
    rng = np.random.default_rng(seed)
    outcomes = [
        refused(int(rng.integers(0, 64)).to_bytes(4, "little") + b"TFL3" + rng.bytes(int(rng.integers(1, 400))))
        for _ in range(500)
    ]
    assert any(outcomes)


@pytest.mark.parametrize("packed", [zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_a_damaged_archive_behind_a_file_states_nothing(packed):
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w", packed) as opened:
        opened.writestr("metadata.json", '{"names": "' + "acne " * 99 + '"}')
    whole = archive.getvalue()
    assert set(archived_metadata(whole)) == {"names"}
    damaged = bytearray(whole)
    damaged[60:75] = b"\xff" * 15
    assert archived_metadata(bytes(damaged)) == {}


@pytest.mark.parametrize("name", ["meta.txt", "temp_meta.txt"])
@pytest.mark.parametrize(
    ("text", "stated"),
    [
        ("{'task': 'detect', 'imgsz': [64, 64], 'names': {0: 'acne'}}", {"task", "imgsz", "names"}),
        ("{'task': 'detect'", set()),
        ("__import__('os').abort()", set()),
        ("[" * 10_000, set()),
        ("3", set()),
    ],
)
def test_the_literal_of_older_exporters_is_read_and_nothing_in_it_runs(name, text, stated):
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as opened:
        opened.writestr(name, text)
    metadata = archived_metadata(b"model" + archive.getvalue())
    assert set(metadata) == stated
    if stated:
        assert metadata["names"] == "{0: 'acne'}"
