"""Model files that are not what they say of themselves: each is refused in one line that names it."""

import dataclasses
import json
import struct
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from support.images import picture, write_picture

pytest.importorskip("onnx")

import onnx
from onnx import helper, numpy_helper

from acne_runtime.cli.run import main
from acne_runtime.errors import ModelError
from acne_runtime.load import load_model
from acne_runtime.manifest import METADATA_KEY, NMS_KINDS, InputSpec, Manifest, OutputSpec, manifest_path

SHIPPED = Path(__file__).resolve().parents[2] / "models" / "acne-yolov8-lite0"
SHIPPED_FILES = {"onnx": SHIPPED / "acne-yolov8-lite0.onnx", "tflite": SHIPPED / "acne-yolov8-lite0-int8.tflite"}
SAMPLE = SHIPPED.parents[1] / "samples" / "rendered_skin.jpg"
FORMS = pytest.mark.parametrize("form", SHIPPED_FILES)

CLASSES = ("comedones", "papules")
PHOTOGRAPH = picture(40, 60)
NAME = "liar"
INPUT = InputSpec("image", 32, 32, "letterbox")
DETECTION = Manifest(
    name=NAME,
    task="detection",
    classes=CLASSES,
    input=INPUT,
    outputs=tuple(OutputSpec(f"{kind}_{stride}", kind, stride) for kind in ("box", "score") for stride in (8, 16)),
    thresholds=(0.5,),
    bins=4,
)
SUPPRESSING = dataclasses.replace(
    DETECTION, outputs=tuple(OutputSpec(kind, kind) for kind in NMS_KINDS), bins=0, max_detections=4
)
MULTILABEL = dataclasses.replace(
    DETECTION, task="multilabel", outputs=(OutputSpec("label", "label"),), thresholds=(0.5, 0.5), bins=0
)

ULTRALYTICS = {"task": "detect", "imgsz": "[32, 32]", "names": "{0: 'comedones', 1: 'papules'}", "args": "{}"}
CELLS = 4 * 4 + 2 * 2 + 1


def heads(box=0.0, score=0.9):
    """A comedone with `box` as its logits and this score, and a sound papule elsewhere."""
    outputs = {}
    for stride in (8, 16):
        cells = 32 // stride
        outputs[f"box_{stride}"] = np.zeros((1, cells, cells, 4 * DETECTION.bins), np.float32)
        outputs[f"score_{stride}"] = np.zeros((1, cells, cells, 2), np.float32)
    outputs["box_8"][0, 1, 2] = box
    outputs["score_8"][0, 1, 2, 0] = score
    outputs["score_8"][0, 2, 1, 1] = 0.8
    return outputs


def suppressed(box=(4, 10, 12, 20), score=0.9, types=(0.9, 0), count=2):
    """The same, as a graph gives it that suppresses inside."""
    return {
        "lesion_box": np.float32([[box, (4, 10, 12, 20), (0, 0, 0, 0), (0, 0, 0, 0)]]),
        "lesion_score": np.float32([[score, 0.8, 0, 0]]),
        "lesion_types": np.float32([[types, (0, 0.8), (0, 0), (0, 0)]]),
        "lesion_count": np.float32([[count]]),
    }


def rows(box=(8, 16, 4, 4), score=0.9):
    """The same, as Ultralytics' detectors give it."""
    output = np.zeros((1, 6, CELLS), np.float32)
    output[0, :, 3] = *box, score, 0
    output[0, :, 5] = 20, 20, 6, 6, 0, 0.8
    return {"output0": output}


def labels(score=0.9):
    return {"label": np.float32([[score, 0.8]])}


