import dataclasses

import cv2
import numpy as np
import pytest

pytest.importorskip("keras_cv")

import keras
from support.images import picture

from acne_runtime.backends.keras import KerasBackend
from acne_runtime.errors import SourceError
from acne_runtime.model import Model
from acne_trainer.config import DEFAULTS
from acne_trainer.data.dataset import Dataset, Sample
from acne_trainer.data.mixture import LabelledSet
from acne_trainer.metrics.detection_report import SCORE_THRESHOLD, average_precision
from acne_trainer.models.cnn import build_cnn
from acne_trainer.tasks.detection import DetectionTask
from acne_trainer.tasks.detection_batches import DetectionBatches
from acne_trainer.tasks.in_memory import InMemorySplit, load_arrays
from acne_trainer.tasks.multilabel import MultilabelTask

CLASSES = ("comedones", "nodules", "papules", "pustules")
MULTILABEL = dataclasses.replace(DEFAULTS["cnn"], input_size=96, batch_size=4, seed=3)
DETECTION = dataclasses.replace(
    DEFAULTS["yolov8-xs"], input_size=64, crop_size=32, crops_per_photo=2, batch_size=4, whole_every=3, seed=3
)


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """Ten photographs; photograph n shows class n modulo 4, and every third one class 0 as well."""
    folder = tmp_path_factory.mktemp("data")
    samples = []
    for n in range(10):
        file = folder / f"{n}.png"
        cv2.imwrite(str(file), picture(80, 100, n))
        boxes, classes = [[10, 10, 30, 34], [50, 40, 60, 52]][: 1 + (n % 3 == 0)], [n % 4, 0][: 1 + (n % 3 == 0)]
        samples.append(Sample(file, np.float32(boxes), np.int32(classes)))
    return Dataset(folder, CLASSES, tuple(samples))


@pytest.fixture(scope="module")
def detection(data):
    return DetectionTask(DETECTION, (LabelledSet.alone(data, data),))


def labels_work(settings, data):
    photographs = InMemorySplit(data, settings, to_train=True)
    return MultilabelTask(settings, photographs, photographs, build_cnn(4, settings.input_size))


def arrays(batches):
    return [[np.asarray(tensor) for tensor in (images, *targets)] for images, targets in batches]


def assert_same(one, other):
    for a, b in zip(one, other, strict=True):
        for x, y in zip(a, b, strict=True):
            np.testing.assert_array_equal(x, y)


def test_an_epoch_of_labels_holds_each_photograph_at_most_once(data):
    work = labels_work(MULTILABEL, data)
    made = arrays(work.batches(0))
    assert work.steps == len(made) == 2  # ten photographs, four a batch
    assert [(images.shape, images.dtype, labels.shape) for images, labels in made] == [
        ((4, 96, 96, 3), np.float32, (4, 4))
    ] * 2
    assert all(images.min() >= 0 and images.max() <= 255 for images, _ in made)


def test_photographs_and_labels_stay_together(data):
    images, labels = load_arrays(data, 96)
    assert (images.shape, images.dtype) == ((10, 96, 96, 3), np.uint8)
    for n, label in enumerate(labels):
        assert label[n % 4] == 1
        assert label.sum() == (2 if n % 3 == 0 and n % 4 else 1)


def test_the_epochs_of_labels_differ(data):
    work = labels_work(MULTILABEL, data)
    first, second = arrays(work.batches(0)), arrays(work.batches(1))
    assert not np.array_equal(first[0][0], second[0][0])


@pytest.mark.parametrize("epoch", [1, 4])
def test_an_epoch_of_labels_follows_from_the_seed_and_its_number_alone(data, epoch):
    # A resumed training makes epoch n without having made those before it.
    whole, resumed = labels_work(MULTILABEL, data), labels_work(MULTILABEL, data)
    for before in range(epoch):
        arrays(whole.batches(before))
    assert_same(arrays(whole.batches(epoch)), arrays(resumed.batches(epoch)))


@pytest.mark.parametrize("batch_size", [10, 11, 32])
def test_a_set_smaller_than_a_batch_is_trained_nevertheless(data, batch_size):
    work = labels_work(dataclasses.replace(MULTILABEL, batch_size=batch_size), data)
    (batch,) = arrays(work.batches(0))
    assert work.steps == 1
    assert len(batch[0]) == 10


def test_labels_are_validated_by_loss_and_agreement(data):
    work = labels_work(MULTILABEL, data)
    measured = work.validate(work.network)
    assert set(measured) == {"val_loss", "val_argmax_agreement"}
    assert work.monitor == "val_loss"
    images, labels = load_arrays(data, 96)
    predicted = np.asarray(work.network(images.astype(np.float32), training=False), np.float64)
    expected = -(labels * np.log(predicted) + (1 - labels) * np.log(1 - predicted)).mean()
    assert measured["val_loss"] == pytest.approx(expected, rel=1e-3)
    assert measured["val_argmax_agreement"] == pytest.approx((predicted.argmax(1) == labels.argmax(1)).mean())


