"""Tiles are looked at by a model that finds marks: pure red squares on grey, each where it really is."""

from dataclasses import replace
from itertools import pairwise

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from acne_runtime.errors import ModelError
from acne_runtime.manifest import InputSpec, Manifest, OutputSpec
from acne_runtime.model import Predictor
from acne_runtime.predictors.tiling import TiledModel, tiles
from acne_runtime.result import Lesion, Result, Timing

SIDE = 128
CLASSES = ("comedones", "papules")
MANIFEST = Manifest(
    name="marks",
    task="detection",
    classes=CLASSES,
    input=InputSpec("image", SIDE, SIDE, "letterbox"),
    outputs=(OutputSpec("box_8", "box", 8), OutputSpec("score_8", "score", 8)),
    thresholds=(0.5,),
    bins=16,
)
ROWS = replace(MANIFEST, outputs=(OutputSpec("rows", "row"),), thresholds=(0.5, 0.5))
CLASSIFIER = Manifest(
    name="tiny-cnn",
    task="multilabel",
    classes=CLASSES,
    input=InputSpec("image", SIDE, SIDE, "stretch"),
    outputs=(OutputSpec("label", "label"),),
    thresholds=(0.5, 0.5),
)


class FindsMarks(Predictor):
    """A detector by connected areas. As a real one, it sees nothing smaller than a few pixels of its input."""

    manifest = MANIFEST

    def __init__(self, least=4):
        self.least, self.sizes = least, []

    def predict(self, frame):
        image = frame.image
        height, width = image.shape[:2]
        self.sizes.append((width, height))
        seen_at = min(1.0, SIDE / max(width, height))
        lesions = []
        for channel, name in ((2, "papules"), (1, "comedones")):
            marked = (image[..., channel] > 200) & (image[..., 0] < 50)
            _, _, stats, _ = cv2.connectedComponentsWithStats(marked.astype(np.uint8), connectivity=4)
            for x, y, w, h, _ in stats[1:].tolist():
                if min(w, h) * seen_at >= self.least:
                    score = 0.5 + 0.4 * min(1.0, w * h / 1600)
                    box = (float(x), float(y), float(x + w), float(y + h))
                    types = tuple(score * (other == name) for other in CLASSES) if self.manifest is MANIFEST else None
                    lesions.append(Lesion(name, score, box, types))
        lesions.sort(key=lambda one: -one.score)
        return Result(
            frame.source,
            frame.index,
            frame.time_s,
            width,
            height,
            "marks",
            CLASSES,
            tuple(lesions),
            None,
            Timing(1, 2, 3),
        )


def marked(width, height, *boxes, channel=2):
    image = np.full((height, width, 3), 128, np.uint8)
    for x1, y1, x2, y2 in boxes:
        image[y1:y2, x1:x2] = 0
        image[y1:y2, x1:x2, channel] = 255
    return image


def boxes_of(result):
    return sorted(lesion.box for lesion in result.lesions)


