import json
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import numpy as np
import pytest
from support.images import picture

from acne_runtime.errors import ModelError
from acne_runtime.frame import Frame
from acne_runtime.load import load_model
from acne_runtime.manifest import InputSpec, Manifest, OutputSpec
from acne_runtime.model import Model

CLASSES = ("comedones", "nodules", "papules")
BINS = 8
SIZE = 64
STRIDES = (8, 16)

DETECTION = Manifest(
    name="tiny-detector",
    task="detection",
    classes=CLASSES,
    input=InputSpec("image", SIZE, SIZE, "letterbox", pad_value=7),
    outputs=tuple(OutputSpec(f"{kind}_{s}", kind, s) for kind in ("box", "score") for s in STRIDES),
    thresholds=(0.6,),
    bins=BINS,
)
MULTILABEL = Manifest(
    name="tiny-cnn",
    task="multilabel",
    classes=CLASSES,
    input=InputSpec("image", SIZE, SIZE, "stretch"),
    outputs=(OutputSpec("label", "label"),),
    thresholds=(0.5, 0.6, 0.7),
)
PHOTOGRAPH = np.zeros((100, 200, 3), np.uint8)
PHOTOGRAPH[:] = (10, 20, 30)


class FakeBackend:
    name = "fake"
    device = "none"

    def __init__(self, outputs):
        self.outputs = outputs
        self.seen = []

    def run(self, tensor):
        self.seen.append(tensor.copy())
        return self.outputs


def heads(*lesions):
    """Raw heads that show `lesions`: stride, row, column, class index, score, sides in cells."""
    outputs = {}
    for stride in STRIDES:
        cells = SIZE // stride
        outputs[f"box_{stride}"] = np.zeros((1, cells, cells, 4 * BINS), np.float32)
        outputs[f"score_{stride}"] = np.zeros((1, cells, cells, len(CLASSES)), np.float32)
    for stride, row, column, one, score, sides in lesions:
        box = np.full((4, BINS), -60, np.float32)
        box[range(4), sides] = 60
        outputs[f"box_{stride}"][0, row, column] = box.ravel()
        outputs[f"score_{stride}"][0, row, column, one] = score
    return outputs


def labels(*scores):
    return {"label": np.array([scores], np.float32)}


PAPULE = (8, 3, 4, 2, 0.9, (1, 1, 2, 1))
NODULE = (16, 1, 0, 1, 0.65, (0, 0, 1, 1))


def test_the_backend_gets_the_letterboxed_photograph_in_red_green_blue():
    backend = FakeBackend(heads())
    Model(DETECTION, backend)(PHOTOGRAPH)
    (tensor,) = backend.seen
    assert tensor.shape == (1, SIZE, SIZE, 3)
    assert tensor.dtype == np.uint8
    assert tensor[0, 32, 32].tolist() == [30, 20, 10]
    assert tensor[0, 0, 0].tolist() == [7, 7, 7]


def test_lesions_come_back_in_pixels_of_the_photograph():
    # 200 x 100 becomes 64 x 32 with 16 rows of padding above; a photograph's pixel is 0.32 input pixels.
    result = Model(DETECTION, FakeBackend(heads(PAPULE, NODULE)))(PHOTOGRAPH)
    papule, nodule = result.lesions
    assert (papule.name, papule.score) == ("papules", pytest.approx(0.9))
    assert papule.box == pytest.approx(((36 - 8) / 0.32, (28 - 8 - 16) / 0.32, (36 + 16) / 0.32, (28 + 8 - 16) / 0.32))
    assert (nodule.name, nodule.score) == ("nodules", pytest.approx(0.65))
    assert nodule.box == pytest.approx((8 / 0.32, (24 - 16) / 0.32, (8 + 16) / 0.32, (24 + 16 - 16) / 0.32))
    assert result.labels is None
    assert result.counts() == {"comedones": 0, "nodules": 1, "papules": 1}