def graph(outputs, properties, shape=(1, 32, 32, 3), dtype=np.uint8):
    """An ONNX model that answers `outputs` to whatever it is given."""
    kinds = {name: helper.np_dtype_to_tensor_dtype(output.dtype) for name, output in outputs.items()}
    made = helper.make_graph(
        [helper.make_node("Identity", [f"{name}_value"], [name]) for name in outputs],
        "liar",
        [helper.make_tensor_value_info("image", helper.np_dtype_to_tensor_dtype(np.dtype(dtype)), shape)],
        [helper.make_tensor_value_info(name, kinds[name], output.shape) for name, output in outputs.items()],
        [numpy_helper.from_array(output, f"{name}_value") for name, output in outputs.items()],
    )
    model = helper.make_model(made, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    helper.set_model_props(model, properties)
    return model


def ours(manifest, **changes):
    return {METADATA_KEY: json.dumps({**manifest.to_dict(), **changes})}


def theirs(**changes):
    return graph(rows(), ULTRALYTICS, **{"shape": (1, 3, 32, 32), "dtype": np.float32} | changes)


@pytest.fixture
def write(tmp_path):
    def to_file(model):
        file = tmp_path / f"{NAME}.onnx"
        file.write_bytes(model if isinstance(model, bytes) else model.SerializeToString())
        return file

    return to_file


def refusal(file, look=lambda model: model(PHOTOGRAPH)):
    with pytest.raises(ModelError) as refused:
        look(load_model(file))
    line = str(refused.value)
    assert line.isprintable()  # a line break is not
    assert file.stem in line
    return line


def assert_sound(answer):
    json.dumps(answer, allow_nan=False)
    for lesion in answer.get("lesions", []):
        x1, y1, x2, y2 = lesion["box"]
        assert 0 <= x1 <= x2 <= answer["width"]
        assert 0 <= y1 <= y2 <= answer["height"]
    assert all(0 <= item["score"] <= 1 for item in answer.get("lesions", answer.get("labels")))


def refused_or_sound(file):
    """Returns the answer, if the file gives one."""
    try:
        answer = load_model(file)(PHOTOGRAPH).to_dict()
    except ModelError as error:
        assert str(error).isprintable()
        assert file.stem in str(error)
        return None
    assert_sound(answer)
    return answer


@pytest.mark.parametrize(
    ("outputs", "properties"),
    [
        (heads(), ours(DETECTION)),
        (suppressed(), ours(SUPPRESSING)),
        (labels(), ours(MULTILABEL)),
    ],
    ids=["heads", "suppressed", "labels"],
)
def test_a_file_that_tells_the_truth_is_believed(write, outputs, properties):
    assert refused_or_sound(write(graph(outputs, properties)))["counts"] == {"comedones": 1, "papules": 1}


def outputs(*specs):
    return [{"name": name, "kind": kind, "stride": stride} for name, kind, stride in specs]


HEADS = [("box_8", "box", 8), ("score_8", "score", 8), ("box_16", "box", 16), ("score_16", "score", 16)]
SPEC = dataclasses.asdict(INPUT)


@pytest.mark.parametrize(
    "changes",
    [
        {"input": {**SPEC, "width": 64, "height": 64}},
        {"input": {**SPEC, "height": 64}},
        {"input": {**SPEC, "dtype": "float32"}},
        {"input": {**SPEC, "layout": "NCHW"}},
        {"input": {**SPEC, "batch": 4}},
        {"classes": ["acne"]},
        {"classes": ["comedones", "papules", "nodules"]},
        {"thresholds": [0.5] * 2},
        {"bins": 2},
        {"bins": 8},
        {"outputs": outputs(*[(name, kind, 24 - stride) for name, kind, stride in HEADS])},
        {
            "outputs": outputs(
                *[(name, kind, 24 - stride if kind == "score" else stride) for name, kind, stride in HEADS]
            )
        },
        {"outputs": outputs(*[(name, {"box": "score", "score": "box"}[kind], stride) for name, kind, stride in HEADS])},
        {"outputs": outputs(("boxes_8", "box", 8), *HEADS[1:])},
        {"outputs": outputs(*HEADS, ("box_4", "box", 4), ("score_4", "score", 4))},
        {"outputs": outputs(*HEADS[:2])},
        {"outputs": outputs(*HEADS, HEADS[0])},
        {"golden": [1, 2]},
        {"validation": "good"},
        {"name": "two\nlines"},
        {"two\nlines": 1},
    ],
    ids=[
        "a larger input",
        "a higher input",
        "a float input",
        "channels first",
        "batches of 4",
        "a class too few",
        "a class too many",
        "a threshold too many",
        "fewer bins",
        "more bins",
        "strides swapped",
        "strides of the scores swapped",
        "boxes for scores",
        "an output of another name",
        "a stride more",
        "a stride fewer",
        "an output twice",
        "golden a list",
        "validation a text",
        "a name of two lines",
        "an unknown field of two lines",
    ],
)
def test_a_manifest_that_says_otherwise_than_its_graph_is_refused(write, changes):
    refusal(write(graph(heads(), ours(DETECTION, **changes))))


@FORMS
@pytest.mark.parametrize(
    "change",
    [
        lambda raw: raw["input"].update(width=320, height=320),
        lambda raw: raw["input"].update(dtype="float32"),
        lambda raw: raw["input"].update(layout="NCHW"),
        lambda raw: raw["input"].update(batch=4),
        lambda raw: raw.update(classes=raw["classes"][:-1], thresholds=raw["thresholds"][:-1]),
        lambda raw: raw.update(bins=8),
        lambda raw: raw["outputs"][0].update(name="box_9"),
        lambda raw: [output.update(stride={8: 16, 16: 8, 32: 32}[output["stride"]]) for output in raw["outputs"]],
    ],
    ids=["size", "type", "layout", "batch", "classes", "bins", "output", "strides"],
)
def test_a_shipped_file_with_another_manifest_inside_is_refused(tmp_path, form, change):
    data = SHIPPED_FILES[form].read_bytes()
    start = data.index(b'{\n  "name": "acne-yolov8-lite0",')
    raw, length = json.JSONDecoder().raw_decode(data[start : start + 100_000].decode("utf-8", "ignore"))
    change(raw)
    text = json.dumps(raw).encode()
    assert len(text) < length
    file = tmp_path / f"acne-yolov8-lite0.{form}"
    file.write_bytes(data[:start] + text.ljust(length) + data[start + length :])  # the file's other parts stay in place
    refusal(file)


@pytest.mark.parametrize(
    ("manifest", "made", "name"),
    [
        (DETECTION, heads(), "box_8"),
        (DETECTION, heads(), "score_8"),
        (SUPPRESSING, suppressed(), "lesion_score"),
        (MULTILABEL, labels(), "label"),
    ],
    ids=["boxes", "scores", "suppressed scores", "labels"],
)
@pytest.mark.parametrize("dtype", [np.int8, np.int64, np.bool_, object], ids=["int8", "int64", "bool", "text"])
def test_an_output_that_is_not_of_floats_is_refused(write, manifest, made, name, dtype):
    # Whole-integer conversions leave outputs in int8, whose numbers mean nothing without their scale.
    other = np.full(made[name].shape, "0.9", object) if dtype is object else (made[name] * 100).astype(dtype)
    refusal(write(graph({**made, name: other}, ours(manifest))))


NUMBERS = pytest.mark.parametrize("number", [np.nan, np.inf, -np.inf, 7.0, -7.0])


@NUMBERS
@pytest.mark.parametrize("answers", [heads, suppressed, rows], ids=lambda one: one.__name__)
def test_a_score_that_is_no_probability_is_no_lesion(write, answers, number):
    properties = {heads: ours(DETECTION), suppressed: ours(SUPPRESSING), rows: ULTRALYTICS}[answers]
    shape = {rows: ((1, 3, 32, 32), np.float32)}.get(answers, ())
    answer = refused_or_sound(write(graph(answers(score=number), properties, *shape)))
    if answer:
        assert answer["counts"] == {"comedones": 0, "papules": 1}


@NUMBERS
def test_a_label_that_is_no_probability_is_not_told(write, number):
    refusal(write(graph(labels(number), ours(MULTILABEL))))


@pytest.mark.parametrize("box", [np.nan, np.inf, -np.inf])
def test_logits_that_are_no_numbers_give_no_box_and_hide_none(write, box):
    answer = refused_or_sound(write(graph(heads(box), ours(DETECTION))))
    if answer:
        assert answer["counts"]["papules"] == 1


@pytest.mark.parametrize("box", [(np.nan, 10, 12, 20), (np.inf, 10, 12, 20), (4, -np.inf, 12, 20), (12, 20, 4, 10)])
def test_a_suppressed_box_that_is_none_is_not_told_and_hides_no_other(write, box):
    answer = refused_or_sound(write(graph(suppressed(box), ours(SUPPRESSING))))
    if answer:
        assert answer["counts"]["papules"] == 1


@pytest.mark.parametrize(
    "box",
    [(np.nan, 8, 4, 4), (8, np.inf, 4, 4), (1e30, 8, 4, 4), (8, 8, np.nan, 4), (8, 8, np.inf, 4), (8, 8, -4, 4)],
)
def test_a_box_of_ultralytics_that_is_none_is_not_told_and_hides_no_other(write, box):
    answer = refused_or_sound(write(graph(rows(box), ULTRALYTICS, (1, 3, 32, 32), np.float32)))
    if answer:
        assert answer["counts"]["papules"] == 1


@pytest.mark.parametrize("count", [np.nan, np.inf, -np.inf, -1, 1.5])
def test_a_count_that_is_none_is_refused(write, count):
    assert "lesion_count" in refusal(write(graph(suppressed(count=count), ours(SUPPRESSING))))


@pytest.mark.parametrize("count", [5, 400, 1e30])
def test_a_count_beyond_the_most_boxes_is_refused_or_clipped(write, count):
    answer = refused_or_sound(write(graph(suppressed(count=count), ours(SUPPRESSING))))
    if answer:
        assert answer["counts"] == {"comedones": 1, "papules": 1}


@pytest.mark.parametrize("types", [(2, 0), (1e9, 0), (-1, 0.9), (0.9, -3), (np.nan, 0.9), (np.inf, 0), (0, -np.inf)])
def test_a_probability_of_a_type_that_is_none_is_refused(write, types):
    assert "scores outside 0 to 1" in refusal(write(graph(suppressed(types=types), ours(SUPPRESSING))))
    made = heads()
    made["score_8"][0, 1, 2] = types
    if max(types) > 0.5:
        assert "scores outside 0 to 1" in refusal(write(graph(made, ours(DETECTION))))


def test_what_lies_behind_the_count_is_not_looked_at(write):
    made = suppressed(count=1)
    for name in NMS_KINDS[:3]:
        made[name][0, 1:] = np.nan
    answer = refused_or_sound(write(graph(made, ours(SUPPRESSING))))
    assert answer["counts"] == {"comedones": 1, "papules": 0}


def test_a_graph_without_an_input_is_refused(write):
    model = graph(heads(), ours(DETECTION))
    del model.graph.input[:]
    refusal(write(model))


def test_a_graph_that_wants_more_than_a_photograph_is_refused(write):
    model = graph(heads(), ours(DETECTION))
    model.graph.input.append(helper.make_tensor_value_info("age", onnx.TensorProto.FLOAT, [1]))
    refusal(write(model))


@pytest.mark.parametrize(
    ("properties", "text"),
    [({METADATA_KEY: "QQQQ"}, b"QQQQ"), ({**ours(DETECTION), "note": "QQQQ"}, b"QQQQ"), (ours(DETECTION), b"box_16")],
    ids=["the manifest", "another property", "an output's name"],
)
def test_text_inside_that_is_not_utf_8_is_refused(write, properties, text):
    data = graph(heads(), properties).SerializeToString()
    refusal(write(data.replace(text, b"\xff\xfe".ljust(len(text), b"_"))))


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        (b'{"name": "Z\xfcrich"}', "not an Acne Edge manifest"),
        (b"\xff\xfe{\0", "not an Acne Edge manifest"),
        (b"", "not an Acne Edge manifest"),
        (b"[" * 100_000, "not an Acne Edge manifest"),
    ],
    ids=["Latin-1", "half a letter of UTF-16", "nothing", "nested without end"],
)
def test_a_manifest_beside_the_file_that_is_none_is_named(write, text, problem):
    file = write(graph(heads(), {}))
    manifest_path(file).write_bytes(text)
    line = refusal(file)
    assert line.startswith(f"{manifest_path(file)}: ")
    assert problem in line


