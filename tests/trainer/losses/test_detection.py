import numpy as np
import pytest

pytest.importorskip("tensorflow")

import tensorflow as tf

from acne_trainer.losses.box_ops import ciou
from acne_trainer.losses.detection import detection_loss, distribution_focal_loss
from acne_trainer.losses.task_aligned_assigner import task_aligned_assign

STRIDES = (8, 16, 32)
BINS = 16
CLASSES = 3
HEIGHT, WIDTH = 64, 96
PARTS = ("loss", "box_loss", "class_loss", "dfl_loss")

LESIONS = np.array([[[12, 12, 36, 36], [52, 20, 76, 60], [0, 0, 0, 0]]], np.float32)
KINDS = np.array([[0, 2, 0]], np.int32)
NO_LESIONS = np.zeros((1, 2, 4), np.float32)
NO_KINDS = np.zeros((1, 2), np.int32)


def grid(stride):
    return HEIGHT // stride, WIDTH // stride


def random_heads(seed=0, photographs=1, spread=1.0):
    rng = np.random.default_rng(seed)
    heads = {}
    for stride in STRIDES:
        shape = (photographs, *grid(stride))
        heads[f"box_{stride}"] = tf.constant(rng.normal(0, spread, (*shape, 4 * BINS)), tf.float32)
        heads[f"score_{stride}"] = tf.constant(rng.normal(0, spread, (*shape, CLASSES)), tf.float32)
    return heads


def perfect_heads(lesions, kinds):
    """What a detector would say that knows the truth: up to nine cells of the finest grid a lesion."""
    heads = {name: head.numpy() * 0 for name, head in random_heads().items()}
    for stride in STRIDES:
        heads[f"score_{stride}"] -= 12
    box, score = heads["box_8"], heads["score_8"]
    for lesion, one in zip(lesions, kinds, strict=True):
        if lesion[2] <= lesion[0]:
            continue
        middle = (lesion[:2] + lesion[2:]) / 2
        rows, columns = grid(8)
        for row in range(rows):
            for column in range(columns):
                centre = np.array([column + 0.5, row + 0.5]) * 8
                if (np.abs(centre - middle) <= 8).all():
                    # Lesions lie so that every distance is a whole number of cells: one bin says it all.
                    sides = np.concatenate([centre - lesion[:2], lesion[2:] - centre]) / 8
                    logits = np.full((4, BINS), -15.0)
                    logits[range(4), sides.astype(int)] = 15
                    assert (sides == sides.astype(int)).all()
                    box[0, row, column] = logits.ravel()
                    score[0, row, column, one] = 12
    return {name: tf.constant(head) for name, head in heads.items()}


def plain_dfl(logits, distance):
    bins = len(logits)
    logits = logits.astype(float)
    log_shares = logits - logits.max() - np.log(np.exp(logits - logits.max()).sum())
    below = int(distance)
    share_above = distance - below
    return -(1 - share_above) * log_shares[below] - (share_above * log_shares[below + 1] if below + 1 < bins else 0)


