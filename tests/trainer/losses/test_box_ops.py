import math

import numpy as np
import pytest

pytest.importorskip("tensorflow")

import tensorflow as tf

from acne_trainer.losses.box_ops import anchor_points, ciou, iou


def random_boxes(count, seed):
    rng = np.random.default_rng(seed)
    centres, half = rng.uniform(-50, 150, (count, 2)), rng.uniform(0.5, 60, (count, 2))
    return np.concatenate([centres - half, centres + half], axis=1).astype(np.float32)


def plain_iou(a, b):
    width = max(0, min(a[2], b[2]) - max(a[0], b[0]))
    height = max(0, min(a[3], b[3]) - max(a[1], b[1]))
    both = max(0, a[2] - a[0]) * max(0, a[3] - a[1]) + max(0, b[2] - b[0]) * max(0, b[3] - b[1]) - width * height
    return width * height / both if both > 0 else 0.0


def plain_complete_iou(a, b):
    """Zheng et al. 2020, equations 7, 10, 11, for boxes with area."""
    overlap = plain_iou(a, b)
    between = ((a[0] + a[2]) / 2 - (b[0] + b[2]) / 2) ** 2 + ((a[1] + a[3]) / 2 - (b[1] + b[3]) / 2) ** 2
    diagonal = (max(a[2], b[2]) - min(a[0], b[0])) ** 2 + (max(a[3], b[3]) - min(a[1], b[1])) ** 2
    angles = math.atan2(b[2] - b[0], b[3] - b[1]) - math.atan2(a[2] - a[0], a[3] - a[1])
    mismatch = 4 / math.pi**2 * angles**2
    weight = mismatch / (1 - overlap + mismatch) if mismatch > 0 else 0.0
    return overlap - between / diagonal - weight * mismatch


FIXED_PAIRS = np.array(
    [
        [[0, 0, 10, 10], [0, 0, 10, 10]],
        [[0, 0, 10, 10], [5, 0, 15, 10]],
        [[0, 0, 10, 10], [10, 0, 20, 10]],
        [[0, 0, 10, 10], [100, 100, 101, 130]],
        [[0, 0, 10, 10], [4, 4, 6, 6]],
        [[0, 0, 100, 1], [0, 0, 1, 100]],
    ],
    np.float32,
)
A = np.concatenate([random_boxes(300, 1), FIXED_PAIRS[:, 0]])
B = np.concatenate([random_boxes(300, 2), FIXED_PAIRS[:, 1]])

DEGENERATE = np.array(
    [
        [[5, 5, 5, 5], [5, 5, 5, 5]],
        [[5, 5, 5, 5], [0, 0, 10, 10]],
        [[5, 5, 5, 5], [50, 50, 50, 50]],
        [[0, 5, 10, 5], [0, 0, 10, 10]],
        [[5, 0, 5, 10], [5, 0, 5, 10]],
        [[8, 8, 2, 2], [0, 0, 10, 10]],
        [[8, 2, 2, 8], [0, 0, 10, 10]],
        [[0, 0, 0, 0], [0, 0, 0, 0]],
    ],
    np.float32,
)
"""Pairs of which one box at least has no area, or its corners the wrong way round."""


def test_overlap_is_that_of_a_plain_reference():
    expected = [plain_iou(a, b) for a, b in zip(A.astype(float), B.astype(float), strict=True)]
    assert 0.2 < np.mean(np.array(expected) > 0) < 0.9
    np.testing.assert_allclose(iou(A, B), expected, rtol=1e-4, atol=1e-6)


def test_complete_overlap_is_that_of_a_plain_reference():
    expected = [plain_complete_iou(a, b) for a, b in zip(A.astype(float), B.astype(float), strict=True)]
    np.testing.assert_allclose(ciou(A, B), expected, rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize("measure", [iou, ciou])
def test_both_measures_are_symmetric_and_one_for_the_same_box(measure):
    np.testing.assert_allclose(measure(A, B), measure(B, A), atol=1e-5)
    np.testing.assert_allclose(measure(A, A), 1, atol=1e-5)


def test_complete_overlap_never_exceeds_overlap_and_stays_in_its_range():
    plain, complete = iou(A, B).numpy(), ciou(A, B).numpy()
    assert (complete <= plain + 1e-6).all()
    assert complete.min() >= -1.5


def test_boxes_without_area_overlap_nothing():
    np.testing.assert_array_equal(iou(DEGENERATE[:, 0], DEGENERATE[:, 1]), 0)
    np.testing.assert_array_equal(iou(DEGENERATE[:, 1], DEGENERATE[:, 0]), 0)


def test_complete_overlap_and_its_gradient_stay_finite_without_area():
    a, b = tf.constant(DEGENERATE[:, 0]), tf.constant(DEGENERATE[:, 1])
    with tf.GradientTape() as tape:
        tape.watch([a, b])
        value = ciou(a, b)
    assert np.isfinite(value).all()
    assert (value.numpy() <= 0).all()
    for gradient in tape.gradient(value, [a, b]):
        assert np.isfinite(gradient).all()


def test_complete_overlap_pulls_a_box_that_misses_towards_the_lesion():
    box = tf.constant([[50.0, 0.0, 60.0, 10.0]])
    with tf.GradientTape() as tape:
        tape.watch(box)
        value = ciou(box, tf.constant([[0.0, 0.0, 10.0, 10.0]]))
    towards = tape.gradient(value, box).numpy()[0]
    assert towards[0] < 0
    assert towards[0] + towards[2] < 0


def test_leading_dimensions_broadcast():
    table = iou(A[:20, None], B[None, :30]).numpy()
    assert table.shape == (20, 30)
    np.testing.assert_allclose(table[7, 11], iou(A[7], B[11]), atol=1e-6)
    assert ciou(A[:20, None], B[None, :30]).shape == (20, 30)


def test_cells_come_stride_by_stride_and_row_by_row():
    centres, strides = anchor_points(tf.constant(32), tf.constant(48), (8, 16))
    fine = [(8 * x + 4, 8 * y + 4) for y in range(4) for x in range(6)]
    coarse = [(16 * x + 8, 16 * y + 8) for y in range(2) for x in range(3)]
    np.testing.assert_array_equal(centres, fine + coarse)
    np.testing.assert_array_equal(strides, [8] * 24 + [16] * 6)
    assert centres.dtype == strides.dtype == tf.float32


@pytest.mark.parametrize(("height", "width"), [(32, 32), (64, 32), (32, 96), (416, 640)])
@pytest.mark.parametrize("strides", [(8,), (8, 16, 32)])
def test_cells_tile_the_photograph(height, width, strides):
    centres, cell_strides = (part.numpy() for part in anchor_points(tf.constant(height), tf.constant(width), strides))
    assert len(centres) == sum((height // s) * (width // s) for s in strides)
    for stride in strides:
        cells = centres[cell_strides == stride]
        assert len({tuple(cell) for cell in cells}) == (height // stride) * (width // stride)
        np.testing.assert_allclose(cells.mean(axis=0), [width / 2, height / 2])
        np.testing.assert_array_equal(cells.min(axis=0), [stride / 2, stride / 2])


def test_cells_follow_the_layout_of_a_head():
    height, width, stride = 24, 40, 8
    y, x = np.mgrid[0 : height // stride, 0 : width // stride]
    head = np.stack([x, y], axis=-1)[None]
    centres, _ = anchor_points(tf.constant(height), tf.constant(width), (stride,))
    np.testing.assert_array_equal((head.reshape(-1, 2) + 0.5) * stride, centres)