@pytest.mark.parametrize("batch", [0, 4])
def test_batches_that_the_graph_does_not_take_are_refused(write, batch):
    manifest = dataclasses.replace(DETECTION, input=dataclasses.replace(INPUT, batch=batch))
    refusal(write(graph(heads(), ours(manifest))), lambda model: model.batch([PHOTOGRAPH] * 3))


@pytest.mark.parametrize("answers", [1, 2, 5])
def test_a_graph_that_answers_for_other_than_the_photographs_given_is_refused(write, answers):
    manifest = dataclasses.replace(DETECTION, input=dataclasses.replace(INPUT, batch=0))
    made = {name: np.repeat(output, answers, axis=0) for name, output in heads().items()}
    file = write(graph(made, ours(manifest), ("n", 32, 32, 3)))
    refusal(file, lambda model: model.batch([PHOTOGRAPH] * 3))


@pytest.mark.parametrize(
    ("changes", "shape", "dtype"),
    [
        ({"imgsz": "[64, 64]"}, (1, 3, 32, 32), np.float32),
        ({"imgsz": "[32, 64]"}, (1, 3, 32, 32), np.float32),
        ({"names": "{0: 'comedones'}"}, (1, 3, 32, 32), np.float32),
        ({"names": "{0: 'comedones', 1: 'papules', 2: 'nodules'}"}, (1, 3, 32, 32), np.float32),
        ({"names": "{0: 'comedones', 1: 'papules', 7: 'nodules'}"}, (1, 3, 32, 32), np.float32),
        ({}, (1, 3, 32, 32), np.uint8),
        ({}, (1, 1, 32, 32), np.float32),
        ({}, (4, 3, 32, 32), np.float32),
        ({}, (3, 32, 32), np.float32),
    ],
    ids=[
        "a larger input",
        "a wider input",
        "a class too few",
        "a class too many",
        "a class too many, of another number",
        "an integer input",
        "a grey input",
        "batches of 4",
        "no batches",
    ],
)
def test_an_ultralytics_file_that_says_otherwise_than_its_graph_is_refused(write, changes, shape, dtype):
    refusal(write(graph(rows(), ULTRALYTICS | changes, shape, dtype)))


