from types import SimpleNamespace

import numpy as np
import pytest

from acne_runtime.backends.ultralytics_manifest import is_ultralytics, read_ultralytics_manifest
from acne_runtime.errors import ModelError
from acne_runtime.manifest import ANY
from acne_runtime.model import Model

METADATA = {
    "description": "Ultralytics YOLOv8n model",
    "author": "Ultralytics",
    "version": "8.4.190",
    "task": "detect",
    "stride": "32",
    "batch": "1",
    "imgsz": "[64, 96]",
    "names": "{0: 'papules', 1: 'comedones', 2: 'scars'}",
    "args": "{'batch': 1, 'nms': False}",
    "end2end": "False",
}
CELLS = 8 * 12 + 4 * 6 + 2 * 3
PHOTOGRAPH = np.full((128, 192, 3), (10, 20, 30), np.uint8)


class FakeBackend:
    name, device = "fake", "cpu"

    def __init__(self, rows):
        self.rows, self.seen = rows, None

    def run(self, tensor):
        self.seen = tensor
        return {"output0": self.rows}


def opened(backend="onnx", input_shape=(1, 3, 64, 96), outputs=("output0",), **changes):
    """A file of theirs, as the loader sees it."""
    return SimpleNamespace(
        name=backend, foreign_metadata=METADATA | changes, input_shape=list(input_shape), outputs=list(outputs)
    )


def rows(*found):
    """`[1, 4 + classes, cells]` that show `found`: cell, centre x and y, width, height, class, score."""
    output = np.zeros((1, 7, CELLS), np.float32)
    for cell, x, y, width, height, one, score in found:
        output[0, :4, cell] = x, y, width, height
        output[0, 4 + one, cell] = score
    return output


def test_their_statements_are_told_from_ours():
    assert is_ultralytics(METADATA)
    assert not is_ultralytics({})
    assert not is_ultralytics({"names": "{}", "task": "detect"})


def test_their_statements_become_a_manifest():
    manifest = read_ultralytics_manifest(opened(), "yolov8n")
    assert manifest.classes == ("papules", "comedones", "scars")
    assert (manifest.input.width, manifest.input.height, manifest.input.resize) == (96, 64, "letterbox")
    assert (manifest.input.dtype, manifest.input.layout, manifest.input.pad_value) == ("float32", "NCHW", 114)
    assert manifest.input.scale == pytest.approx(1 / 255)
    assert manifest.thresholds == (0.25,) * 3
    assert manifest.output_shape(manifest.outputs[0]) == (1, 7, ANY)
    assert manifest.provenance["converted_with"] == {"ultralytics": "8.4.190"}


@pytest.mark.parametrize(
    ("backend_name", "sides", "shape"),
    [
        ("onnx", (1, 1), (1, 3, 64, 96)),
        ("litert", (96, 64), (1, 64, 96, 3)),
        ("litert", (96, 64), (1, 3, 64, 96)),
    ],
)
def test_their_boxes_come_out_in_pixels_of_the_photograph(backend_name, sides, shape):
    side_x, side_y = sides
    found = rows(
        (5, 40 / side_x, 20 / side_y, 20 / side_x, 10 / side_y, 0, 0.9),
        (6, 41 / side_x, 20 / side_y, 20 / side_x, 10 / side_y, 0, 0.8),  # of the same lesion
        (7, 40 / side_x, 20 / side_y, 20 / side_x, 10 / side_y, 2, 0.7),  # of another type
        (100, 80 / side_x, 50 / side_y, 8 / side_x, 8 / side_y, 1, 0.25),
        (110, 10 / side_x, 10 / side_y, 8 / side_x, 8 / side_y, 1, 0.24),  # below the threshold
    )
    backend = FakeBackend(found)
    result = Model(read_ultralytics_manifest(opened(backend_name, shape), "yolov8n"), backend)(PHOTOGRAPH)
    assert [(lesion.name, round(lesion.score, 3)) for lesion in result.lesions] == [
        ("papules", 0.9),
        ("scars", 0.7),
        ("comedones", 0.25),
    ]
    assert [lesion.box for lesion in result.lesions] == [
        pytest.approx((60, 30, 100, 50), abs=1e-4),
        pytest.approx((60, 30, 100, 50), abs=1e-4),
        pytest.approx((152, 92, 168, 108), abs=1e-4),
    ]
    assert backend.seen.shape == shape
    assert backend.seen.dtype == np.float32
    pixel = backend.seen[0, :, 0, 0] if shape[1] == 3 else backend.seen[0, 0, 0]
    assert pixel == pytest.approx(np.array([30, 20, 10]) / 255)


