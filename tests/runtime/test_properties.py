from functools import cache
from itertools import combinations

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from acne_runtime.manifest import InputSpec, OutputSpec
from acne_runtime.postprocess.decode import Candidates, decode, lesion_scores
from acne_runtime.postprocess.nms import non_max_suppression
from acne_runtime.preprocess import preprocess

LARGEST = 4000
COLOUR = (10, 20, 30)
SIDES = st.one_of(st.integers(1, LARGEST), st.integers(1, 40))
INPUT_SIDES = st.integers(1, 20).map(lambda cells: 32 * cells)
SPECS = st.builds(
    InputSpec,
    st.just("image"),
    INPUT_SIDES,
    INPUT_SIDES,
    st.sampled_from(["stretch", "letterbox"]),
    pad_value=st.just(9),
)
SHARES = st.lists(st.tuples(*[st.floats(0, 1)] * 4), min_size=1, max_size=8)

REPEATABLE = settings(derandomize=True, deadline=None, max_examples=200)


@cache
def canvas():
    return np.full((LARGEST, LARGEST, 3), COLOUR, np.uint8)


def photograph(width, height):
    return canvas()[:height, :width]


@given(SIDES, SIDES, SPECS, SHARES)
@REPEATABLE
def test_boxes_return_from_the_models_pixels(width, height, spec, shares):
    _, letterbox = preprocess(photograph(width, height), spec)
    corners = np.array(shares).reshape(-1, 2, 2) * (width, height)
    boxes = np.sort(corners, axis=1).reshape(-1, 4).astype(np.float32)
    np.testing.assert_allclose(letterbox.to_image(letterbox.to_input(boxes)), boxes, rtol=0, atol=0.01)


@given(SIDES, SIDES, SPECS)
@REPEATABLE
def test_the_photograph_fills_its_place_and_the_padding_the_rest(width, height, spec):
    tensor, letterbox = preprocess(photograph(width, height), spec)
    frame = letterbox.to_input(np.array([[0, 0, width, height]], np.float32))[0]
    left, top, right, bottom = np.rint(frame).astype(int)
    np.testing.assert_allclose(frame, [left, top, right, bottom], atol=1e-3)
    assert 0 <= left < right <= spec.width
    assert 0 <= top < bottom <= spec.height
    expected = np.full((1, spec.height, spec.width, 3), spec.pad_value, np.uint8)
    expected[0, top:bottom, left:right] = COLOUR[::-1]
    np.testing.assert_array_equal(tensor, expected)


@given(SIDES, SIDES, INPUT_SIDES, INPUT_SIDES)
@REPEATABLE
def test_a_letterbox_keeps_the_aspect_ratio_and_touches_two_borders(width, height, input_width, input_height):
    _, letterbox = preprocess(photograph(width, height), InputSpec("image", input_width, input_height, "letterbox"))
    placed = np.array([width * letterbox.scale_x, height * letterbox.scale_y])
    np.testing.assert_allclose(placed, np.rint(placed), atol=1e-6)
    placed_width, placed_height = np.rint(placed).astype(int)
    gain = min(input_width / width, input_height / height)
    assert abs(placed_width - max(1, width * gain)) <= 0.5 + 1e-6
    assert abs(placed_height - max(1, height * gain)) <= 0.5 + 1e-6
    assert placed_width == input_width or placed_height == input_height
    # Centred, but for the odd pixel.
    assert input_width - placed_width - 2 * letterbox.left in (0, 1)
    assert input_height - placed_height - 2 * letterbox.top in (0, 1)


