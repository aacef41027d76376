from collections.abc import Iterator

import cv2
import numpy as np
import pytest

from acne_runtime.manifest import InputSpec
from acne_trainer.data.augment import TrainingExample, full_image, random_crop
from acne_trainer.data.dataset import Sample

CROP = 128
HUES = (0, 45, 90, 135)
"""Of the four lesion types, in OpenCV's half degrees: far apart, so that the colour jitter confuses none."""
SKIN = 180
EDGE = 1.5
"""Pixels by which a box may miss the painted edge: resampling blurs it and the jitter moves its half-way mark."""

PHOTOGRAPHS = [
    (300, 200, [(20, 30, 70, 60), (180, 20, 200, 44), (40, 130, 53, 188), (220, 120, 290, 190)]),
    (90, 260, [(5, 10, 25, 40), (50, 60, 80, 72), (10, 150, 40, 180), (60, 200, 88, 255)]),
    (60, 50, [(4, 4, 20, 16), (30, 5, 50, 19), (6, 30, 18, 46), (34, 28, 58, 48)]),
    (501, 333, [(0, 0, 40, 30), (470, 10, 501, 41), (200, 100, 216, 116), (280, 180, 300, 222)]),
]
"""Width, height and the box of each of the four types."""


def paint(file, width, height, boxes) -> Sample:
    photograph = np.full((height, width, 3), SKIN, np.uint8)
    for (x1, y1, x2, y2), hue in zip(boxes, HUES, strict=False):
        colour = cv2.cvtColor(np.array([[[hue, 255, 255]]], np.uint8), cv2.COLOR_HSV2BGR)[0, 0]
        y, x = np.mgrid[:height, :width] + 0.5
        inside = ((2 * x - x1 - x2) / (x2 - x1)) ** 2 + ((2 * y - y1 - y2) / (y2 - y1)) ** 2 <= 1
        photograph[inside] = colour
    assert cv2.imwrite(str(file), photograph)
    return Sample(file, np.array(boxes, np.float32).reshape(-1, 4), np.arange(len(boxes), dtype=np.int32))


@pytest.fixture(params=PHOTOGRAPHS, ids=lambda photograph: f"{photograph[0]}x{photograph[1]}")
def sample(request, tmp_path) -> Sample:
    return paint(tmp_path / "face.png", *request.param)


@pytest.fixture
def bare_skin(tmp_path) -> Sample:
    return paint(tmp_path / "skin.png", 200, 150, [])


def painted(image) -> Iterator[tuple[int, np.ndarray]]:
    """Yields each type whose colour is seen, and where."""
    chroma = image.max(axis=-1).astype(int) - image.min(axis=-1)
    hue = cv2.cvtColor(image, cv2.COLOR_RGB2HSV)[..., 0]
    for index in range(len(HUES)):
        mine = np.where(np.round(hue / 45) % 4 == index, chroma, 0)
        if mine.max() > 60:
            yield index, mine > mine.max() / 2


def frame(mask):
    rows, columns = np.nonzero(mask)
    return np.array([columns.min(), rows.min(), columns.max() + 1, rows.max() + 1])


def own_size(sample):
    """A model's input in which the photograph keeps its own scale."""
    height, width = sample.image().shape[:2]
    return InputSpec("image", width, height, "letterbox")


def crops(sample, count=60):
    return [random_crop(sample, CROP, own_size(sample), np.random.default_rng(seed)) for seed in range(count)]


def wholes(sample, spec, count=20):
    return [full_image(sample, spec, np.random.default_rng(seed)) for seed in range(count)]


def touches_the_edge(box, width=CROP, height=CROP):
    return box[0] <= 2 or box[1] <= 2 or box[2] >= width - 2 or box[3] >= height - 2


def assert_well_formed(view: TrainingExample, width, height):
    assert view.image.shape == (height, width, 3)
    assert view.image.dtype == np.uint8
    assert view.boxes.shape == (len(view.classes), 4)
    assert (view.boxes.dtype, view.classes.dtype) == (np.float32, np.int32)
    assert (view.boxes >= 0).all()
    assert (view.boxes <= [width, height, width, height]).all()
    assert (view.boxes[:, 2:] > view.boxes[:, :2]).all()


def test_a_crops_boxes_frame_the_painted_lesions(sample):
    framed = 0
    for view in crops(sample):
        seen = dict(painted(view.image))
        for box, one in zip(view.boxes, view.classes.tolist(), strict=True):
            if not touches_the_edge(box):  # what is left of a round lesion may be narrower than what is left of its box
                np.testing.assert_allclose(box, frame(seen[one]), atol=EDGE)
                framed += 1
    assert framed >= 15


def test_a_crops_boxes_are_off_to_no_side(sample):
    # The blur of an edge widens both sides alike, so the middle is known far better than the edges.
    misses = []
    for view in crops(sample):
        seen = dict(painted(view.image))
        for box, one in zip(view.boxes, view.classes.tolist(), strict=True):
            if not touches_the_edge(box):
                edges = frame(seen[one])
                misses.append((edges[:2] + edges[2:]) / 2 - (box[:2] + box[2:]) / 2)
    assert len(misses) >= 10
    assert np.abs(np.mean(misses, axis=0)).max() < 0.25
    assert np.abs(misses).max() < 0.8


