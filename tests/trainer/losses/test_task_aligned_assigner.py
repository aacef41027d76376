import numpy as np
import pytest

pytest.importorskip("tensorflow")

import tensorflow as tf

from acne_trainer.losses.box_ops import anchor_points
from acne_trainer.losses.task_aligned_assigner import ALPHA, BETA, TOP_K, task_aligned_assign

SIDE = 64
SMALLEST = 8.0
"""Stride of the finest grid."""
NO_LESION = [0, 0, 0, 0]


def cells(*strides):
    return anchor_points(tf.constant(SIDE), tf.constant(SIDE), strides)[0].numpy()


def plain_iou(a, b):
    width = max(0, min(a[2], b[2]) - max(a[0], b[0]))
    height = max(0, min(a[3], b[3]) - max(a[1], b[1]))
    both = (a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - width * height
    return width * height / both if both > 0 else 0.0


def plain_assign(scores, boxes, centres, true_boxes, true_classes):
    """One photograph: the owner of each cell (-1 for none), its target scores, and how many lesions wanted it."""
    centres, boxes, true_boxes = centres.astype(float), boxes.astype(float), true_boxes.astype(float)
    wanted = {}
    alignments = {}
    for lesion, (box, one) in enumerate(zip(true_boxes, true_classes, strict=True)):
        if box[2] <= box[0] or box[3] <= box[1]:
            continue
        middle_x, middle_y = (box[0] + box[2]) / 2, (box[1] + box[3]) / 2
        half_width, half_height = max(box[2] - box[0], SMALLEST) / 2, max(box[3] - box[1], SMALLEST) / 2
        ranked = []
        for cell, (x, y) in enumerate(centres):
            if abs(x - middle_x) > half_width or abs(y - middle_y) > half_height:
                continue
            alignment = scores[cell, one] ** ALPHA * plain_iou(box, boxes[cell]) ** BETA
            if alignment > 0:
                ranked.append((-alignment, cell))
        for alignment, cell in sorted(ranked)[:TOP_K]:
            wanted.setdefault(cell, []).append(lesion)
            alignments[lesion, cell] = -alignment

    owner = np.full(len(centres), -1)
    for cell, lesions in wanted.items():
        owner[cell] = max(lesions, key=lambda lesion: plain_iou(true_boxes[lesion], boxes[cell]))
    targets = np.zeros(scores.shape)
    for lesion in set(owner) - {-1}:
        owned = np.flatnonzero(owner == lesion)
        strongest = max(alignments[lesion, cell] for cell in owned)
        best = max(plain_iou(true_boxes[lesion], boxes[cell]) for cell in owned)
        for cell in owned:
            targets[cell, true_classes[lesion]] = alignments[lesion, cell] / strongest * best
    return owner, targets, {cell: len(lesions) for cell, lesions in wanted.items()}


def random_case(seed, strides=(8, 16), photographs=3, lesions=5, classes=3):
    rng = np.random.default_rng(seed)
    centres = cells(*strides)
    count = len(centres)
    sides = rng.uniform(2, 30, (photographs, count, 4))
    boxes = np.concatenate([centres - sides[..., :2], centres + sides[..., 2:]], axis=-1)
    scores = rng.uniform(0.001, 0.999, (photographs, count, classes))
    middle, half = rng.uniform(4, SIDE - 4, (photographs, lesions, 2)), rng.uniform(1, 28, (photographs, lesions, 2))
    true_boxes = np.concatenate([middle - half, middle + half], axis=-1)
    true_boxes[0, -2:] = NO_LESION
    true_classes = rng.integers(classes, size=(photographs, lesions))
    return (
        scores.astype(np.float32),
        boxes.astype(np.float32),
        centres,
        true_boxes.astype(np.float32),
        true_classes.astype(np.int32),
    )


@pytest.mark.parametrize("seed", range(8))
def test_random_photographs_are_assigned_as_a_plain_loop_says(seed):
    scores, boxes, centres, true_boxes, true_classes = random_case(seed)
    got = task_aligned_assign(scores, boxes, centres, true_boxes, true_classes, SMALLEST)
    crowded = 0
    for photograph in range(len(scores)):
        owner, targets, wanted = plain_assign(
            scores[photograph], boxes[photograph], centres, true_boxes[photograph], true_classes[photograph]
        )
        np.testing.assert_allclose(got.scores[photograph], targets, rtol=1e-3, atol=1e-5)
        owned = owner >= 0
        np.testing.assert_array_equal(got.boxes.numpy()[photograph, owned], true_boxes[photograph, owner[owned]])
        crowded += sum(lesions > 1 for lesions in wanted.values())
    assert crowded > 0  # the case is worth its name: some cells were wanted by several lesions


def simple(true_boxes, true_classes, strides=(8,), classes=3, side=24.0):
    """One photograph whose cells all score 0.1 and predict a square box around themselves."""
    centres = cells(*strides)
    boxes = np.concatenate([centres - side / 2, centres + side / 2], axis=1)[None].astype(np.float32)
    scores = np.full((1, len(centres), classes), 0.1, np.float32)
    truth = np.array([true_boxes], np.float32).reshape(1, -1, 4)
    return scores, boxes, centres, truth, np.array([true_classes], np.int32)


def strengths(assignment):
    return assignment.scores.numpy()[0].sum(axis=-1)


@pytest.mark.parametrize("middle", [(8.0, 8.0), (12.0, 12.0), (9.0, 15.0), (0.5, 0.5), (63.0, 33.0), (32.0, 32.0)])
@pytest.mark.parametrize("size", [1.0, 3.0, 7.9])
def test_a_lesion_smaller_than_a_cell_still_gets_a_cell(middle, size):
    x, y = middle
    lesion = [x - size / 2, y - size / 2, x + size / 2, y + size / 2]
    scores, boxes, centres, truth, classes = simple([lesion], [2])
    got = task_aligned_assign(scores, boxes, centres, truth, classes, SMALLEST)
    owned = np.flatnonzero(strengths(got) > 0)
    assert 1 <= len(owned) <= 4
    assert (np.abs(centres[owned] - middle) <= 4).all()
    assert (got.scores.numpy()[0, owned, 2] > 0).all()
    np.testing.assert_array_equal(got.boxes.numpy()[0, owned], np.tile(np.float32(lesion), (len(owned), 1)))


def test_a_lesion_takes_no_more_than_its_share_of_cells():
    got = task_aligned_assign(*simple([[0, 0, SIDE, SIDE]], [0]), SMALLEST)
    assert np.count_nonzero(strengths(got)) == TOP_K


def test_only_cells_whose_centre_lies_on_the_lesion_learn_it():
    scores, boxes, centres, truth, classes = simple([[16, 16, 32, 40]], [1])
    owned = strengths(task_aligned_assign(scores, boxes, centres, truth, classes, SMALLEST)) > 0
    inside = (centres >= [16, 16]).all(axis=1) & (centres <= [32, 40]).all(axis=1)
    np.testing.assert_array_equal(owned, inside)


@pytest.mark.parametrize(
    "padding",
    [NO_LESION, [30, 30, 30, 30], [30, 20, 30, 40], [20, 30, 40, 30], [40, 40, 20, 20], [-1, -1, -1, -1]],
    ids=str,
)
def test_rows_of_padding_get_no_cell(padding):
    lesion = [10, 10, 26, 26]
    alone = task_aligned_assign(*simple([lesion], [1]), SMALLEST)
    padded = task_aligned_assign(*simple([padding, lesion, padding], [0, 1, 0]), SMALLEST)
    np.testing.assert_array_equal(padded.scores, alone.scores)
    owned = strengths(padded) > 0
    assert owned.any()
    np.testing.assert_array_equal(padded.boxes.numpy()[0, owned], np.tile(np.float32(lesion), (owned.sum(), 1)))


@pytest.mark.parametrize("rows", [1, 4])
def test_a_photograph_without_lesions_is_all_background(rows):
    got = task_aligned_assign(*simple([NO_LESION] * rows, [0] * rows, strides=(8, 16, 32)), SMALLEST)
    assert got.scores.shape == (1, 84, 3)
    np.testing.assert_array_equal(got.scores, 0)
    assert np.isfinite(got.boxes).all()


def test_a_photograph_without_lesions_does_not_disturb_its_neighbour():
    scores, boxes, centres, truth, classes = simple([[10, 10, 26, 26]], [1])
    alone = task_aligned_assign(scores, boxes, centres, truth, classes, SMALLEST)
    pair = task_aligned_assign(
        np.repeat(scores, 2, axis=0),
        np.repeat(boxes, 2, axis=0),
        centres,
        np.concatenate([np.zeros_like(truth), truth]),
        np.repeat(classes, 2, axis=0),
        SMALLEST,
    )
    np.testing.assert_array_equal(pair.scores[0], 0)
    np.testing.assert_array_equal(pair.scores[1], alone.scores[0])


@pytest.mark.parametrize("swapped", [False, True])
def test_a_cell_wanted_by_two_lesions_goes_to_the_one_it_overlaps_more(swapped):
    # Both lesions hold the centre of cell 27, (28, 28), whose prediction is the small lesion's very box.
    small, large = [22, 22, 34, 34], [8, 8, 48, 48]
    lesions, kinds = ([large, small], [2, 1]) if swapped else ([small, large], [1, 2])
    scores, boxes, centres, truth, classes = simple(lesions, kinds, side=12.0)
    scores[0, 27, 2] = 0.99  # a better score for the large one does not win it the cell
    got = task_aligned_assign(scores, boxes, centres, truth, classes, SMALLEST)
    assert centres[27].tolist() == [28, 28]
    np.testing.assert_array_equal(got.boxes[0, 27], small)
    np.testing.assert_allclose(got.scores[0, 27], [0, 1, 0], atol=1e-5)
    assert got.scores.numpy()[0, :, 2].max() > 0  # the large lesion keeps cells of its own


def test_each_cell_learns_one_class_at_most():
    for seed in range(5):
        targets = task_aligned_assign(*random_case(seed), SMALLEST).scores.numpy()
        assert (np.count_nonzero(targets, axis=-1) <= 1).all()
        assert targets.min() >= 0
        assert targets.max() <= 1


def test_the_best_cell_of_a_lesion_is_to_score_as_high_as_its_overlap():
    lesion = [20, 20, 44, 44]
    scores, boxes, centres, truth, classes = simple([lesion], [0], side=20.0)
    targets = task_aligned_assign(scores, boxes, centres, truth, classes, SMALLEST).scores.numpy()[0, :, 0]
    owned = np.flatnonzero(targets)
    assert targets.max() == pytest.approx(max(plain_iou(lesion, boxes[0, cell]) for cell in owned), rel=1e-4)


def test_targets_carry_no_gradient():
    scores, boxes, centres, truth, classes = (tf.constant(part) for part in simple([[10, 10, 26, 26]], [1]))
    with tf.GradientTape() as tape:
        tape.watch([scores, boxes])
        got = task_aligned_assign(scores, boxes, centres, truth, classes, SMALLEST)
        total = tf.reduce_sum(got.scores) + tf.reduce_sum(got.boxes)
    assert tape.gradient(total, [scores, boxes]) == [None, None]