@pytest.mark.parametrize("bins", [2, 8, 16])
def test_the_distribution_loss_is_that_of_a_plain_loop(bins):
    rng = np.random.default_rng(bins)
    logits = rng.normal(0, 4, (50, 4, bins)).astype(np.float32)
    distances = rng.uniform(0, bins - 1.02, (50, 4)).astype(np.float32)
    distances[0] = [0, 0.5, bins - 2, bins - 1.5]
    got = distribution_focal_loss(tf.constant(logits), tf.constant(distances))
    expected = [
        [plain_dfl(logits[i, side], float(distances[i, side])) for side in range(4)] for i in range(len(logits))
    ]
    assert got.shape == (50, 4)
    np.testing.assert_allclose(got, expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(("distance", "wanted"), [(-3.0, 0), (-0.1, 0), (15.0, 15), (15.2, 15), (400.0, 15)])
def test_a_distance_out_of_reach_wants_the_nearest_bin(distance, wanted):
    losses = [
        float(distribution_focal_loss(tf.one_hot([k], BINS) * 8, tf.constant([distance]))[0]) for k in range(BINS)
    ]
    assert np.argmin(losses) == wanted
    assert losses[wanted] < 0.1
    assert np.isfinite(losses).all()


@pytest.mark.parametrize("distance", [0.0, 1.25, 7.5, 14.0])
def test_the_distribution_loss_is_least_for_the_two_bins_around_the_distance(distance):
    logits = tf.Variable(np.random.default_rng(0).normal(0, 1, (1, BINS)).astype(np.float32))
    for _ in range(300):
        with tf.GradientTape() as tape:
            loss = distribution_focal_loss(logits, tf.constant([distance]))
        logits.assign_sub(3 * tape.gradient(loss, logits))
    expected = tf.reduce_sum(tf.nn.softmax(logits) * np.arange(BINS))
    assert float(expected) == pytest.approx(distance, abs=0.15)


def plain_parts(heads, true_boxes, true_classes):
    """The loss of one photograph, cell by cell; what each cell is to learn comes from `assign`, which has its tests."""
    centres, strides, boxes, shares, logits = [], [], [], [], []
    for stride in STRIDES:
        rows, columns = grid(stride)
        for row in range(rows):
            for column in range(columns):
                centre = np.array([column + 0.5, row + 0.5]) * stride
                sides = heads[f"box_{stride}"].numpy()[0, row, column].astype(float).reshape(4, BINS)
                weights = np.exp(sides - sides.max(axis=1, keepdims=True))
                reach = (weights * np.arange(BINS)).sum(axis=1) / weights.sum(axis=1) * stride
                boxes.append(np.concatenate([centre - reach[:2], centre + reach[2:]]))
                centres.append(centre)
                strides.append(stride)
                shares.append(sides)
                logits.append(heads[f"score_{stride}"].numpy()[0, row, column].astype(float))
    predicted, logits = np.float32(boxes)[None], np.array(logits)
    scores = np.float32(1 / (1 + np.exp(-logits)))[None]
    target = task_aligned_assign(scores, predicted, np.float32(centres), true_boxes, true_classes, float(STRIDES[0]))
    wanted = target.scores.numpy()[0].astype(float)
    total = max(1.0, wanted.sum())
    box_loss = dfl_loss = 0.0
    for cell in np.flatnonzero(wanted.sum(axis=1)):
        true_box, strength = target.boxes.numpy()[0, cell], wanted[cell].sum()
        box_loss += strength * (1 - float(ciou(predicted[0, cell], true_box)))
        reach = np.concatenate([centres[cell] - true_box[:2], true_box[2:] - centres[cell]]) / strides[cell]
        reach = np.clip(reach, 0, BINS - 1.01)
        dfl_loss += strength * np.mean([plain_dfl(shares[cell][side], reach[side]) for side in range(4)])
    class_loss = (np.log1p(np.exp(logits)) - wanted * logits).sum()
    return {"box_loss": box_loss / total, "class_loss": class_loss / total, "dfl_loss": dfl_loss / total}


@pytest.mark.parametrize("seed", range(3))
def test_the_loss_is_that_of_a_plain_loop_over_the_cells(seed):
    heads = random_heads(seed)
    if seed == 2:  # a good detector, so that the strengths add up to more than one
        perfect = perfect_heads(LESIONS[0], KINDS[0])
        heads = {name: 0.2 * perfect[name] + 0.1 * head for name, head in heads.items()}
    got = detection_loss(heads, LESIONS, KINDS, STRIDES, BINS)
    expected = plain_parts(heads, LESIONS, KINDS)
    assert expected["box_loss"] > 0
    for part, value in expected.items():
        assert float(got[part]) == pytest.approx(value, rel=1e-3)
    weighted = 7.5 * expected["box_loss"] + 0.5 * expected["class_loss"] + 1.5 * expected["dfl_loss"]
    assert float(got["loss"]) == pytest.approx(weighted, rel=1e-3)


def test_a_photograph_without_lesions_costs_its_scores_only():
    heads = random_heads()
    got = detection_loss(heads, NO_LESIONS, NO_KINDS, STRIDES, BINS)
    logits = np.concatenate([heads[f"score_{s}"].numpy().ravel() for s in STRIDES]).astype(float)
    assert float(got["class_loss"]) == pytest.approx(np.log1p(np.exp(logits)).sum(), rel=1e-4)
    assert float(got["box_loss"]) == float(got["dfl_loss"]) == 0
    assert np.isfinite(float(got["loss"]))


def test_a_photograph_without_lesions_teaches_lower_scores_and_no_boxes():
    heads = random_heads()
    with tf.GradientTape() as tape:
        tape.watch(heads)
        loss = detection_loss(heads, NO_LESIONS, NO_KINDS, STRIDES, BINS)["loss"]
    gradient = tape.gradient(loss, heads, unconnected_gradients=tf.UnconnectedGradients.ZERO)
    for stride in STRIDES:
        assert (gradient[f"score_{stride}"].numpy() > 0).all()
        np.testing.assert_array_equal(gradient[f"box_{stride}"], 0)


@pytest.mark.parametrize("spread", [0.0, 1.0, 30.0])
def test_every_part_of_the_loss_is_a_finite_scalar(spread):
    got = detection_loss(random_heads(spread=spread), LESIONS, KINDS, STRIDES, BINS)
    assert set(got) == set(PARTS)
    for part in PARTS:
        assert got[part].shape == ()
        assert got[part].dtype == tf.float32
        assert np.isfinite(float(got[part]))


def test_perfect_heads_cost_far_less_than_random_ones():
    perfect = detection_loss(perfect_heads(LESIONS[0], KINDS[0]), LESIONS, KINDS, STRIDES, BINS)
    guesses = [detection_loss(random_heads(seed), LESIONS, KINDS, STRIDES, BINS) for seed in range(3)]
    for part in PARTS:
        assert float(perfect[part]) < 0.05 * min(float(guess[part]) for guess in guesses)
    assert float(perfect["box_loss"]) == pytest.approx(0, abs=0.01)


def test_perfect_boxes_of_the_wrong_type_still_cost_scores():
    right = detection_loss(perfect_heads(LESIONS[0], KINDS[0]), LESIONS, KINDS, STRIDES, BINS)
    wrong = detection_loss(perfect_heads(LESIONS[0], [1, 1, 0]), LESIONS, KINDS, STRIDES, BINS)
    assert float(wrong["class_loss"]) > 10 * float(right["class_loss"])


def test_both_heads_of_every_stride_learn():
    heads = random_heads()
    # One lesion holds the centre of cells of every stride, and every stride has a cell among its best.
    for stride in STRIDES:
        logits = np.full((4, BINS), -15.0, np.float32)
        logits[:, 32 // stride] = 15
        row, column = 32 // stride, 48 // stride
        head = heads[f"box_{stride}"].numpy()
        head[0, row, column] = logits.ravel()
        heads[f"box_{stride}"] = tf.constant(head)
    lesion = np.array([[[14, 1, 82, 63]]], np.float32)
    with tf.GradientTape() as tape:
        tape.watch(heads)
        loss = detection_loss(heads, lesion, np.array([[1]], np.int32), STRIDES, BINS)["loss"]
    gradient = tape.gradient(loss, heads)
    for name in heads:
        assert np.isfinite(gradient[name]).all(), name
        assert np.abs(gradient[name]).max() > 0, name


def test_only_cells_on_a_lesion_learn_boxes():
    heads = random_heads()
    with tf.GradientTape() as tape:
        tape.watch(heads)
        loss = detection_loss(heads, LESIONS, KINDS, STRIDES, BINS)["loss"]
    gradient = tape.gradient(loss, heads, unconnected_gradients=tf.UnconnectedGradients.ZERO)
    learning = 0
    for stride in STRIDES:
        for _, row, column in np.argwhere(np.abs(gradient[f"box_{stride}"]).sum(axis=-1) > 0):
            x, y = (column + 0.5) * stride, (row + 0.5) * stride
            assert any(x1 <= x <= x2 and y1 <= y <= y2 for x1, y1, x2, y2 in LESIONS[0])
            learning += 1
    assert learning >= 2


def test_rows_of_padding_cost_nothing():
    heads = random_heads()
    few = detection_loss(heads, LESIONS, KINDS, STRIDES, BINS)
    more = detection_loss(
        heads, np.pad(LESIONS, ((0, 0), (3, 2), (0, 0))), np.pad(KINDS, ((0, 0), (3, 2))), STRIDES, BINS
    )
    for part in PARTS:
        assert float(more[part]) == pytest.approx(float(few[part]), rel=1e-5)


def test_following_the_gradient_finds_the_lesions():
    heads = {name: tf.Variable(head * 0.01) for name, head in random_heads().items()}
    first = float(detection_loss(heads, LESIONS, KINDS, STRIDES, BINS)["loss"])
    for _ in range(40):
        with tf.GradientTape() as tape:
            loss = detection_loss(heads, LESIONS, KINDS, STRIDES, BINS)["loss"]
        for name, gradient in tape.gradient(loss, heads).items():
            heads[name].assign_sub(0.5 * gradient)
    assert float(loss) < 0.3 * first


def test_a_graph_of_unknown_sizes_gives_the_same_loss():
    heads = random_heads(photographs=2)
    truth = np.repeat(LESIONS, 2, axis=0), np.repeat(KINDS, 2, axis=0)
    signature = (
        {name: tf.TensorSpec([None, None, None, head.shape[-1]]) for name, head in heads.items()},
        tf.TensorSpec([None, None, 4]),
        tf.TensorSpec([None, None], tf.int32),
    )
    traced = tf.function(
        lambda heads, boxes, classes: detection_loss(heads, boxes, classes, STRIDES, BINS), input_signature=signature
    )
    eager = detection_loss(heads, *truth, STRIDES, BINS)
    for part, value in traced(heads, *(tf.constant(part) for part in truth)).items():
        assert float(value) == pytest.approx(float(eager[part]), rel=1e-4)


@pytest.mark.parametrize("smoothing", [0.0, 0.2])
def test_unknown_absences_teach_nothing_even_with_smoothed_labels(smoothing):
    heads = random_heads(1)
    background = np.array([[1, 0, 1]], np.float32)
    logits = [tf.Variable(heads[f"score_{s}"]) for s in STRIDES]
    with tf.GradientTape() as tape:
        known = {**heads, **{f"score_{s}": one for s, one in zip(STRIDES, logits, strict=True)}}
        got = detection_loss(known, LESIONS, KINDS, STRIDES, BINS, background, label_smoothing=smoothing)
    for gradient in tape.gradient(got["loss"], logits):
        assert not gradient.numpy()[..., 1].any()


def test_unknown_absences_cost_nothing_and_teach_nothing():
    heads = random_heads(1)
    background = np.array([[1, 0, 1]], np.float32)  # class 1 is on no lesion of this photograph
    logits = [tf.Variable(heads[f"score_{s}"]) for s in STRIDES]
    with tf.GradientTape() as tape:
        known = {**heads, **{f"score_{s}": one for s, one in zip(STRIDES, logits, strict=True)}}
        got = detection_loss(known, LESIONS, KINDS, STRIDES, BINS, background)
    for gradient in tape.gradient(got["loss"], logits):
        assert not gradient.numpy()[..., 1].any()
        assert gradient.numpy()[..., 0].any()
    plain = detection_loss(heads, LESIONS, KINDS, STRIDES, BINS)
    silenced = sum(np.log1p(np.exp(heads[f"score_{s}"].numpy()[..., 1].astype(float))).sum() for s in STRIDES)
    strength = max(1.0, assignment_total(heads))
    assert float(plain["class_loss"] - got["class_loss"]) == pytest.approx(silenced / strength, rel=1e-3)
    assert float(got["box_loss"]) == pytest.approx(float(plain["box_loss"]))


def assignment_total(heads):
    """What the losses of `LESIONS` are divided by."""
    return assigned_to(heads, LESIONS, KINDS).scores.numpy().sum()


def test_a_lesion_of_an_unknown_class_is_learnt_nevertheless():
    heads = random_heads(1)
    nothing = np.zeros((1, CLASSES), np.float32)
    logits = tf.Variable(heads["score_8"])
    with tf.GradientTape() as tape:
        got = detection_loss({**heads, "score_8": logits}, LESIONS, KINDS, STRIDES, BINS, nothing)
    gradient = tape.gradient(got["class_loss"], logits).numpy()
    assert gradient[..., 0].any()  # the first lesion is small enough for the finest grid
    assert not gradient[..., 1].any()


@pytest.mark.parametrize("power", [1.0, 2.0])
def test_the_focal_term_weighs_each_score_by_its_distance_from_the_target(power):
    heads = random_heads(3)
    got = detection_loss(heads, NO_LESIONS, NO_KINDS, STRIDES, BINS, focal=power)
    logits = np.concatenate([heads[f"score_{s}"].numpy().ravel() for s in STRIDES]).astype(float)
    expected = (np.log1p(np.exp(logits)) / (1 + np.exp(-logits)) ** power).sum()
    assert float(got["class_loss"]) == pytest.approx(expected, rel=1e-4)


def test_label_smoothing_keeps_a_lesions_strength_and_spreads_it():
    heads = random_heads(4)
    plain, smooth = (detection_loss(heads, LESIONS, KINDS, STRIDES, BINS, label_smoothing=s) for s in (0.0, 0.3))
    assert float(plain["box_loss"]) == pytest.approx(float(smooth["box_loss"]))
    perfect = perfect_heads(LESIONS[0], KINDS[0])
    sure, unsure = (
        float(detection_loss(perfect, LESIONS, KINDS, STRIDES, BINS, label_smoothing=s)["class_loss"])
        for s in (0.0, 0.3)
    )
    # Logits are +12 and -12: of each lesion's strength 0.3 moves, a third stays where it was, the rest costs 24 a unit.
    assert unsure - sure == pytest.approx(0.3 * 2 / 3 * 24, rel=0.02)


def test_a_lesion_of_unknown_type_is_learnt_as_the_noisy_or_of_the_types():
    heads = random_heads(1)
    logits = tf.concat([tf.reshape(heads[f"score_{s}"], [1, -1, CLASSES]) for s in STRIDES], axis=1)
    targets = assigned_to(heads, LESIONS, np.full_like(KINDS, CLASSES))
    owned = targets.scores.numpy()[0, :, CLASSES]
    assert (owned > 0).any()
    assert not targets.scores.numpy()[0, :, :CLASSES].any()
    p = 1 / (1 + np.exp(-logits.numpy()[0].astype(np.float64)))
    any_type = 1 - np.prod(1 - p, axis=1)
    # For a cell without a lesion this is the usual background loss of all types.
    expected = -(owned * np.log(any_type) + (1 - owned) * np.log(1 - any_type)).sum() / max(1.0, owned.sum())
    got = detection_loss(heads, LESIONS, np.full_like(KINDS, CLASSES), STRIDES, BINS)
    assert float(got["class_loss"]) == pytest.approx(expected, rel=1e-4)
    assert float(got["box_loss"]) > 0


def assigned_to(heads, lesions, kinds):
    """Returns what the assigner gives the cells for these lesions."""
    captured = []

    def keep(*given):
        captured.append(task_aligned_assign(*given))
        return captured[-1]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("acne_trainer.losses.detection.task_aligned_assign", keep)
        detection_loss(heads, lesions, kinds, STRIDES, BINS)
    return captured[0]


def test_an_untyped_lesion_raises_the_likeliest_type_most_and_no_type_falls():
    heads = {name: tf.identity(value) for name, value in perfect_heads(LESIONS[0], KINDS[0]).items()}
    logits = [tf.Variable(heads[f"score_{s}"] * 0.1 - 1.0) for s in STRIDES]
    with tf.GradientTape() as tape:
        given = {**heads, **{f"score_{s}": one for s, one in zip(STRIDES, logits, strict=True)}}
        loss = detection_loss(given, LESIONS[:, :1], np.full_like(KINDS[:, :1], CLASSES), STRIDES, BINS)["class_loss"]
    owned = assigned_to(
        {**heads, **dict(zip((f"score_{s}" for s in STRIDES), logits, strict=True))},
        LESIONS[:, :1],
        np.full_like(KINDS[:, :1], CLASSES),
    ).scores.numpy()[0, :, CLASSES]
    gradient = np.concatenate([g.numpy().reshape(-1, CLASSES) for g in tape.gradient(loss, logits)])
    strongest = int(owned.argmax())
    assert (gradient[strongest] < 0).all()


def test_the_box_weight_of_a_photograph_scales_its_box_losses_alone():
    heads = random_heads(1)
    plain = detection_loss(heads, LESIONS, KINDS, STRIDES, BINS)
    half = detection_loss(heads, LESIONS, KINDS, STRIDES, BINS, box_weight=np.array([[0.5, 7]], np.float32))
    for name, factor in {"box_loss": 0.5, "dfl_loss": 0.5, "class_loss": 1.0}.items():
        assert float(half[name]) == pytest.approx(factor * float(plain[name]), rel=1e-5)


def test_boxes_of_lesions_of_unknown_type_have_a_weight_of_their_own():
    heads, unknown = random_heads(1), np.full_like(KINDS, CLASSES)
    plain = detection_loss(heads, LESIONS, unknown, STRIDES, BINS)
    without = detection_loss(heads, LESIONS, unknown, STRIDES, BINS, box_weight=np.array([[1, 0]], np.float32))
    assert float(plain["box_loss"]) > 0
    assert float(without["box_loss"]) == float(without["dfl_loss"]) == 0
    assert float(without["class_loss"]) == float(plain["class_loss"])


def test_a_lesion_of_unknown_type_teaches_only_the_types_that_it_may_be_of():
    heads = random_heads(1)
    kinds, possible = np.full_like(KINDS, CLASSES), np.array([[1, 0, 1]], np.float32)
    logits = [tf.Variable(tf.fill(heads[f"score_{s}"].shape, -4.0)) for s in STRIDES]  # hardly any lesion yet
    with tf.GradientTape() as tape:
        given = {**heads, **{f"score_{s}": one for s, one in zip(STRIDES, logits, strict=True)}}
        loss = detection_loss(given, LESIONS, kinds, STRIDES, BINS, possible=possible)["class_loss"]
    gradient = np.concatenate([g.numpy().reshape(-1, CLASSES) for g in tape.gradient(loss, logits)])
    assert (gradient[:, 1] > 0).all()  # everywhere it is taught to be absent
    assert (gradient[:, [0, 2]] < 0).any()
    every = np.ones((1, CLASSES), np.float32)
    plain, same = (detection_loss(heads, LESIONS, kinds, STRIDES, BINS, possible=p) for p in (None, every))
    assert float(plain["class_loss"]) == pytest.approx(float(same["class_loss"]))