def overlap(a, b):
    width = max(0.0, min(a[2], b[2]) - max(a[0], b[0]))
    height = max(0.0, min(a[3], b[3]) - max(a[1], b[1]))
    both = (a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - width * height
    return width * height / both if both > 0 else 0.0


def touch(a, b):
    return bool((np.maximum(a[:2], b[:2]) <= np.minimum(a[2:], b[2:])).all())


def every_overlap(found):
    boxes = found.boxes.astype(np.float64).tolist()
    return [[overlap(a, b) for b in boxes] for a in boxes]


def plain_suppress(found, overlaps, iou, most):
    kept = []
    for one in sorted(range(len(found.scores)), key=lambda place: -found.scores[place]):  # stable
        rivals = [other for other in kept if found.types is not None or found.classes[one] == found.classes[other]]
        if not any(overlaps[one][other] > iou for other in rivals):
            kept.append(one)
    return Candidates(*(None if part is None else part[kept[:most]] for part in found))


@st.composite
def candidates(draw, least_side):
    """Coordinates in quarters, so that areas are exact in float32; some boxes stand there twice, or half of them."""
    count, kinds, scores = draw(st.integers(1, 24)), draw(st.integers(1, 4)), draw(st.integers(1, 100))
    low, spread, longest = (draw(st.sampled_from(some)) for some in ([-900, -80, 0], [60, 1200], [8, 80, 600]))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    corners, sides = rng.integers(low, low + spread, (count, 2)), rng.integers(least_side, longest, (count, 2))
    for place in range(1, count):
        if rng.random() < 0.4:
            other = rng.integers(place)
            corners[place], sides[place] = (
                corners[other],
                np.maximum(sides[other] // [rng.integers(1, 3), 1], least_side),
            )
    boxes = np.concatenate([corners, corners + sides], axis=1).astype(np.float32) / 4
    some_scores = rng.integers(0, scores + 1, count).astype(np.float32) / scores
    types = draw(st.sampled_from([None, rng.random((count, kinds), np.float32)]))
    return Candidates(boxes, some_scores, rng.integers(0, kinds, count) if types is None else types.argmax(1), types)


@st.composite
def limits(draw, overlaps):
    """Also just above and below what two of the boxes overlap by."""
    found = sorted({one for row in overlaps for one in row if 0.01 < one < 0.98})
    beside = (
        st.builds(sum, st.tuples(st.sampled_from(found), st.sampled_from([-0.002, 0.002]))) if found else st.nothing()
    )
    iou = draw(st.one_of(st.just(0.5), beside, st.floats(0.01, 0.99)))
    # An exact half is computed alike by all; other limits are not held against their own rounding.
    assume(iou == 0.5 or all(abs(one - iou) > 1e-5 for row in overlaps for one in row))
    return iou


def assert_survivors_as_a_plain_double_loop_says(found, data):
    overlaps = every_overlap(found)
    iou, most = data.draw(limits(overlaps), "iou"), data.draw(st.integers(1, 30), "most")
    got, expected = non_max_suppression(found, iou, most), plain_suppress(found, overlaps, iou, most)
    for one, other in zip(got, expected, strict=True):
        np.testing.assert_array_equal(one, other)


@given(candidates(least_side=1), st.data())
@REPEATABLE
def test_boxes_survive_as_a_plain_double_loop_says(found, data):
    assert_survivors_as_a_plain_double_loop_says(found, data)


@given(candidates(least_side=0), st.data())
@REPEATABLE
def test_a_box_without_area_and_another_beside_it_leave_each_other_alone(found, data):
    areas = (found.boxes[:, 2:] - found.boxes[:, :2]).prod(axis=1)
    points = [(box, one) for box, one, area in zip(found.boxes, found.classes, areas, strict=True) if area == 0]
    # What two of them overlap by is nought by nought where they touch.
    by_class = found.types is None
    assume(
        not any(
            (kind == other_kind or not by_class) and touch(a, b)
            for (a, kind), (b, other_kind) in combinations(points, 2)
        )
    )
    assert_survivors_as_a_plain_double_loop_says(found, data)


@given(
    st.integers(0, 2**32 - 1),
    st.integers(1, 3),
    st.integers(1, 3),
    st.floats(0.1, 30),
    st.integers(1, 5),
    st.floats(0, 1, width=32),
)
@settings(REPEATABLE, max_examples=40)
def test_boxes_are_those_that_kerascv_decodes(seed, rows, columns, spread, classes, least):
    pytest.importorskip("keras_cv")
    from keras_cv.src.models.object_detection.yolo_v8 import yolo_v8_detector as kerascv

    height, width, strides, channels = 32 * rows, 32 * columns, (8, 16, 32), kerascv.BOX_REGRESSION_CHANNELS
    rng = np.random.default_rng(seed)
    outputs, logits, scores = {}, [], []
    for stride in strides:
        grid = (1, height // stride, width // stride)
        outputs[f"box_{stride}"] = rng.normal(0, spread, (*grid, channels)).astype(np.float32)
        outputs[f"score_{stride}"] = rng.random((*grid, classes), dtype=np.float32)
        logits.append(outputs[f"box_{stride}"].reshape(1, -1, channels))
        scores.append(outputs[f"score_{stride}"].reshape(-1, classes))

    distances = kerascv.decode_regression_to_boxes(np.concatenate(logits, axis=1))
    anchors, anchor_strides = kerascv.get_anchors((height, width, 3), strides)
    boxes = np.asarray(kerascv.dist2bbox(distances, anchors) * anchor_strides[:, None])[0]
    scores = np.concatenate(scores)
    lesions = lesion_scores(scores)
    (cells,) = np.nonzero(lesions >= np.float32(least))

    specs = tuple(OutputSpec(f"{kind}_{stride}", kind, stride) for kind in ("box", "score") for stride in strides)
    got = decode(outputs, specs, np.float32(least), channels // 4)
    np.testing.assert_allclose(got.boxes, boxes[cells], rtol=0, atol=1e-3)
    np.testing.assert_array_equal(got.scores, lesions[cells])
    np.testing.assert_array_equal(got.types, scores[cells])
    np.testing.assert_array_equal(got.classes, scores[cells].argmax(axis=1))


@given(st.integers(0, 2**32 - 1), st.integers(1, 8), st.floats(0, 1, width=32), st.floats(1e-6, 1))
@REPEATABLE
def test_the_first_comparison_loses_no_lesion(seed, classes, least, spread):
    """Probabilities near the smallest that could still make a lesion together, and one-sided ones."""
    rng = np.random.default_rng(seed)
    near = 1 - (1 - float(least)) ** (1 / classes)
    types = np.clip(near + spread * 1e-4 * rng.normal(size=(400, classes)), 0, 1).astype(np.float32)
    types[:50] *= rng.random((50, classes)) < 0.5
    outputs = {"box_8": np.zeros((1, 20, 20, 8), np.float32), "score_8": types.reshape(1, 20, 20, classes)}
    got = decode(outputs, (OutputSpec("box_8", "box", 8), OutputSpec("score_8", "score", 8)), np.float32(least), 2)
    expected = lesion_scores(types)
    np.testing.assert_array_equal(got.scores, expected[expected >= np.float32(least)])