def with_data_in(location):
    """Returns a model whose first tensor lies in another file, and the bytes of that."""
    model = graph(heads(), ours(DETECTION))
    tensor = model.graph.initializer[0]
    data = tensor.raw_data
    tensor.ClearField("raw_data")
    tensor.data_location = onnx.TensorProto.EXTERNAL
    for key, value in (("location", str(location)), ("offset", "0"), ("length", str(len(data)))):
        tensor.external_data.add(key=key, value=value)
    return model, data


@pytest.mark.parametrize("place", ["above", "absolute", "link"])
def test_tensors_outside_the_models_folder_are_not_read(tmp_path, place):
    folder, secret = tmp_path / "model", tmp_path / "secret.bin"
    folder.mkdir()
    model, data = with_data_in({"above": "../secret.bin", "absolute": secret, "link": "external.bin"}[place])
    secret.write_bytes(data)
    (folder / "external.bin").symlink_to(secret)
    (folder / f"{NAME}.onnx").write_bytes(model.SerializeToString())
    assert refusal(folder / f"{NAME}.onnx").startswith(f"{folder / NAME}.onnx: ")


def test_tensors_beside_the_model_are_read(write, tmp_path):
    model, data = with_data_in("external.bin")
    (tmp_path / "external.bin").write_bytes(data)
    assert refused_or_sound(write(model))["counts"] == {"comedones": 1, "papules": 1}
    (tmp_path / "external.bin").write_bytes(data[:-1])
    refusal(write(model))


