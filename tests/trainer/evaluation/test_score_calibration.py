import numpy as np
import pytest

pytest.importorskip("tensorflow")
pytest.importorskip("faster_coco_eval")

import keras

from acne_trainer.evaluation.score_calibration import calibrate, fold_into_heads, lesion_scores
from acne_trainer.metrics.scored_image import ScoredImage

CLASSES = 3


def sigmoid(z):
    return 1 / (1 + np.exp(-z))


def simulated(seed, slope=2.0, shift=-6.0, photographs=40):
    """Lesions whose scores are too low and too flat: z is true where a well-calibrated detector would say slope z."""
    rng = np.random.default_rng(seed)
    together, types = [], []
    for _ in range(photographs):
        true = rng.random(30) < 0.3
        evidence = np.where(true, 1.0, -1.0) + rng.normal(0, 1, 30)
        logits = np.full((30, CLASSES), -12.0)
        logits[np.arange(30), rng.integers(CLASSES, size=30)] = evidence * slope + shift
        boxes = np.array([[20 * i, 0, 20 * i + 10, 10] for i in range(30)], float)
        order = np.argsort(-lesion_scores(logits))
        scores = lesion_scores(logits)[order]
        together.append(ScoredImage(boxes[true], np.zeros(true.sum(), int), boxes[order], np.zeros(30, int), scores))
        types.append(sigmoid(logits[order]))
    return together, types


def f1_at(photographs, scores, threshold):
    """F1 of the simulated lesions: a box is right exactly where one is marked at its place."""
    tp = predicted = marked = 0
    for one, own in zip(photographs, scores, strict=True):
        true = (one.pred_boxes[:, None] == one.gt_boxes[None]).all(-1).any(1)
        tp += (true & (own >= threshold)).sum()
        predicted += (own >= threshold).sum()
        marked += len(one.gt_boxes)
    return 2 * tp / (predicted + marked)


def calibrated_scores(types, calibration):
    logit = [np.log(p / (1 - p)) for p in types]
    return [lesion_scores(z / calibration.temperature + calibration.bias) for z in logit]


@pytest.mark.parametrize("shift", [-6.0, 0.0, 2.0])
def test_f1_is_highest_at_one_half(shift):
    photographs, types = simulated(0, shift=shift)
    calibration = calibrate(photographs, types)
    scores = calibrated_scores(types, calibration)
    best = max(f1_at(photographs, scores, t) for t in np.unique(np.concatenate(scores)))
    assert f1_at(photographs, scores, 0.5) == pytest.approx(best, abs=0.003)
    assert calibration.f1 == pytest.approx(best, abs=0.003)


def test_scores_that_are_too_sure_are_flattened_and_flat_ones_sharpened():
    sure, flat = (calibrate(*simulated(1, slope=slope)).temperature for slope in (6.0, 0.7))
    assert sure > 1.5
    assert flat < 0.8


def test_without_a_single_hit_there_is_nothing_to_go_by():
    photographs, types = simulated(2)
    missed = [
        ScoredImage(image.gt_boxes + 1000, image.gt_classes, image.pred_boxes, image.pred_classes, image.scores)
        for image in photographs
    ]
    assert calibrate(missed, types) is None


def test_folded_into_the_heads_the_model_gives_calibrated_scores():
    image = keras.Input(batch_shape=(1, 8, 8, 3), name="image")
    outputs = {}
    for stride in (8, 16):
        logits = keras.layers.Conv2D(CLASSES, 8, name=f"head_{stride}", bias_initializer="random_normal")(image)
        outputs[f"score_{stride}"] = keras.layers.Activation("sigmoid", name=f"score_{stride}")(logits)
        outputs[f"box_{stride}"] = keras.layers.Conv2D(4, 8, name=f"box_{stride}")(image)
    model = keras.Model(image, outputs)
    given = np.random.default_rng(0).random((1, 8, 8, 3), np.float32)
    before = {name: np.asarray(value) for name, value in model(given).items()}
    calibration = calibrate(*simulated(3))
    fold_into_heads(model, calibration)
    for name, after in model(given).items():
        p = before[name]
        expected = p
        if name.startswith("score_"):
            expected = sigmoid(np.log(p / (1 - p)) / calibration.temperature + calibration.bias)
        np.testing.assert_allclose(np.asarray(after), expected, atol=1e-5)