def test_a_lesion_plainly_in_the_crop_is_marked(sample):
    plain = 0
    for view in crops(sample):
        for one, mask in painted(view.image):
            if not touches_the_edge(frame(mask)):
                assert one in view.classes
                plain += 1
    assert plain >= 10


def test_boxes_stay_inside_the_crop(sample):
    views = crops(sample)
    for view in views:
        assert_well_formed(view, CROP, CROP)
    assert len({view.image.tobytes() for view in views}) > 50


def test_a_box_that_leaves_the_photograph_stays_inside_the_crop(tmp_path):
    leaving = paint(tmp_path / "face.png", 60, 50, [(4, 4, 20, 16)])
    leaving.boxes[0] = [-500, -3, 20, 16]
    for view in crops(leaving, 20):
        assert_well_formed(view, CROP, CROP)


def test_a_small_scale_jitter_keeps_lesions_near_their_size(tmp_path):
    spot = paint(tmp_path / "face.png", 70, 70, [(10, 10, 40, 20)])
    views = [random_crop(spot, CROP, own_size(spot), np.random.default_rng(seed), 1.1) for seed in range(40)]
    widths = [x2 - x1 for view in views for x1, _, x2, _ in view.boxes]
    assert 26 < min(widths) < 28.5
    assert 31.5 < max(widths) < 34


def test_crops_are_mirrored_both_ways_and_scaled_both_ways(tmp_path):
    # A wide lesion in the upper left of a photograph that fits into every crop.
    width, height, box = 70, 70, (10, 10, 40, 20)
    sides, scales = set(), []
    for view in crops(paint(tmp_path / "face.png", width, height, [box]), 60):
        ((x1, y1, x2, y2),) = view.boxes
        sides.add((bool(x1 + x2 > CROP), bool(y1 + y2 > CROP)))
        scales.append((x2 - x1) / 30)
        assert (x2 - x1) / (y2 - y1) == pytest.approx(3, rel=0.01)
    assert len(sides) == 4
    assert 0.59 < min(scales) < 0.75
    assert 1.4 < max(scales) < 1.71


def test_a_crop_shows_no_padding_where_the_photograph_is_large_enough(bare_skin):
    for view in [random_crop(bare_skin, 64, own_size(bare_skin), np.random.default_rng(seed)) for seed in range(30)]:
        # Without the rim, where resampling may mix in half a pixel from outside.
        np.testing.assert_array_equal(view.image[1:-1, 1:-1], view.image[32, 32, 0])


def test_a_photograph_without_lesions_gives_views_without_boxes(bare_skin):
    for view in (*crops(bare_skin, 10), *wholes(bare_skin, InputSpec("image", 96, 96, "letterbox"), 4)):
        assert view.boxes.shape == (0, 4)
        assert view.classes.shape == (0,)


@pytest.mark.parametrize("width, height", [(160, 160), (320, 256), (416, 416)])
def test_a_whole_photographs_boxes_frame_the_painted_lesions(sample, width, height):
    spec = InputSpec("image", width, height, "letterbox")
    for view in wholes(sample, spec):
        assert_well_formed(view, width, height)
        assert view.classes.tolist() == [0, 1, 2, 3]
        seen = dict(painted(view.image))
        for one, box in enumerate(view.boxes):
            np.testing.assert_allclose(box, frame(seen[one]), atol=EDGE)


def test_a_whole_photograph_is_mirrored_left_to_right_half_the_time(sample):
    spec = InputSpec("image", 160, 160, "letterbox")
    views = wholes(sample, spec, 40)
    kinds = {view.boxes.round(3).tobytes(): view for view in views}
    assert len(kinds) == 2
    plain, mirrored = (view.boxes for view in kinds.values())
    np.testing.assert_allclose(
        mirrored, np.array([160, 0, 160, 0]) + plain[:, [2, 1, 0, 3]] * [-1, 1, -1, 1], atol=1e-3
    )
    share = np.mean([np.allclose(view.boxes, plain) for view in views])
    assert 0.2 < share < 0.8


@pytest.mark.parametrize("seed", range(3))
def test_the_same_seed_gives_the_same_view(sample, seed):
    spec = InputSpec("image", 160, 160, "letterbox")
    for make in (lambda rng: random_crop(sample, CROP, spec, rng), lambda rng: full_image(sample, spec, rng)):
        one, same, other = (make(np.random.default_rng(s)) for s in (seed, seed, seed + 100))
        np.testing.assert_array_equal(one.image, same.image)
        np.testing.assert_array_equal(one.boxes, same.boxes)
        np.testing.assert_array_equal(one.classes, same.classes)
        assert not np.array_equal(one.image, other.image)


def test_the_sample_itself_is_left_alone(sample):
    boxes = sample.boxes.copy()
    crops(sample, 5)
    wholes(sample, InputSpec("image", 160, 160, "letterbox"), 5)
    np.testing.assert_array_equal(sample.boxes, boxes)