# In a process of its own, because what crashes there must not take the other tests along.
OPENS_DAMAGED = """
import json
import sys
from pathlib import Path

import cv2
import numpy as np

from acne_runtime.errors import ModelError
from acne_runtime.load import load_model

whole, file, first, photograph = Path(sys.argv[1]).read_bytes(), Path(sys.argv[2]), int(sys.argv[3]), sys.argv[5]


def flipped(seed):
    rng, damaged = np.random.default_rng(seed), bytearray(whole)
    for place in rng.integers(first, len(whole), rng.integers(1, 4)):
        damaged[place] ^= 1 << int(rng.integers(8))
    return bytes(damaged)


for damage in json.loads(sys.argv[4]):
    print(json.dumps(damage), flush=True)
    kind, number = damage
    file.write_bytes(whole[:number] if kind == "cut" else flipped(number))
    try:
        outcome = {"answer": load_model(file)(cv2.imread(photograph)).to_dict()}
    except ModelError as error:
        outcome = {"refused": str(error)}
    except BaseException as error:
        outcome = {"raised": repr(error)}
    print(json.dumps(outcome), flush=True)
"""


def opened_elsewhere(whole, file, damages, first=0):
    """Returns what came of each damage: `refused`, `answer` or `raised`."""
    done = subprocess.run(
        [sys.executable, "-c", OPENS_DAMAGED, whole, file, str(first), json.dumps(damages), SAMPLE],
        capture_output=True,
        text=True,
        check=False,
    )
    lines = [json.loads(line) for line in done.stdout.splitlines() if line[:1] in "[{"]
    assert done.returncode == 0, f"the process ended with {done.returncode} at {lines[-1]}"
    assert lines[::2] == [list(damage) for damage in damages]
    return lines[1::2], done.stdout


