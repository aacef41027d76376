import dataclasses
import json

import pytest

from acne_runtime.errors import ModelError
from acne_runtime.manifest import LEFT_OUT, InputSpec, Manifest, OutputSpec, manifest_path

ORIGIN = "models/acne.onnx"
REQUIRED = {"name", "task", "classes", "input", "outputs", "thresholds"}
CLASSES = ("comedones", "nodules", "papules", "pustules")

DETECTION = Manifest(
    name="acne-yolov8-lite0",
    task="detection",
    classes=CLASSES,
    input=InputSpec("image", 640, 480, "letterbox", pad_value=7),
    outputs=(
        OutputSpec("box_8", "box", 8),
        OutputSpec("box_16", "box", 16),
        OutputSpec("score_8", "score", 8),
        OutputSpec("score_16", "score", 16),
    ),
    thresholds=(0.25,),
    bins=16,
    nms_iou=0.55,
    max_detections=120,
    precision="int8",
    validation={"before": {"ap50": 0.31}, "after": {"ap50": 0.305}},
    provenance={"licence": "Apache-2.0", "author": "Zoë"},
    golden={"input": "ab", "output": "cd"},
)
MULTILABEL = Manifest(
    name="acne-cnn",
    task="multilabel",
    classes=CLASSES,
    input=InputSpec("image", 416, 416, "stretch", dtype="float32", scale=1 / 255),
    outputs=(OutputSpec("label", "label"),),
    thresholds=(0.5,) * 4,
)
BOTH = pytest.mark.parametrize("manifest", [DETECTION, MULTILABEL], ids=lambda m: m.task)


def raw(manifest=DETECTION, **changes):
    return {**json.loads(manifest.to_json()), **changes}


def read(value):
    return Manifest.from_json(json.dumps(value), ORIGIN)


@BOTH
def test_a_manifest_comes_back_from_its_own_json(manifest):
    assert Manifest.from_json(manifest.to_json(), ORIGIN) == manifest


@BOTH
def test_bytes_are_read_like_text(manifest):
    assert Manifest.from_json(manifest.to_json().encode(), ORIGIN) == manifest


@BOTH
def test_the_same_manifest_always_gives_the_same_text(manifest):
    assert Manifest.from_json(manifest.to_json(), ORIGIN).to_json() == manifest.to_json()


@BOTH
def test_the_json_names_every_field(manifest):
    value = json.loads(manifest.to_json())
    assert set(value) == {field.name for field in dataclasses.fields(Manifest)}
    assert set(value["input"]) == {field.name for field in dataclasses.fields(InputSpec)}
    assert all(set(o) == {field.name for field in dataclasses.fields(OutputSpec)} for o in value["outputs"])


def test_fields_with_a_default_may_be_left_out():
    value = raw(MULTILABEL)
    for key in set(value) - REQUIRED:
        del value[key]
    for key in ("layout", "color", "pad_value"):
        del value["input"][key]
    assert read(value) == MULTILABEL