def test_lesions_are_clipped_to_the_photograph():
    result = Model(DETECTION, FakeBackend(heads((16, 1, 0, 0, 0.9, (7, 7, 7, 7)))))(PHOTOGRAPH)
    assert result.lesions[0].box == pytest.approx((0, 0, 200, 100))


@pytest.mark.parametrize("shape", [(64, 64), (1, 300), (300, 1), (640, 480), (33, 77)])
def test_a_lesion_never_leaves_a_photograph_of_any_shape(shape):
    every_cell = heads(*((8, row, column, 0, 0.9, (7, 7, 7, 7)) for row in range(8) for column in range(8)))
    result = Model(DETECTION, FakeBackend(every_cell))(np.zeros((*shape, 3), np.uint8))
    assert (result.height, result.width) == shape
    assert result.lesions
    for lesion in result.lesions:
        x1, y1, x2, y2 = lesion.box
        assert 0 <= x1 <= x2 <= shape[1]
        assert 0 <= y1 <= y2 <= shape[0]


def test_the_lesion_threshold_of_the_manifest_holds_for_every_type():
    cells = [
        (8, row, 2 * index, index, score, (1, 1, 1, 1)) for row, score in ((2, 0.55), (5, 0.65)) for index in range(3)
    ]
    result = Model(DETECTION, FakeBackend(heads(*cells)))(PHOTOGRAPH)
    assert result.counts() == {"comedones": 1, "nodules": 1, "papules": 1}


def test_a_lesion_of_several_types_is_one_lesion_that_says_them_all():
    cells = [(8, 3, 4, one, score, (1, 1, 2, 1)) for one, score in enumerate((0.25, 0.5, 0.75))]
    (lesion,) = Model(DETECTION, FakeBackend(heads(*cells)))(PHOTOGRAPH).lesions
    assert lesion.name == "papules"
    assert lesion.types == (0.25, 0.5, 0.75)
    assert lesion.score == pytest.approx(1 - 0.75 * 0.5 * 0.25)
    assert not lesion.unsure


def test_types_that_are_nearly_as_probable_leave_the_type_unsure():
    cells = [(8, 3, 4, one, score, (1, 1, 2, 1)) for one, score in enumerate((0.25, 0.45, 0.5))]
    (lesion,) = Model(DETECTION, FakeBackend(heads(*cells)))(PHOTOGRAPH).lesions
    assert (lesion.name, lesion.unsure) == ("papules", True)


def test_a_lesion_that_two_cells_see_as_two_types_is_one():
    cells = [(8, 3, 4, 2, 0.9, (1, 1, 2, 1)), (8, 3, 5, 0, 0.8, (2, 1, 1, 1))]
    (lesion,) = Model(DETECTION, FakeBackend(heads(*cells)))(PHOTOGRAPH).lesions
    assert lesion.name == "papules"


@pytest.mark.parametrize("rounded", [1.0000001, -6e-8])
def test_a_probability_that_is_rounded_beyond_its_limits_is_taken_as_the_limit(rounded):
    """ONNX Runtime's sigmoid gives such values at large logits, on ARM always."""
    cells = [(8, 3, 4, 0, rounded, (1, 1, 2, 1)), (8, 3, 4, 1, 0.9, (1, 1, 2, 1))]
    (lesion,) = Model(DETECTION, FakeBackend(heads(*cells)))(PHOTOGRAPH).lesions
    assert lesion.types[0] == round(rounded) and 0.89 < lesion.score <= 1
    scores = {MULTILABEL.outputs[0].name: np.array([[rounded, 0.5, 0.5, 0.5][: len(MULTILABEL.classes)]], np.float32)}
    assert Model(MULTILABEL, FakeBackend(scores))(PHOTOGRAPH).labels[0].score == round(rounded)


