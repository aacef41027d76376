from functools import cache

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from acne_runtime.errors import SourceError
from acne_runtime.load import load_model
from acne_runtime.manifest import InputSpec
from acne_runtime.predictors.tiling import TiledModel
from acne_runtime.preprocess import Letterbox, average_blocks, preprocess, reading_scale

SIZES = [
    (1, 1),
    (1, 7),
    (7, 1),
    (1, 5000),
    (5000, 1),
    (3, 4000),
    (4000, 3),
    (64, 48),
    (48, 64),
    (63, 47),
    (65, 49),
    (100, 100),
    (333, 77),
    (640, 480),
    (1023, 767),
]


"""Width and height of photographs."""


ALL_SIZES = pytest.mark.parametrize(("width", "height"), SIZES)
BOTH_WAYS = pytest.mark.parametrize("resize", ["stretch", "letterbox"])


def noise(width, height, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


def spec(resize, width=64, height=48, **more):
    return InputSpec("image", width, height, resize, **more)


@ALL_SIZES
@BOTH_WAYS
def test_every_photograph_fills_the_models_input(width, height, resize):
    tensor, letterbox = preprocess(noise(width, height), spec(resize))
    assert tensor.shape == (1, 48, 64, 3)
    assert tensor.dtype == np.uint8
    assert (letterbox.width, letterbox.height) == (width, height)


@ALL_SIZES
def test_a_stretched_photograph_covers_the_whole_input(width, height):
    photograph = np.full((height, width, 3), 200, np.uint8)
    tensor, letterbox = preprocess(photograph, spec("stretch", pad_value=9))
    assert (tensor == 200).all()
    assert letterbox == Letterbox(64 / width, 48 / height, 0, 0, width, height)


@pytest.mark.parametrize("pad_value", [0, 9, 114, 255])
@ALL_SIZES
def test_a_letterbox_is_padded_around_the_centred_photograph(width, height, pad_value):
    photograph = np.full((height, width, 3), 200, np.uint8)
    tensor, letterbox = preprocess(photograph, spec("letterbox", pad_value=pad_value))
    gain = min(64 / width, 48 / height)
    new_width = min(64, max(1, round(width * gain)))
    new_height = min(48, max(1, round(height * gain)))
    left, top = (64 - new_width) // 2, (48 - new_height) // 2
    expected = np.full((48, 64, 3), pad_value, np.uint8)
    expected[top : top + new_height, left : left + new_width] = 200
    np.testing.assert_array_equal(tensor[0], expected)
    assert letterbox == Letterbox(new_width / width, new_height / height, left, top, width, height)


@pytest.mark.parametrize(("width", "height"), [(128, 96), (32, 24), (640, 480), (200, 100), (100, 200), (64, 48)])
def test_a_letterbox_keeps_the_shape_of_lesions(width, height):
    _, letterbox = preprocess(noise(width, height), spec("letterbox"))
    assert letterbox.scale_x == pytest.approx(letterbox.scale_y, rel=0.02)


def test_odd_padding_leaves_the_spare_pixel_on_the_right_and_at_the_bottom():
    _, wide = preprocess(noise(8, 5), spec("letterbox", 8, 8))
    _, tall = preprocess(noise(5, 8), spec("letterbox", 8, 8))
    assert (wide.left, wide.top) == (0, 1)
    assert (tall.left, tall.top) == (1, 0)


@BOTH_WAYS
def test_blue_green_red_becomes_red_green_blue(resize):
    photograph = np.empty((10, 30, 3), np.uint8)
    photograph[:] = (10, 20, 30)
    tensor, _ = preprocess(photograph, spec(resize))
    assert tensor[0, 24, 32].tolist() == [30, 20, 10]


@pytest.mark.parametrize("scale", [1.0, 1 / 255, 1 / 127.5])
@ALL_SIZES
@BOTH_WAYS
def test_a_float_input_holds_the_scaled_pixels(width, height, resize, scale):
    pixels, _ = preprocess(noise(width, height), spec(resize))
    tensor, _ = preprocess(noise(width, height), spec(resize, dtype="float32", scale=scale))
    assert tensor.dtype == np.float32
    np.testing.assert_allclose(tensor, pixels.astype(np.float64) * scale, rtol=1e-6)


@BOTH_WAYS
@pytest.mark.parametrize(("width", "height"), [(64, 48), (1, 1), (1, 9), (9, 1), (416, 416)])
def test_a_photograph_of_the_right_size_is_handed_over_pixel_for_pixel(resize, width, height):
    photograph = noise(width, height)
    tensor, letterbox = preprocess(photograph, spec(resize, width, height))
    np.testing.assert_array_equal(tensor[0], photograph[:, :, ::-1])
    assert letterbox == Letterbox(1.0, 1.0, 0, 0, width, height)


@pytest.mark.parametrize(("width", "height", "left", "top"), [(64, 20, 0, 14), (30, 48, 17, 0)])
def test_a_photograph_that_needs_padding_only_keeps_its_pixels(width, height, left, top):
    photograph = noise(width, height)
    tensor, _ = preprocess(photograph, spec("letterbox"))
    np.testing.assert_array_equal(tensor[0, top : top + height, left : left + width], photograph[:, :, ::-1])


@BOTH_WAYS
def test_the_photograph_itself_is_left_alone(resize):
    for size in ((64, 48), (100, 30)):
        photograph = noise(*size)
        preprocess(photograph, spec(resize))
        np.testing.assert_array_equal(photograph, noise(*size))


@BOTH_WAYS
def test_a_photograph_cut_out_of_a_larger_one_is_read_right(resize):
    large = noise(200, 100)
    for view in (large[10:58, 20:84], large[::2, ::3], large[::-1, ::-1]):
        got, _ = preprocess(view, spec(resize))
        expected, _ = preprocess(np.ascontiguousarray(view), spec(resize))
        np.testing.assert_array_equal(got, expected)


@BOTH_WAYS
def test_shrinking_by_two_averages_pixel_pairs(resize):
    photograph = noise(128, 96)
    tensor, _ = preprocess(photograph, spec(resize))
    mean = photograph[:, :, ::-1].reshape(48, 2, 64, 2, 3).astype(np.float64).mean(axis=(1, 3))
    assert np.abs(tensor[0] - mean).max() <= 1


@BOTH_WAYS
@pytest.mark.parametrize(("width", "height"), [(640, 480), (333, 277), (200, 100), (90, 210), (32, 24)])
def test_a_marked_lesion_lies_where_the_placement_says(width, height, resize):
    box = np.array([[width * 0.3, height * 0.4, width * 0.6, height * 0.9]], np.float32).round()
    x1, y1, x2, y2 = box[0].astype(int)
    photograph = np.zeros((height, width, 3), np.uint8)
    photograph[y1:y2, x1:x2] = 255
    tensor, letterbox = preprocess(photograph, spec(resize, 320, 256, pad_value=0))
    rows, columns = np.nonzero(tensor[0, :, :, 0] >= 128)
    seen = [columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]
    np.testing.assert_allclose(letterbox.to_input(box)[0], seen, atol=0.51)


@ALL_SIZES
@BOTH_WAYS
@pytest.mark.parametrize(("input_width", "input_height"), [(64, 48), (416, 416), (640, 640)])
def test_boxes_return_from_the_models_pixels_unchanged(width, height, resize, input_width, input_height):
    _, letterbox = preprocess(noise(width, height), spec(resize, input_width, input_height))
    corners = np.random.default_rng(1).uniform(0, [[[width, height]] * 2] * 50)
    boxes = np.sort(corners, axis=1).reshape(-1, 4).astype(np.float32)
    # A few roundings of a float32 as large as the input's side, seen through the scale.
    rounding = (
        4 * np.finfo(np.float32).eps * np.array([input_width / letterbox.scale_x, input_height / letterbox.scale_y] * 2)
    )
    there = letterbox.to_input(boxes)
    back = letterbox.to_image(there)
    assert there.dtype == back.dtype == np.float32
    assert (np.abs(back - boxes) <= rounding + 1e-6 * boxes).all()


@ALL_SIZES
@BOTH_WAYS
def test_a_photographs_frame_stays_inside_the_input(width, height, resize):
    _, letterbox = preprocess(noise(width, height), spec(resize))
    frame = letterbox.to_input(np.array([[0, 0, width, height]], np.float32))[0]
    assert (frame >= -1e-3).all()
    assert (frame <= np.array([64, 48, 64, 48]) + 1e-3).all()


def test_boxes_are_clipped_to_the_photograph():
    letterbox = Letterbox(scale_x=0.5, scale_y=0.5, left=10, top=0, width=100, height=80)
    boxes = np.array([[0, -5, 20, 50], [60, 30, 90, 41], [-9, -9, -1, -1], [10, 0, 60, 40]], np.float32)
    expected = [[0, 0, 20, 80], [100, 60, 100, 80], [0, 0, 0, 0], [0, 0, 100, 80]]
    np.testing.assert_array_equal(letterbox.to_image(boxes), np.array(expected, np.float32))


def test_no_boxes_give_no_boxes():
    letterbox = Letterbox(0.5, 0.5, 10, 0, 100, 80)
    none = np.empty((0, 4), np.float32)
    assert letterbox.to_image(none).shape == letterbox.to_input(none).shape == (0, 4)


@pytest.mark.parametrize(
    ("wrong", "got"),
    [
        ([[0]], "got list"),
        (None, "got NoneType"),
        (np.zeros((48, 64, 3), np.float32), r"got \[48, 64, 3\] float32"),
        (np.zeros((48, 64, 3), np.uint16), r"got \[48, 64, 3\] uint16"),
        (np.zeros((48, 64), np.uint8), r"got \[48, 64\] uint8"),
        (np.zeros((48, 64, 4), np.uint8), r"got \[48, 64, 4\] uint8"),
        (np.zeros((0, 64, 3), np.uint8), r"got \[0, 64, 3\] uint8"),
    ],
    ids=["list", "None", "float", "16 bits", "grey", "alpha", "empty"],
)
def test_what_is_no_photograph_in_memory_is_refused(exported, wrong, got):
    """Of another dtype, OpenCV would leave the tensor as it found it, and the answer would be of other pixels."""
    model = load_model(exported("detection", "onnx"))
    result = model(noise(64, 48))
    for look in (model, TiledModel(model, 16), result.draw):
        with pytest.raises(SourceError, match=rf"^expected an image as .*uint8 BGR array, {got}$"):
            look(wrong)


def averaging(resize="letterbox", **more):
    return spec(resize, shrink="average", **more)


@pytest.mark.parametrize("factor", [2, 3, 4, 5, 6, 7, 8, 12, 16])
def test_blocks_are_averaged_as_the_docstring_says_so_that_a_device_can_repeat_it(factor):
    image = noise(13 * factor + factor // 2, 9 * factor + 1)  # the last columns and rows fill no block
    blocks = image[: 9 * factor, : 13 * factor].reshape(9, factor, 13, factor, 3).sum((1, 3), dtype=np.int64)
    expected = np.rint(blocks.astype(np.float32) * np.float32(1 / factor**2))
    if factor == 2:
        expected = (blocks + 2) // 4
    np.testing.assert_array_equal(average_blocks(image, factor), expected)


@pytest.mark.parametrize("size", [(64, 48), (100, 75), (127, 95)])
def test_a_photograph_under_twice_the_input_is_resized_as_ever(size):
    plain, averaged = (
        preprocess(noise(*size), spec("letterbox", shrink=interpolation)) for interpolation in ("bilinear", "average")
    )
    np.testing.assert_array_equal(plain[0], averaged[0])
    assert plain[1] == averaged[1]


@BOTH_WAYS
@pytest.mark.parametrize("size", [(128, 96), (640, 480), (1001, 333), (4000, 3000), (3, 4000)])
def test_averaging_misses_no_pixel_so_that_fine_stripes_become_grey(resize, size):
    width, height = size
    stripes = np.zeros((height, width, 3), np.uint8)
    stripes[:, ::2] = 200
    tensor, letterbox = preprocess(stripes, averaging(resize, pad_value=100))
    if width >= 4 * 64:  # at least two stripes in every block
        inside = tensor[0, letterbox.top : 48 - letterbox.top, letterbox.left : 64 - letterbox.left]
        assert abs(int(inside.min()) - 100) <= 34
        assert abs(int(inside.max()) - 100) <= 34


@BOTH_WAYS
@pytest.mark.parametrize("size", [(128, 96), (640, 480), (1001, 777), (4001, 3003)])
def test_after_averaging_a_place_still_lies_where_the_placement_says(resize, size):
    width, height = size
    photograph = np.zeros((height, width, 3), np.uint8)
    x, y, half = int(width * 0.7), int(height * 0.3), max(2, width // 32)
    photograph[y - half : y + half, x - half : x + half] = 255
    tensor, letterbox = preprocess(photograph, averaging(resize, pad_value=0))
    mass = tensor[0, ..., 0].astype(float)
    rows, columns = np.indices(mass.shape) + 0.5
    middle = np.array([(mass * columns).sum(), (mass * rows).sum()]) / mass.sum()
    expected = letterbox.to_input(np.float32([[x, y, x, y]]))[0, :2]
    np.testing.assert_allclose(middle, expected, atol=0.15)


@pytest.mark.parametrize(
    ("size", "expected"),
    [
        ((64, 48), 1),
        ((127, 96), 1),
        ((128, 96), 2),
        ((256, 192), 4),
        ((4000, 3000), 8),
        ((4000, 100), 8),
        ((9, 4000), 8),
    ],
)
def test_a_jpeg_is_read_at_the_largest_part_of_its_size_that_is_enough(size, expected):
    assert reading_scale(*size, averaging()) == expected
    assert reading_scale(*size, spec("letterbox")) == 1  # files without averaging keep their answers


@pytest.mark.parametrize("part", [2, 4, 8])
@pytest.mark.parametrize("size", [(512, 384), (1023, 769), (1021, 1021)])
def test_a_smaller_reading_is_placed_as_the_photograph_itself(part, size):
    width, height = size
    reading = noise(-(-width // part), -(-height // part))
    tensor, letterbox = preprocess(reading, averaging(), size=size)
    _, whole = preprocess(noise(*size), averaging())
    assert (letterbox.width, letterbox.height) == size
    assert (letterbox.left, letterbox.top) == (whole.left, whole.top)
    # Both leave out less than a block on the right and at the bottom.
    for corner in ([0, 0, width, height], [width / 3, height / 3, width / 2, height / 2]):
        box = np.float32([corner])
        np.testing.assert_allclose(letterbox.to_input(box), whole.to_input(box), atol=1.0)
    assert tensor.shape == (1, 48, 64, 3)


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