@given(width=st.integers(1, 3000), height=st.integers(1, 3000), side=st.integers(32, 640), overlap=st.integers(0, 31))
@settings(deadline=None)
def test_tiles_cover_every_pixel_and_overlap_as_they_should(width, height, side, overlap):
    places = list(tiles(width, height, side, overlap))
    for axis, length in ((0, width), (1, height)):
        starts = sorted({place[axis] for place in places})
        assert starts[0] == 0
        assert starts[-1] == max(0, length - side)
        for one, following in pairwise(starts):
            assert one + side - following >= overlap
        # And no more of them than it takes.
        assert len(starts) == (1 if length <= side else -(-(length - overlap) // (side - overlap)))
    assert len(places) == len(set(places))


def test_a_photograph_no_larger_than_a_tile_is_looked_at_once():
    model = FindsMarks()
    result = TiledModel(model, 32)(marked(SIDE, 100, (10, 10, 30, 30)), source="a.jpg", frame_index=3, time_s=0.5)
    assert model.sizes == [(SIDE, 100)]
    assert boxes_of(result) == [(10, 10, 30, 30)]
    assert (result.source, result.frame_index, result.time_s) == ("a.jpg", 3, 0.5)


def test_what_is_lost_by_shrinking_is_found_in_its_tile():
    image = marked(1000, 800, (500, 300, 512, 312), (3, 790, 11, 799))
    assert FindsMarks()(image).lesions == ()
    assert boxes_of(TiledModel(FindsMarks(), 32)(image)) == [(3, 790, 11, 799), (500, 300, 512, 312)]


def test_what_no_tile_holds_is_found_on_the_whole():
    image = marked(600, 600, (100, 100, 420, 400))
    assert (100, 100, 420, 400) in boxes_of(TiledModel(FindsMarks(), 32)(image))
    pieces = [box for box in boxes_of(TiledModel(FindsMarks(), 32)(image)) if box != (100, 100, 420, 400)]
    assert pieces == []


@given(
    st.lists(st.tuples(st.integers(0, 460), st.integers(0, 360), st.integers(6, 30), st.integers(6, 30)), max_size=12),
    st.sampled_from([32, 48]),
)
@settings(deadline=None, max_examples=200)
def test_tiles_find_what_a_look_at_the_whole_finds_and_each_once(drawn, overlap):
    """Marks smaller than the overlap, apart from each other: each lies whole in some tile, cut off in others."""
    boxes, taken = [], np.zeros((400, 500), bool)
    for x, y, w, h in drawn:
        around = np.s_[max(0, y - 2) : y + h + 2, max(0, x - 2) : x + w + 2]
        if not taken[around].any():
            taken[around] = True
            boxes.append((x, y, x + w, y + h))
    image = marked(500, 400, *boxes)

    whole = FindsMarks(least=0)(image)
    assert boxes_of(whole) == sorted(boxes)
    assert boxes_of(TiledModel(FindsMarks(), overlap)(image)) == boxes_of(whole)


def test_neighbours_of_another_type_do_not_merge():
    image = marked(600, 600, (300, 300, 312, 312))
    image[300:312, 314:326] = (0, 255, 0)
    got = TiledModel(FindsMarks(), 32)(image)
    assert sorted((lesion.name, lesion.box) for lesion in got.lesions) == [
        ("comedones", (314, 300, 326, 312)),
        ("papules", (300, 300, 312, 312)),
    ]


def overlaid(image):
    """The same marks in the other colour's channel too: each lesion looks like both types, on some tiles."""
    image[..., 1] = np.where(image[..., 2] == 255, 255, image[..., 1])
    return image


@pytest.mark.parametrize(
    ("manifest", "found"),
    [(MANIFEST, ["papules"]), (ROWS, ["comedones", "papules"])],
    ids=["all types at once", "class by class, as Ultralytics"],
)
def test_a_lesion_that_is_taken_for_two_types_is_one(manifest, found):
    model = FindsMarks()
    model.manifest = manifest
    got = TiledModel(model, 32)(overlaid(marked(600, 600, (300, 300, 312, 312))))
    assert sorted(lesion.name for lesion in got.lesions) == found
    assert all((lesion.types is None) == (manifest is ROWS) for lesion in got.lesions)


def test_a_piece_gives_way_to_the_whole_lesion_whatever_its_type():
    class PiecesAreComedones(FindsMarks):
        """What touches the border of its tile is taken for another type, and surer of it."""

        def predict(self, frame):
            result = super().predict(frame)
            cut = [min(lesion.box[:2]) == 0 or max(lesion.box[2:]) == SIDE for lesion in result.lesions]
            lesions = [
                Lesion("comedones", 0.99, one.box, (0.99, 0.0)) if piece else one
                for one, piece in zip(result.lesions, cut, strict=True)
            ]
            return replace(result, lesions=tuple(sorted(lesions, key=lambda one: -one.score)))

    got = TiledModel(PiecesAreComedones(), 32)(marked(600, 600, (120, 300, 134, 312)))
    assert [(lesion.name, lesion.box) for lesion in got.lesions] == [("papules", (120, 300, 134, 312))]
    assert got.lesions[0].types == pytest.approx((0.0, got.lesions[0].score))


def test_lesions_come_best_first_and_in_pixels_of_the_photograph():
    got = TiledModel(FindsMarks(), 32)(marked(600, 500, (550, 450, 560, 460), (50, 60, 80, 90)))
    assert [lesion.box for lesion in got.lesions] == [(50, 60, 80, 90), (550, 450, 560, 460)]
    assert (got.width, got.height) == (600, 500)


def test_the_time_of_all_looks_is_summed():
    model = FindsMarks()
    got = TiledModel(model, 32)(marked(300, 300))
    looks = len(model.sizes)
    assert looks == 1 + 9
    assert (got.timing.preprocess, got.timing.inference) == (looks, 2 * looks)
    assert got.timing.postprocess > 3 * looks


def test_each_tile_is_told():
    told = []
    TiledModel(FindsMarks(), 32, lambda done, of: told.append((done, of)))(marked(300, 200))
    assert told == [(done, 6) for done in range(1, 7)]


def test_a_classifier_has_no_tiles():
    model = FindsMarks()
    model.manifest = CLASSIFIER
    with pytest.raises(ModelError, match="tiny-cnn: not a detector"):
        TiledModel(model)


@pytest.mark.parametrize("overlap", [-1, SIDE, 4 * SIDE])
def test_an_overlap_that_leaves_no_step_is_refused(overlap):
    with pytest.raises(ModelError, match=f"`overlap` {overlap}: not within 0 to {SIDE - 1}"):
        TiledModel(FindsMarks(), overlap)