@pytest.fixture(scope="module")
def tiny_file(tmp_path_factory):
    file = tmp_path_factory.mktemp("tiny") / f"{NAME}.onnx"
    file.write_bytes(graph(heads(), ours(DETECTION)).SerializeToString())
    return file


@FORMS
def test_a_file_that_is_cut_off_anywhere_is_refused(tiny_file, tmp_path, form):
    whole = tiny_file if form == "onnx" else SHIPPED_FILES[form]
    size = whole.stat().st_size
    lengths = [size, *range(0, 64, 5), *(int(value) for value in np.linspace(64, size - 1, 60)), size - 2, size - 5]
    (uncut, *outcomes), _ = opened_elsewhere(whole, tmp_path / f"cut.{form}", [("cut", length) for length in lengths])
    assert uncut["answer"]["lesions"]
    for length, outcome in zip(lengths[1:], outcomes, strict=True):
        if "answer" in outcome:  # all that is gone is what a TFLite file is filled up with
            assert size - length < 16, (length, outcome)
            assert outcome["answer"]["lesions"] == uncut["answer"]["lesions"]
        else:
            assert outcome.get("refused", "").startswith(f"{tmp_path / 'cut'}.{form}: "), (length, outcome)
            assert outcome["refused"].isprintable(), (length, outcome)


@pytest.mark.parametrize(("form", "first"), [("onnx", 0), ("tflite", -240_000)])
def test_flipped_bits_are_refused_in_one_line_or_give_sound_lesions(tiny_file, tmp_path, form, first):
    whole = tiny_file if form == "onnx" else SHIPPED_FILES[form]  # whose graph lies in its last 240 kB
    seeds, first = range(40), first % whole.stat().st_size
    outcomes, printed = opened_elsewhere(whole, tmp_path / f"flipped.{form}", [("flip", seed) for seed in seeds], first)
    for seed, outcome in zip(seeds, outcomes, strict=True):
        assert "raised" not in outcome, (seed, outcome)
        if "answer" in outcome:
            assert_sound(outcome["answer"])
        else:
            assert outcome["refused"].isprintable(), (seed, outcome)
    assert sum("refused" in outcome for outcome in outcomes) > 10
    # Standard output belongs to `--json -`.
    assert len(printed.splitlines()) == 2 * len(seeds)


def with_damaged_graph(how):
    """The shipped TFLite file with one number of its graph changed, in a way that its format's own check lets pass."""
    schema = pytest.importorskip("ai_edge_litert.schema_py_generated")
    data = bytearray(SHIPPED_FILES["tflite"].read_bytes())
    model = schema.Model.GetRootAsModel(data, 0)
    inside = model.Subgraphs(0)
    steps = [inside.Operators(place) for place in range(inside.OperatorsLength())]
    codes = [model.OperatorCodes(step.OpcodeIndex()).BuiltinCode() for step in steps]
    weights = int(steps[codes.index(schema.BuiltinOperator.CONV_2D)].Inputs(1))
    addition = steps[codes.index(schema.BuiltinOperator.ADD)]
    scales, outputs = 8, 8  # slots in their tables
    table, slot, number = {
        "a scale beyond measure": (inside.Tensors(weights).Quantization(), scales, struct.pack("<f", 1e30)),
        "a step that writes weights": (addition, outputs, struct.pack("<i", weights)),
        "a step that writes nowhere": (steps[-1], outputs, struct.pack("<i", -1)),
        "an output that no step writes": (steps[-1], outputs, struct.pack("<i", steps[-10].Outputs(0))),
    }[how]
    place = table._tab.Vector(table._tab.Offset(slot))
    data[place : place + 4] = number
    return bytes(data)