@pytest.mark.parametrize("types", [(1.5, 1.5, 0.0), (0.9, -9.0, 0.0), (0.9, float("nan"), 0.0), (7.0, 0.0, 0.0)])
def test_probabilities_that_are_none_are_refused_even_where_they_make_a_score(types):
    cells = [(8, 3, 4, one, score, (1, 1, 2, 1)) for one, score in enumerate(types)]
    with pytest.raises(ModelError, match="tiny-detector: the model returned scores outside 0 to 1"):
        Model(DETECTION, FakeBackend(heads(*cells)))(PHOTOGRAPH)


@pytest.mark.parametrize(("threshold", "found"), [(None, 2), (0.001, 3), (0.7, 1), (0.95, 0)])
def test_a_score_threshold_takes_the_place_of_the_manifests_own(threshold, found):
    cells = [
        (8, 2, 0, 2, 0.9, (1, 1, 1, 1)),
        (8, 2, 4, 2, 0.6, (1, 1, 1, 1)),
        (8, 6, 4, 2, 0.2, (1, 1, 1, 1)),
    ]
    model = Model(DETECTION, FakeBackend(heads(*cells)), score_threshold=threshold)
    assert len(model(PHOTOGRAPH).lesions) == found


def test_two_cells_that_see_the_same_lesion_give_one():
    # Neighbouring cells, the same box.
    cells = [(8, 3, 4, 2, 0.9, (1, 1, 2, 1)), (8, 3, 5, 2, 0.8, (2, 1, 1, 1))]
    assert len(Model(DETECTION, FakeBackend(heads(*cells)))(PHOTOGRAPH).lesions) == 1


def test_a_photograph_without_lesions_gives_an_empty_answer():
    result = Model(DETECTION, FakeBackend(heads()))(PHOTOGRAPH)
    assert result.lesions == ()
    assert result.labels is None


def test_labels_are_held_against_the_threshold_of_their_class():
    result = Model(MULTILABEL, FakeBackend(labels(0.55, 0.55, 0.7)))(PHOTOGRAPH)
    assert [label.name for label in result.labels] == list(CLASSES)
    assert [label.score for label in result.labels] == pytest.approx([0.55, 0.55, 0.7])
    assert [label.present for label in result.labels] == [True, False, True]
    assert result.lesions is None


@pytest.mark.parametrize(
    ("threshold", "present"),
    [(0.001, [True, True, True]), (0.6, [False, False, True]), (0.9, [False, False, False])],
)
def test_a_score_threshold_holds_for_labels_too(threshold, present):
    model = Model(MULTILABEL, FakeBackend(labels(0.55, 0.55, 0.65)), score_threshold=threshold)
    assert [label.present for label in model(PHOTOGRAPH).labels] == present


@pytest.mark.parametrize(
    ("manifest", "outputs"),
    [(DETECTION, heads(PAPULE)), (MULTILABEL, labels(0.1, 0.6, 0.9))],
    ids=["boxes", "labels"],
)
def test_the_answer_says_where_the_frame_came_from_and_how_long_it_took(manifest, outputs):
    result = Model(manifest, FakeBackend(outputs))(PHOTOGRAPH, source="camera:0", frame_index=5, time_s=0.2)
    assert (result.source, result.frame_index, result.time_s) == ("camera:0", 5, 0.2)
    assert (result.width, result.height, result.model) == (200, 100, manifest.name)
    timing = (result.timing.preprocess, result.timing.inference, result.timing.postprocess)
    assert all(step >= 0 for step in timing)
    assert 0 < sum(timing) < 10_000
    assert json.loads(json.dumps(result.to_dict())) == result.to_dict()


def test_a_model_cannot_be_changed_by_its_thresholds():
    model = Model(DETECTION, FakeBackend(heads(PAPULE)))
    with pytest.raises(ValueError, match="read-only"):
        model.thresholds[:] = 0


def test_a_second_photograph_gets_the_same_answer_as_the_first():
    model = Model(DETECTION, FakeBackend(heads(PAPULE, NODULE)))
    first, second = model(PHOTOGRAPH), model(PHOTOGRAPH)
    assert first.lesions == second.lesions


def changed(name, value):
    return {**heads(PAPULE), name: value}