INPUT = raw()["input"]
BOX_8, BOX_16, SCORE_8, SCORE_16 = raw()["outputs"]
LABEL = {"name": "label", "kind": "label", "stride": 0}


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"schema": 3}, "schema 3"),
        ({"schema": 0}, "schema 0"),
        ({"task": "segmentation"}, "task 'segmentation'"),
        ({"task": None}, "task None"),
        ({"classes": []}, r"classes \(\)"),
        ({"thresholds": []}, "0 thresholds, but a detector has one"),
        ({"thresholds": [0.5] * 4}, "4 thresholds, but a detector has one"),
        ({"thresholds": [1.5]}, r"1\.5.* not within 0 to 1"),
        ({"thresholds": [-0.1]}, r"-0\.1.* not within 0 to 1"),
        ({"thresholds": [float("nan")]}, "thresholds .*nan"),
        ({"input": {**INPUT, "width": 0}}, r"input size \(0, 480\)"),
        ({"input": {**INPUT, "height": -480}}, r"input size \(640, -480\)"),
        ({"input": {**INPUT, "width": 8224}}, r"input size \(8224, 480\)"),
        ({"input": {**INPUT, "resize": "crop"}}, "resize 'crop'"),
        ({"input": {**INPUT, "dtype": "int8"}}, "dtype 'int8'"),
        ({"input": {**INPUT, "layout": "CHWN"}}, "layout 'CHWN'"),
        ({"input": {**INPUT, "color": "BGR"}}, "color 'BGR'"),
        ({"input": {**INPUT, "pad_value": 256}}, "pad_value 256"),
        ({"input": {**INPUT, "pad_value": -1}}, "pad_value -1"),
        ({"nms_iou": 0}, "nms_iou 0"),
        ({"nms_iou": 1.01}, r"nms_iou 1\.01"),
        ({"nms_containment": 0}, "nms_containment 0"),
        ({"nms_containment": 1.5}, r"nms_containment 1\.5"),
        ({"box_voting_score": -0.1}, r"box_voting_score -0\.1"),
        ({"box_voting_score": 1.5}, r"box_voting_score 1\.5"),
        ({"max_detections": 0}, "max_detections 0"),
        ({"max_detections": -1}, "max_detections -1"),
        ({"bins": 0}, "bins 0: .*at least 2"),
        ({"bins": 1}, "bins 1: .*at least 2"),
        ({"outputs": []}, "one box and one score"),
        ({"outputs": [BOX_8]}, "one box and one score"),
        ({"outputs": [SCORE_8]}, "one box and one score"),
        ({"outputs": [LABEL]}, "no output of kind label"),
        ({"outputs": [BOX_8, SCORE_16]}, "one box and one score"),
        ({"outputs": [BOX_8, BOX_16, SCORE_8]}, "one box and one score"),
        ({"outputs": [BOX_8, SCORE_8, SCORE_16]}, "one box and one score"),
        ({"outputs": [BOX_8, BOX_8, SCORE_8, SCORE_8]}, "box_8.*not unique"),
        ({"outputs": [BOX_8, SCORE_8, {**BOX_16, "kind": "mask"}]}, "kind 'mask'"),
        ({"outputs": [{**BOX_8, "stride": 0}, {**SCORE_8, "stride": 0}]}, "stride 0"),
        ({"outputs": [{**BOX_8, "stride": -8}, {**SCORE_8, "stride": -8}]}, "stride -8"),
        ({"outputs": [{**BOX_8, "stride": 7}, {**SCORE_8, "stride": 7}]}, "stride 7 does not divide the input 640x480"),
        ({"classes": ["a", "b", "c", "a"]}, "classes .*not unique"),
    ],
)
def test_a_detection_manifest_that_contradicts_itself_is_refused(changes, problem):
    with pytest.raises(ModelError, match=f"^{ORIGIN}: .*({problem})"):
        read(raw(DETECTION, **changes))


@pytest.mark.parametrize(
    "outputs",
    [[], [LABEL, {**LABEL, "name": "more"}], [BOX_8, SCORE_8], [{**LABEL, "kind": "score"}]],
    ids=["none", "two labels", "detection heads", "a score"],
)
def test_a_multilabel_manifest_has_exactly_one_label_output(outputs):
    with pytest.raises(ModelError, match=f"^{ORIGIN}: .*one output, of kind label"):
        read(raw(MULTILABEL, outputs=outputs))


def test_a_manifest_made_in_code_is_held_to_the_same_rules():
    with pytest.raises(ModelError, match="bins 0"):
        dataclasses.replace(DETECTION, bins=0)


@pytest.mark.parametrize(
    "text",
    [
        "",
        " \n",
        "[]",
        "[1, 2]",
        "7",
        "null",
        "true",
        '"acne"',
        "{}",
        "{",
        DETECTION.to_json()[:-10],
        DETECTION.to_json()[:200],
        DETECTION.to_json() + "{}",
        "not json",
        b"\xff\xfe\x00",
        b"\x80abc",
        DETECTION.to_json().encode()[:31],
        "[" * 100_000,
        DETECTION.to_json().replace("0.25", "1" + "0" * 400),
    ],
    ids=lambda text: repr(text[:12]) + f"x{len(text)}",
)
def test_text_that_is_no_manifest_is_refused_with_its_origin(text):
    with pytest.raises(ModelError, match=f"^{ORIGIN}: "):
        Manifest.from_json(text, ORIGIN)


@pytest.mark.parametrize("key", sorted(REQUIRED))
def test_a_missing_key_is_named(key):
    value = raw()
    del value[key]
    with pytest.raises(ModelError, match=f"^{ORIGIN}: .*'{key}'"):
        read(value)


@pytest.mark.parametrize("key", ["name", "width", "height", "resize"])
def test_a_missing_key_of_the_input_is_named(key):
    with pytest.raises(ModelError, match=f"^{ORIGIN}: .*'{key}'"):
        read(raw(input={k: v for k, v in INPUT.items() if k != key}))


@pytest.mark.parametrize("key", ["name", "kind"])
def test_a_missing_key_of_an_output_is_named(key):
    with pytest.raises(ModelError, match=f"^{ORIGIN}: .*'{key}'"):
        read(raw(outputs=[{k: v for k, v in BOX_8.items() if k != key}, SCORE_8]))