@pytest.mark.parametrize(
    "how",
    [
        "a scale beyond measure",
        "a step that writes weights",
        "a step that writes nowhere",
        "an output that no step writes",
    ],
)
def test_a_graph_that_litert_would_crash_on_is_refused(tmp_path, how):
    whole = tmp_path / "whole.tflite"
    whole.write_bytes(with_damaged_graph(how))
    (outcome,), _ = opened_elsewhere(whole, tmp_path / "damaged.tflite", [("cut", whole.stat().st_size)])
    assert outcome.get("refused", "").startswith(f"{tmp_path / 'damaged.tflite'}: "), outcome
    assert outcome["refused"].isprintable()


@pytest.mark.parametrize(
    "data",
    [
        b"",
        graph(heads(), ours(DETECTION, thresholds=[0.5] * 2)).SerializeToString(),
        graph(heads(), ours(DETECTION, bins=8)).SerializeToString(),
        graph(suppressed(types=(2, 0)), ours(SUPPRESSING)).SerializeToString(),
        with_data_in("../secret.bin")[0].SerializeToString(),
        # ONNX Runtime cannot say this in its own words, and prints some to standard output.
        graph(heads(), ours(DETECTION)).SerializeToString().replace(b"Identity", b"Identit\xff"),
    ],
    ids=["nothing", "a threshold too many", "more bins", "a class that is none", "tensors elsewhere", "no UTF-8"],
)
def test_the_command_ends_with_1_and_one_line(write, tmp_path, data):
    photo = write_picture(tmp_path / "face.png", 40, 60)
    done = CliRunner().invoke(main, ["--source", str(photo), "--model", str(write(data)), "--json", "-"])
    assert (done.exit_code, type(done.exception)) == (1, SystemExit)
    (line,) = done.stderr.splitlines()
    assert line.startswith("Error: ")
    assert NAME in line
    assert done.stdout == ""


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"dtype": np.float16}, "its input is float16, expected float32; export it with half=False"),
        ({"dtype": np.uint8}, "its input is uint8, expected float32$"),
        ({"shape": (1, 3, 64, 32)}, r"its input is \[1, 3, 64, 32\], expected \[1, 3, 32, 32\]; export it again"),
        ({"shape": (1, 32, 32)}, r"its input is \[1, 32, 32\], expected"),
    ],
)
def test_an_input_that_does_not_fit_is_said_when_the_file_is_opened(write, changes, problem):
    with pytest.raises(ModelError, match=problem) as refused:
        load_model(write(theirs(**changes)))
    assert "\n" not in str(refused.value)


def test_an_input_of_ours_that_does_not_fit_its_manifest_is_said_too(write):
    with pytest.raises(ModelError, match="its input is float32, expected uint8; export it again"):
        load_model(write(graph(heads(), ours(DETECTION), dtype=np.float32)))


def test_a_file_made_for_batches_says_so(write):
    model = load_model(write(theirs(shape=(4, 3, 32, 32))))
    with pytest.raises(ModelError, match="takes batches of 4 images, not single ones"):
        model(PHOTOGRAPH)


@pytest.mark.parametrize("shape", [(1, 3, 32, 32), ("batch", 3, "height", "width")])
def test_a_file_of_theirs_is_described_and_measured(write, shape):
    from acne_export.cli import main as export

    file = write(theirs(shape=shape))
    described = CliRunner().invoke(export, ["inspect", str(file)])
    assert described.exit_code == 0, described.output
    assert f"images float32 [{'any' if shape[0] == 'batch' else 1}, 3, 32, 32] RGB" in described.output
    assert "output0 float32 [1, 6, any]" in described.output
    measured = CliRunner().invoke(export, ["bench", str(file), "--runs", "1", "--threads", "1"])
    assert measured.exit_code == 0, measured.output
    assert file.name in measured.output


def test_the_models_of_the_field_are_told_what_to_do():
    file = Path(__file__).resolve().parents[3] / "shared" / "field-inputs" / "models" / "fp16_io.onnx"
    if not file.is_file():
        pytest.skip("../shared/field-inputs does not lie next to the repository")
    with pytest.raises(ModelError, match="its input is float16, expected"):
        load_model(file)