def scores(rows, columns, channels, value=0.0):
    return np.full((1, rows, columns, channels), value, np.float32)


VOTING = replace(DETECTION, nms_iou=0.35, box_voting_score=0.1)
# Of one lesion: the neighbours' boxes, 16 pixels wide, lie 8 pixels to the right.
SEEN_TWICE = (PAPULE, (8, 3, 5, 2, 0.4, (1, 1, 2, 1)), NODULE)


def test_the_box_of_a_lesion_is_voted_on_by_candidates_too_faint_to_be_shown():
    plain, voted = (Model(manifest, FakeBackend(heads(*SEEN_TWICE)))(PHOTOGRAPH) for manifest in (DETECTION, VOTING))
    assert [lesion.score for lesion in plain.lesions] == [lesion.score for lesion in voted.lesions]
    moved = [a.box[0] - b.box[0] for a, b in zip(voted.lesions, plain.lesions, strict=True)]
    scale = 200 / SIZE
    iou = 16 / 32
    weights = (1 - 0.35) * (0.9 - 0.1), (iou - 0.35) * (0.4 - 0.1)
    assert moved == pytest.approx([8 * scale * weights[1] / sum(weights), 0], abs=1e-3)


@pytest.mark.parametrize("threshold", [0.05, 0.5, 0.7])
def test_a_voted_box_does_not_depend_on_the_threshold(threshold):
    backend = FakeBackend(heads(*SEEN_TWICE))
    usual, other = (Model(VOTING, backend, score_threshold)(PHOTOGRAPH) for score_threshold in (None, threshold))
    shown = [lesion for lesion in other.lesions if lesion.score >= 0.6]
    assert shown == list(usual.lesions)[: len(shown)]
    assert shown


def test_boxes_that_the_vote_moved_together_are_one_lesion():
    between = [(8, 3, column, 2, 0.55, (1, 1, 3, 1)) for column in (5, 6)]
    outputs = heads((8, 3, 4, 2, 0.9, (1, 1, 3, 1)), *between, (8, 3, 7, 2, 0.8, (1, 1, 3, 1)))
    found = {
        manifest.box_voting_score: Model(manifest, FakeBackend(outputs))(PHOTOGRAPH).lesions
        for manifest in (replace(VOTING, nms_iou=0.2, box_voting_score=score) for score in (0.1, 1.0))
    }
    assert len(found[1.0]) == 2
    assert len(found[0.1]) == 1


@pytest.mark.parametrize(
    "outputs",
    [
        {},
        {name: output for name, output in heads(PAPULE).items() if name != "box_8"},
        {name: output for name, output in heads().items() if name != "score_16"},
        changed("score_8", scores(8, 8, 2, 0.9)),
        changed("score_8", scores(8, 8, 4, 0.9)),
        changed("score_8", scores(8, 8, 1, 0.9)),
        changed("score_8", scores(8, 8, 1)),
        changed("score_8", scores(9, 9, 3, 0.9)),
        changed("score_8", np.float32([0.9])),
        changed("box_8", np.zeros((1, 2, 2, 4 * BINS), np.float32)),
        changed("box_8", np.zeros((1, 16, 16, 4 * BINS), np.float32)),
        changed("box_8", np.zeros((1, 8, 8, 4 * BINS - 1), np.float32)),
        changed("box_8", np.zeros((1, 8, 8, 4 * BINS * 2), np.float32)),
        changed("box_8", np.zeros((1, 8, 8, 4), np.float32)),
        {**heads(), "box_8": np.zeros((1, 8, 8, 4), np.float32)},
        changed("box_8", np.zeros((8, 8, 4 * BINS), np.float32)),
    ],
    ids=[
        "nothing",
        "no boxes",
        "no scores",
        "a class too few",
        "a class too many",
        "one class of three",
        "one class of three, none found",
        "a larger grid of scores",
        "flat scores",
        "a smaller grid of boxes",
        "a larger grid of boxes",
        "a broken row of bins",
        "twice the bins",
        "no bins",
        "no bins, none found",
        "boxes without a batch",
    ],
)
def test_heads_that_are_not_what_the_manifest_promises_are_refused(outputs):
    with pytest.raises(ModelError, match=r"tiny-detector: .* from the manifest"):
        Model(DETECTION, FakeBackend(outputs))(PHOTOGRAPH)