def test_an_epoch_of_crops_has_whole_photographs_in_between(detection):
    made = arrays(detection.batches(0))
    assert detection.steps == len(made) == 5  # ten photographs, two crops each, four a batch
    sizes = [images.shape[:3] for images, *_ in made]
    assert sizes == [(4, 32, 32), (4, 32, 32), (1, 64, 64), (4, 32, 32), (4, 32, 32)]
    for images, boxes, classes, *_ in made:
        assert boxes.shape[:2] == classes.shape
        assert (images.dtype, boxes.dtype, classes.dtype) == (np.float32, np.float32, np.int32)
        assert boxes.min() >= 0
        assert boxes.max() <= images.shape[1]


def test_an_epoch_of_crops_follows_from_the_seed_and_its_number_alone(data, detection):
    alone = arrays(DetectionTask(DETECTION, (LabelledSet.alone(data, data),)).batches(2))
    assert_same(arrays(detection.batches(2)), alone)
    assert not np.array_equal(arrays(detection.batches(0))[0][0], alone[0][0])
    other = DetectionTask(dataclasses.replace(DETECTION, seed=4), (LabelledSet.alone(data, data),))
    assert not np.array_equal(arrays(other.batches(2))[0][0], alone[0][0])


@pytest.mark.slow
@pytest.mark.parametrize("stranger", [False, True], ids=["the network", "another"])
def test_boxes_are_validated_by_the_network_that_is_given(data, detection, stranger):
    network = keras.models.clone_model(detection.network) if stranger else detection.network
    if stranger:
        rng = np.random.default_rng(0)
        network.set_weights([abs(rng.normal(0, 0.05, weight.shape)) + 0.01 for weight in network.get_weights()])
    runner = Model(
        DetectionTask.manifest(DETECTION, CLASSES),
        KerasBackend(DetectionTask.inference_model(network, DETECTION)),
        SCORE_THRESHOLD,
    )
    results = [runner(sample.image()) for sample in data.samples]
    assert any(result.lesions for result in results)
    expected = average_precision(data.samples, results, CLASSES)
    got = detection.validate(network)
    assert got == pytest.approx({"val_ap50": expected.ap50, "val_ap": expected.ap}, abs=1e-6)
    assert detection.monitor in got
    assert detection.higher_is_better


def test_crops_alone_when_no_whole_photographs_are_asked_for(data):
    work = DetectionTask(dataclasses.replace(DETECTION, whole_every=0), (LabelledSet.alone(data, data),))
    assert {images.shape for images, *_ in arrays(work.batches(0))} == {(4, 32, 32, 3)}


@pytest.fixture
def bare(data):
    """The same photographs without a lesion."""
    nothing = np.zeros((0, 4), np.float32), np.zeros(0, np.int32)
    return dataclasses.replace(data, samples=tuple(Sample(sample.path, *nothing) for sample in data.samples))


def test_a_batch_without_lesions_still_has_a_row_of_padding(bare):
    make_batch = DetectionBatches(DETECTION, (LabelledSet.alone(bare, bare),))
    for _, boxes, classes, *_ in arrays(make_batch(0, step) for step in range(make_batch.steps)):
        assert (boxes.shape[1:], classes.shape[1:]) == ((16, 4), (16,))
        assert not boxes.any()


@pytest.mark.parametrize("which", ["train", "valid"])
def test_photographs_without_a_single_lesion_are_refused_before_the_training(data, bare, which):
    train, valid = (bare, data) if which == "train" else (data, bare)
    with pytest.raises(SourceError, match="no lesion is marked on any of its photographs"):
        DetectionTask(DETECTION, (LabelledSet.alone(train, valid),))


def test_unknown_absences_do_not_count_in_validation(data):
    unknown = dataclasses.replace(MULTILABEL, absent_unknown=("[0-4].png=papules,pustules",))
    plain, spared = labels_work(MULTILABEL, data), labels_work(unknown, data)
    spared.network.set_weights(plain.network.get_weights())
    images, labels = load_arrays(data, 96)
    predicted = np.asarray(plain.network(images.astype(np.float32), training=False), np.float64)
    losses = -(labels * np.log(predicted) + (1 - labels) * np.log(1 - predicted))
    losses[:5, 2:] *= labels[:5, 2:]
    assert spared.validate(spared.network)["val_loss"] == pytest.approx(losses.mean(), rel=1e-3)
    assert plain.validate(plain.network)["val_loss"] > losses.mean()
