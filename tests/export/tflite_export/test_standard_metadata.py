import io
import zipfile

import numpy as np
import pytest

pytest.importorskip("tensorflow")

from flatbuffers import encode, number_types, packer
from flatbuffers.table import Table

from acne_export.tflite_export.standard_metadata import NAME
from acne_runtime.backends.tflite_metadata import read_metadata
from acne_runtime.manifest import NMS_KINDS

pytestmark = pytest.mark.slow  # conversions


def table(buffer):
    assert buffer[4:8] == b"M001"
    return Table(buffer, encode.Get(packer.uoffset, buffer, 0))


def field(one, number):
    offset = one.Offset(4 + 2 * number)
    assert offset, f"no field {number}"
    return one.Pos + offset


def text(one, number):
    return one.String(field(one, number)).decode()


def inner(one, number):
    return Table(one.Bytes, one.Indirect(field(one, number)))


def several(one, number):
    place = one.Offset(4 + 2 * number)
    if not place:
        return []
    start = one.Vector(place)
    return [Table(one.Bytes, one.Indirect(start + 4 * i)) for i in range(one.VectorLen(place))]


def floats(one, number):
    place = one.Offset(4 + 2 * number)
    return np.frombuffer(one.Bytes, "<f4", one.VectorLen(place), one.Vector(place)).tolist()


def scalar(one, number, flags):
    return one.Get(flags, field(one, number))


@pytest.mark.parametrize(
    ("task", "precision"), [("detection", "float32"), ("detection", "int8"), ("multilabel", "int8")]
)
def test_other_tools_find_labels_normalization_and_size(exported, tiny, task, precision):
    """Read back by the field numbers of metadata_schema.fbs, as MediaPipe's and Netron's generated readers do."""
    file = exported(task, "tflite", precision).read_bytes()
    metadata = table(read_metadata(file, NAME))
    manifest = tiny.MANIFESTS[task]
    assert text(metadata, 0) == manifest.name
    assert "no diagnosis" in text(metadata, 1)
    (graph,) = several(metadata, 3)
    (image,) = several(graph, 2)
    assert text(image, 0) == "image"
    content = inner(image, 3)
    assert scalar(content, 0, number_types.Uint8Flags) == 2  # ImageProperties
    properties = inner(content, 1)
    assert scalar(properties, 0, number_types.Int8Flags) == 1  # RGB
    size = inner(properties, 1)
    assert [scalar(size, number, number_types.Uint32Flags) for number in (0, 1)] == [64, 64]
    (unit,) = several(image, 4)
    assert scalar(unit, 0, number_types.Uint8Flags) == 1  # NormalizationOptions
    assert (floats(inner(unit, 1), 0), floats(inner(unit, 1), 1)) == ([0.0], [1.0])

    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(model_content=file)
    shapes = [tuple(output["shape"]) for output in interpreter.get_output_details()]
    outputs = {spec.name: spec for spec in manifest.outputs}
    told = [text(tensor, 0) for tensor in several(graph, 3)]
    assert sorted(told) == sorted(outputs)
    assert [manifest.output_shape(outputs[name]) for name in told] == shapes
    for tensor in several(graph, 3):
        if outputs[text(tensor, 0)].kind in ("score", "label"):
            (labels,) = several(tensor, 6)
            assert text(labels, 0) == "labels.txt"
            assert scalar(labels, 2, number_types.Int8Flags) == 2  # TENSOR_AXIS_LABELS


def test_what_a_graph_with_suppression_gives_is_described_too(exported):
    file = exported("detection", "tflite", "float32", nms=True)
    (graph,) = several(table(read_metadata(file.read_bytes(), NAME)), 3)
    described = {text(tensor, 0): tensor for tensor in several(graph, 3)}
    assert sorted(described) == sorted(NMS_KINDS)
    assert text(described["lesion_types"], 1) == "probability of each type, by lesion"
    labelled = {name: [text(labels, 0) for labels in several(one, 6)] for name, one in described.items()}
    assert labelled == {kind: [] for kind in NMS_KINDS} | {"lesion_types": ["labels.txt"]}
    assert scalar(inner(described["lesion_box"], 3), 0, number_types.Uint8Flags) == 3  # BoundingBoxProperties


def test_the_class_names_are_packed_behind_the_model_as_the_standard_has_it(exported, tiny):
    file = exported("detection", "tflite", "int8").read_bytes()
    with zipfile.ZipFile(io.BytesIO(file)) as archive:
        assert archive.namelist() == ["labels.txt"]
        assert archive.read("labels.txt").decode().split() == list(tiny.CLASSES)
