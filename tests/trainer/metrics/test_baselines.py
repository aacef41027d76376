import cv2
import numpy as np
import pytest

pytest.importorskip("faster_coco_eval")

from support.images import picture

from acne_runtime.errors import SourceError
from acne_runtime.result import Result, Timing
from acne_trainer.data.dataset import Sample
from acne_trainer.metrics.baselines import ConstantDetector

CLASSES = ("comedones", "papules")


@pytest.fixture(scope="module")
def train(tmp_path_factory):
    """Photographs of 200 x 100 pixels with 1, 0, 4 and 400 lesions; the last one is half that size."""
    folder = tmp_path_factory.mktemp("train")
    samples = []
    for number, (count, width) in enumerate([(1, 200), (0, 200), (4, 200), (400, 100)]):
        file = folder / f"{number}.png"
        cv2.imwrite(str(file), picture(width // 2, width, number))
        boxes = np.tile(np.float32([0.1, 0.1, 0.3, 0.3]) * width, (count, 1))
        samples.append(Sample(file, boxes, np.arange(count, dtype=np.int32) % 2))
    return samples


def answer(width, height):
    return Result("a.jpg", 0, 0.0, width, height, "tiny", CLASSES, (), None, Timing(0, 0, 0))


def test_its_boxes_are_drawn_from_the_training_photographs_and_fit_every_size(train):
    blind = ConstantDetector.of(train, 2)
    assert blind.boxes.shape == (300, 4)
    np.testing.assert_allclose(blind.boxes, np.tile([0.1, 0.2, 0.3, 0.6], (300, 1)), atol=1e-6)
    assert 100 < blind.classes.sum() < 200
    small, large = blind.predict([answer(10, 10), answer(1000, 500)], CLASSES)
    assert small.lesions[0].box == pytest.approx((1, 2, 3, 6))
    assert large.lesions[0].box == pytest.approx((100, 100, 300, 300))
    assert [lesion.name for lesion in small.lesions] == [CLASSES[index] for index in blind.classes]
    scores = [lesion.score for lesion in large.lesions]
    assert scores == sorted(set(scores), reverse=True)
    assert 0 < scores[-1] < scores[0] == 1


def test_the_same_photographs_give_the_same_boxes(train):
    one, other = (ConstantDetector.of(train, 2) for _ in range(2))
    np.testing.assert_array_equal(one.boxes, other.boxes)
    np.testing.assert_array_equal(one.classes, other.classes)


def test_it_counts_the_median_and_says_as_many_boxes(train):
    blind = ConstantDetector.of(train, 2)
    assert (blind.median_count, blind.median_counts.tolist()) == (2.5, [1.5, 1.0])
    (predicted,) = blind.predict([answer(10, 10)], CLASSES)
    assert sum(lesion.score >= blind.threshold for lesion in predicted.lesions) == 2
    few = ConstantDetector.of(train[:1], 2)
    assert (len(few.boxes), few.median_count) == (1, 1)


def test_photographs_without_a_lesion_give_no_box(train):
    blind = ConstantDetector.of(train[1:2], 2)
    assert (len(blind.boxes), blind.median_count) == (0, 0)
    assert blind.predict([answer(10, 10)], CLASSES)[0].lesions == ()


def test_a_photograph_that_cannot_be_decoded_is_named(train, tmp_path):
    (tmp_path / "broken.png").write_bytes(b"no photograph")
    broken = Sample(tmp_path / "broken.png", train[0].boxes, train[0].classes)
    with pytest.raises(SourceError, match=r"broken\.png"):
        ConstantDetector.of([broken], 2)