def test_one_number_for_the_size_is_that_of_both_sides():
    spec = read_ultralytics_manifest(opened(imgsz="64", input_shape=(1, 3, 64, 64)), "m").input
    assert spec.tensor_shape == (1, 3, 64, 64)


@pytest.mark.parametrize(("first", "batch"), [(1, 1), (4, 4), ("batch", 0), (-1, 0)])
def test_the_batch_is_that_of_the_file(first, batch):
    assert read_ultralytics_manifest(opened(input_shape=(first, 3, 64, 96)), "m").input.batch == batch


@pytest.mark.parametrize("cells", [16 * 24 + CELLS, CELLS + 2, 4 * 6 + 2 * 3])  # P2, P6, YOLOv3-tiny
def test_detectors_with_other_grids_are_read(cells):
    output = np.zeros((1, 7, cells), np.float32)
    output[0, :5, cells - 1] = 40, 20, 20, 10, 0.9
    result = Model(read_ultralytics_manifest(opened(), "m"), FakeBackend(output))(PHOTOGRAPH)
    assert [lesion.box for lesion in result.lesions] == [pytest.approx((60, 30, 100, 50), abs=1e-4)]


@pytest.mark.parametrize(
    ("names", "classes"),
    [
        ("['acne', 'scar']", ("acne", "scar")),
        ("{1: 'scar', 0: 'acne'}", ("acne", "scar")),
        (str({str(n): f"c{n}" for n in range(12)}), tuple(f"c{n}" for n in range(12))),
    ],
)
def test_class_names_come_in_the_order_of_their_numbers(names, classes):
    assert read_ultralytics_manifest(opened(names=names), "m").classes == classes


@pytest.mark.parametrize(
    ("changes", "outputs", "problem"),
    [
        (
            {"task": "segment"},
            ["output0", "output1"],
            "for 'segment'; only detectors are supported",
        ),
        ({"args": "{'nms': True}"}, ["output0"], "NMS inside the graph; export it with nms=False"),
        ({}, ["output0", "output1"], "NMS inside the graph"),
        ({"names": "{0: 'a'"}, ["output0"], "invalid Ultralytics metadata"),
        ({"names": "3"}, ["output0"], "invalid Ultralytics metadata"),
        ({"names": "{}"}, ["output0"], "empty or not unique"),
        ({"names": "__import__('os').abort()"}, ["output0"], "invalid Ultralytics metadata"),
        ({"names": "[" * 10_000}, ["output0"], "invalid Ultralytics metadata"),
        ({"imgsz": "[64]"}, ["output0"], "invalid Ultralytics metadata"),
        ({"imgsz": "['a', 'b']"}, ["output0"], "invalid Ultralytics metadata"),
        ({"end2end": "True"}, ["output0"], "selects its boxes itself; export it with end2end=False"),
        ({"imgsz": "[64000, 64]"}, ["output0"], "not within 1 to"),
    ],
)
def test_what_is_no_plain_detector_of_theirs_is_refused_in_one_line(changes, outputs, problem):
    with pytest.raises(ModelError, match=problem) as refused:
        read_ultralytics_manifest(opened(outputs=outputs, **changes), "yolo")
    assert "yolo" in str(refused.value)
    assert "\n" not in str(refused.value)
