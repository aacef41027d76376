import json
import shutil

import numpy as np
import pytest

from acne_runtime.digest import compute_digest, digest_mismatch
from acne_runtime.errors import ModelError
from acne_runtime.load import load_model
from acne_runtime.manifest import METADATA_KEY, manifest_path

FORMS = pytest.mark.parametrize("form", ["onnx", "tflite"])


@pytest.fixture
def whole(exported, tmp_path):
    def copy(form):
        return shutil.copy(exported("detection", form, "float32"), tmp_path / f"copy.{form}")

    return copy


@FORMS
def test_an_exported_file_states_its_own_digest(exported, form):
    file = exported("detection", form, "float32")
    manifest = load_model(file).manifest
    assert compute_digest(file.read_bytes(), manifest.digest) == manifest.digest
    assert json.loads(manifest_path(file).read_bytes())["digest"] == manifest.digest


@FORMS
def test_any_changed_bit_shows(whole, form):
    content, text = whole(form).read_bytes(), load_model(whole(form)).backend.manifest_text
    assert not digest_mismatch(content, text)
    for place in np.random.default_rng(0).integers(0, len(content), 300):
        changed = bytearray(content)
        changed[place] ^= 4
        assert digest_mismatch(bytes(changed), text), place
    assert digest_mismatch(content + b"x", text)


@FORMS
def test_a_changed_weight_is_refused_and_not_answered_with(whole, form):
    file = whole(form)
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes(content)
    with pytest.raises(
        ModelError, match=rf"copy\.{form}: corrupt, it differs from the file that was exported; copy it again"
    ):
        load_model(file)


@FORMS
def test_a_manifest_beside_tells_too_where_that_inside_is_gone(whole, exported, form):
    file = whole(form)
    shutil.copy(manifest_path(exported("detection", form, "float32")), manifest_path(file))
    content = bytearray(file.read_bytes().replace(METADATA_KEY.encode(), b"x" * len(METADATA_KEY)))
    file.write_bytes(content)
    with pytest.raises(ModelError, match=rf"copy\.{form}: corrupt, or not the file that copy\.{form}\.json was made"):
        load_model(file)


@FORMS
def test_thresholds_changed_inside_the_file_are_refused(whole, form):
    file = whole(form)
    threshold = load_model(file).manifest.thresholds[0]
    stated = f'"thresholds": [\n    {threshold}\n'.encode()
    assert file.read_bytes().count(stated) == 1
    file.write_bytes(file.read_bytes().replace(stated, stated.replace(str(threshold).encode(), b"0.90")))
    with pytest.raises(ModelError, match="corrupt"):
        load_model(file)


@pytest.mark.parametrize("text", [None, "", "{}", "[]", "3", "not JSON", '{"digest": ""}', '{"digest": 3}', "[" * 9999])
def test_without_a_digest_nobody_can_tell(text):
    assert not digest_mismatch(b"whatever", text)


def test_what_states_a_digest_that_stands_nowhere_is_damaged():
    assert digest_mismatch(b"whatever", json.dumps({"digest": "0a" * 32}))