@pytest.mark.parametrize(
    "changes",
    [
        {"colour": "RGB"},
        {"input": {**INPUT, "colour": "RGB"}},
        {"outputs": [{**BOX_8, "colour": 1}, SCORE_8]},
    ],
    ids=["manifest", "input", "output"],
)
def test_an_unknown_key_is_named(changes):
    with pytest.raises(ModelError, match=f"^{ORIGIN}: .*'colour'"):
        read(raw(**changes))


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"name": None}, "name None"),
        ({"name": 7}, "name 7"),
        ({"schema": "1"}, "schema '1'"),
        ({"schema": True}, "schema True"),
        ({"task": []}, r"task \[\]"),
        ({"classes": 4}, "4 is not a list"),
        ({"classes": None}, "None is not a list"),
        ({"classes": "abcd"}, "'abcd' is not a list"),
        ({"classes": {"a": 1, "b": 2, "c": 3, "d": 4}}, "'c': 3.* is not a list"),
        ({"classes": ["a", "b", "c", None]}, "classes .*None"),
        ({"thresholds": None}, "None is not a list"),
        ({"thresholds": 0.5}, "0.5 is not a list"),
        ({"thresholds": "0101"}, "'0101' is not a list"),
        ({"thresholds": ["low"]}, "thresholds .*'low'"),
        ({"thresholds": [[]]}, r"thresholds .*\[\]"),
        ({"thresholds": [True]}, "thresholds .*True"),
        ({"input": None}, "InputSpec.* NoneType"),
        ({"input": []}, "InputSpec.* list"),
        ({"input": "image"}, "InputSpec.* str"),
        ({"input": {**INPUT, "name": 3}}, "name 3"),
        ({"input": {**INPUT, "width": "640"}}, "width '640'"),
        ({"input": {**INPUT, "width": 640.5}}, "width 640.5"),
        ({"input": {**INPUT, "height": None}}, "height None"),
        ({"input": {**INPUT, "height": float("inf")}}, "height inf"),
        ({"input": {**INPUT, "resize": {}}}, "resize {}"),
        ({"input": {**INPUT, "pad_value": "grey"}}, "pad_value 'grey'"),
        ({"input": {**INPUT, "scale": "1/255"}}, "scale '1/255'"),
        ({"input": {**INPUT, "scale": float("inf")}}, "scale inf"),
        ({"outputs": None}, "outputs"),
        ({"outputs": 2}, "outputs"),
        ({"outputs": "box"}, "OutputSpec.* str|outputs"),
        ({"outputs": BOX_8}, "OutputSpec.* str|outputs"),
        ({"outputs": [BOX_8, 5]}, "OutputSpec.* int"),
        ({"outputs": [{**BOX_8, "stride": "8"}, {**SCORE_8, "stride": "8"}]}, "stride '8'"),
        ({"outputs": [{**BOX_8, "name": None}, SCORE_8]}, "name None"),
        ({"outputs": [{**BOX_8, "name": []}, SCORE_8]}, r"name \[\]"),
        ({"bins": "16"}, "bins '16'"),
        ({"bins": 16.5}, "bins 16.5"),
        ({"bins": None}, "bins None"),
        ({"nms_iou": "0.6"}, "nms_iou '0.6'"),
        ({"nms_iou": None}, "nms_iou None"),
        ({"max_detections": "300"}, "max_detections '300'"),
        ({"max_detections": 1.5}, "max_detections 1.5"),
        ({"precision": 8}, "precision 8"),
        ({"validation": []}, r"validation \[\]"),
        ({"provenance": "here"}, "provenance 'here'"),
        ({"golden": None}, "golden None"),
    ],
    ids=lambda value: next(f"{k} {str(v)[:60]}" for k, v in value.items()) if isinstance(value, dict) else "",
)
def test_a_value_of_the_wrong_type_is_refused_and_named(changes, problem):
    with pytest.raises(ModelError, match=f"^{ORIGIN}: .*({problem})"):
        read(raw(DETECTION, **changes))


@pytest.mark.parametrize(
    ("changes", "possible"),
    [
        ({"task": "segmentation"}, ["multilabel", "detection"]),
        ({"input": {**INPUT, "resize": "crop"}}, ["stretch", "letterbox"]),
        ({"input": {**INPUT, "dtype": "int8"}}, ["uint8", "float32"]),
        ({"thresholds": ["low"]}, ["float"]),
    ],
    ids=["task", "resize", "dtype", "thresholds"],
)
def test_the_refusal_of_a_value_says_which_ones_are_possible(changes, possible):
    with pytest.raises(ModelError) as refused:
        read(raw(DETECTION, **changes))
    assert all(path in str(refused.value).split(" is not ")[1] for path in possible)