@pytest.mark.parametrize(
    "outputs",
    [
        {},
        {"other": np.zeros((1, 3), np.float32)},
        labels(0.1, 0.2),
        labels(0.1, 0.2, 0.3, 0.4),
        {"label": np.zeros(3)},
    ],
    ids=["nothing", "another name", "a class too few", "a class too many", "no batch"],
)
def test_labels_that_are_not_what_the_manifest_promises_are_refused(outputs):
    with pytest.raises(ModelError, match=r"tiny-cnn: .* from the manifest"):
        Model(MULTILABEL, FakeBackend(outputs))(PHOTOGRAPH)


class CountingBackend(FakeBackend):
    """Answers each photograph of a batch with the heads of its own, by its first red value."""

    def __init__(self, by_red):
        super().__init__(None)
        self.by_red = by_red

    def run(self, tensor):
        self.seen.append(tensor.copy())
        own = [self.by_red[int(value[SIZE // 2, SIZE // 2, 0])] for value in tensor]
        return {name: np.concatenate([heads[name] for heads in own]) for name in own[0]}


PHOTOGRAPHS = [np.full((h, w, 3), (0, 0, red), np.uint8) for h, w, red in ((100, 200, 1), (64, 64, 2), (300, 100, 3))]
BY_RED = {1: heads(PAPULE), 2: heads(), 3: heads(NODULE, PAPULE)}


@pytest.mark.parametrize(("batch", "calls"), [(0, [3]), (1, [1, 1, 1])], ids=["any batch", "one by one"])
def test_a_batch_gives_what_each_gives_alone(batch, calls):
    manifest = replace(DETECTION, input=replace(DETECTION.input, batch=batch))
    backend = CountingBackend(BY_RED)
    got = Model(manifest, backend).batch(PHOTOGRAPHS)
    assert [len(tensor) for tensor in backend.seen] == calls
    alone = [Model(DETECTION, CountingBackend(BY_RED))(image) for image in PHOTOGRAPHS]
    assert [result.lesions for result in got] == [result.lesions for result in alone]
    assert [len(result.lesions) for result in got] == [1, 0, 2]
    assert [(result.width, result.height) for result in got] == [(200, 100), (64, 64), (100, 300)]
    assert all(min(result.timing.preprocess, result.timing.inference, result.timing.postprocess) > 0 for result in got)


def test_no_photographs_are_no_results():
    assert Model(DETECTION, FakeBackend(heads())).batch([]) == []


def test_a_stream_gives_a_result_a_frame_as_they_come():
    asked = []

    def frames():
        for index, image in enumerate(PHOTOGRAPHS):
            asked.append(index)
            yield Frame(image, "camera:0", index, index / 10)

    results = Model(DETECTION, CountingBackend(BY_RED)).stream(frames())
    assert asked == []
    first = next(results)
    assert (asked, first.source, first.frame_index, first.time_s) == ([0], "camera:0", 0, 0.0)
    assert [(result.frame_index, len(result.lesions)) for result in results] == [(1, 0), (2, 2)]


@pytest.mark.parametrize("form", ["onnx", "tflite"])
def test_threads_that_share_a_model_get_the_answers_that_each_would_get_alone(exported, form):
    model = load_model(exported("detection", form))
    images = [picture(90 + seed, 120, seed) for seed in range(8)]
    expected = [model(image).lesions for image in images]
    assert any(expected)
    with ThreadPoolExecutor(4) as pool:
        got = list(pool.map(lambda place: model(images[place % 8]).lesions, range(80)))
    assert got == expected * 10