ROW = {"name": "rows", "kind": "row", "stride": 0}
OLD = {"schema": 1, "thresholds": [0.4, 0.25, 0.3, 1.0]}


def inside(*parts):
    return [{"name": f"lesion_{part}", "kind": f"lesion_{part}", "stride": 0} for part in parts]


def test_a_detector_of_schema_1_has_the_lowest_of_its_thresholds():
    assert read(raw(**OLD)) == DETECTION


@pytest.mark.parametrize(
    "manifest",
    [MULTILABEL, dataclasses.replace(DETECTION, outputs=(OutputSpec("rows", "row"),), thresholds=(0.4, 0.2, 0.3, 1.0))],
    ids=["multilabel", "rows"],
)
def test_other_models_of_schema_1_keep_a_threshold_a_class(manifest):
    assert read(raw(manifest, schema=1)) == manifest


def test_what_schema_1_measured_with_a_box_a_type_is_left_out():
    validation = {"keras": {"ap50": 0.5}, "counting": {"threshold": 0.1, "ratio_90": [0.5, 2]}}
    golden = {"input_sha256": "ab", "output_sha256": "cd", "lesions": []}
    got = read(raw(**OLD, validation=validation, golden=golden))
    assert got.validation == {"keras": {"ap50": 0.5}, LEFT_OUT: "counting"}
    assert got.golden == {"input_sha256": "ab", "output_sha256": "cd", LEFT_OUT: "lesions"}
    assert read(raw(got)) == got


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"thresholds": [0.5]}, "1 thresholds for 4 classes"),
        ({"thresholds": [0.5] * 5}, "5 thresholds for 4 classes"),
        ({"thresholds": [0.5, 0.5, 0.5, 1.5]}, r"1\.5.* not within 0 to 1"),
        ({"thresholds": [-0.1, 0.5, 0.5, 0.5]}, r"-0\.1.* not within 0 to 1"),
        ({"thresholds": [0.5, 0.5, 0.5, float("nan")]}, "thresholds .*nan"),
        ({"thresholds": ["low", 0.5, 0.5, 0.5]}, "thresholds .*'low'"),
        ({"thresholds": 0.5}, "0.5 is not a list"),
        ({"outputs": inside("box", "score", "class", "count")}, r"schema 1 .*NMS.* export the model again"),
        ({"outputs": inside("box", "score", "types", "count")}, r"schema 1 .*NMS.* export the model again"),
        ({"outputs": [5]}, "not subscriptable"),
    ],
    ids=str,
)
def test_a_wrong_detector_of_schema_1_is_refused_in_one_line(changes, problem):
    with pytest.raises(ModelError, match=f"^{ORIGIN}: .*{problem}") as refused:
        read(raw(**(OLD | changes)))
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    ("manifest", "changes", "problem"),
    [
        (DETECTION, {"outputs": inside("box", "score", "class", "count")}, "kind 'lesion_class'"),
        (DETECTION, {"outputs": inside("box", "score", "count")}, "a model with NMS has"),
        (
            DETECTION,
            {"outputs": inside("box", "score", "types", "count"), "thresholds": [0.5] * 4},
            "a detector has one",
        ),
        (DETECTION, {"outputs": [ROW]}, "1 thresholds for 4 classes"),
        (MULTILABEL, {"thresholds": [0.5]}, "1 thresholds for 4 classes"),
        (MULTILABEL, {"classes": ["acne"]}, "4 thresholds for 1 classes"),
        (MULTILABEL, {"classes": [], "thresholds": []}, r"classes \(\)"),
    ],
)
def test_a_lesion_has_one_threshold_and_all_else_one_a_class(manifest, changes, problem):
    with pytest.raises(ModelError, match=f"^{ORIGIN}: .*{problem}"):
        read(raw(manifest, **changes))


def test_what_a_graph_that_suppresses_gives_has_a_shape():
    manifest = read(raw(outputs=inside("box", "score", "types", "count")))
    assert [manifest.output_shape(output) for output in manifest.outputs] == [
        (1, 120, 4),
        (1, 120),
        (1, 120, 4),
        (1, 1),
    ]
    assert (manifest.has_nms, manifest.one_box_per_lesion) == (True, True)


def test_the_readable_copy_lies_beside_the_model_file(tmp_path):
    assert manifest_path(tmp_path / "acne.int8.tflite") == tmp_path / "acne.int8.tflite.json"
