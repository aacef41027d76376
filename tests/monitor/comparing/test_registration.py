import cv2
import numpy as np
import pytest
from support.visits import SAMPLES, SKIN, load_sample

from acne_monitor.comparing.registration import MIN_INLIERS, align
from acne_runtime.sources.image_files import read_image

revisits = load_sample("render_revisit")
POINTS = np.array([[120, 130], [320, 320], [500, 160], [180, 470], [470, 480]], float)
HEIGHT, WIDTH = SKIN.shape[:2]


def detail(image):
    """Returns what is fine in the middle of an image: pores, not light."""
    return (image - cv2.GaussianBlur(image.astype(float), (0, 0), 8))[120:520, 120:520].ravel()


@pytest.mark.parametrize("level", ["easy", "home", "hard"])
@pytest.mark.parametrize("seed", [0, 1])
def test_points_are_found_again(level, seed):
    revisit = revisits.Revisit(WIDTH, HEIGHT, revisits.LEVELS[level], np.random.default_rng(seed))
    alignment = align(SKIN, revisit.render(SKIN))
    assert alignment.refused is None and alignment.inliers >= MIN_INLIERS and alignment.residual_px < 6
    places, in_view = alignment.map(POINTS)
    truth = revisit.points(POINTS)
    visible = ((truth > 12) & (truth < (WIDTH - 12, HEIGHT - 12))).all(axis=1)
    assert in_view[visible].all()
    assert np.linalg.norm(places - truth, axis=1)[visible].max() < 6
    back = alignment.map_back(places[visible])
    assert np.linalg.norm(back - POINTS[visible], axis=1).max() < 4


def test_sizes_may_differ():
    small = SKIN[::2, ::2].copy()
    alignment = align(SKIN, small)
    assert alignment.refused is None and alignment.scale == pytest.approx(0.5, abs=0.01)
    assert np.linalg.norm(alignment.map(POINTS)[0] - POINTS / 2, axis=1).max() < 2


def test_a_later_photograph_is_laid_over_the_earlier_one():
    revisit = revisits.Revisit(WIDTH, HEIGHT, revisits.LEVELS["home"], np.random.default_rng(3))
    later = revisit.render(SKIN)
    warped = align(SKIN, later).warp(later, WIDTH, HEIGHT)
    pores, *others = [detail(image) for image in (SKIN, later, warped)]
    correlations = [np.corrcoef(pores, other)[0, 1] for other in others]
    assert correlations[0] < 0.2 and correlations[1] > 0.8


def test_what_leaves_the_picture_is_out_of_view():
    moved = np.roll(SKIN, 200, axis=1)
    moved[:, :200] = 90
    alignment = align(SKIN, moved)
    assert alignment.map(np.array([[100.0, 300.0], [540.0, 300.0]]))[1].tolist() == [True, False]


@pytest.mark.parametrize(
    "other",
    [
        read_image(SAMPLES / "astronaut.png"),
        SKIN[:, ::-1].copy(),  # a mirror image is another side of the face
        np.full_like(SKIN, 120),
        np.random.default_rng(0).integers(0, 255, SKIN.shape, np.uint8),
        SKIN[:9, :9].copy(),
    ],
    ids=["somebody else", "mirror", "blank", "noise", "tiny"],
)
def test_other_pictures_are_refused_with_a_reason(other):
    for alignment in (align(SKIN, other), align(other, SKIN)):
        assert alignment.inliers < MIN_INLIERS or alignment.refused
        assert "take the same view again" in alignment.refused


def test_the_same_watermark_is_not_the_same_person():
    """Found on real photographs of a collection, whose mark agreed with 80 features on all people."""
    mark = np.random.default_rng(5).integers(0, 255, (90, 130, 3), np.uint8)
    caption = np.random.default_rng(6).integers(0, 255, (40, 640, 3), np.uint8)
    for place, content in ((np.s_[540:630, 20:150], mark), (np.s_[600:640], caption)):
        one, other = SKIN.copy(), cv2.resize(read_image(SAMPLES / "astronaut.png"), (640, 640))
        for image in (one, other):
            image[place] = content
            image[place][..., 2] = 200 + image[place][..., 2] // 5  # as red as skin, or it is not looked at
        alignment = align(one, other)
        assert alignment.refused is not None and alignment.inliers < MIN_INLIERS


def test_no_points_are_no_problem():
    alignment = align(SKIN, SKIN)
    places, in_view = alignment.map(np.zeros((0, 2)))
    assert places.shape == (0, 2) and in_view.shape == (0,) and alignment.map_back(places).shape == (0, 2)


@pytest.mark.slow
def test_photographs_of_strangers_are_never_aligned(shared_data):
    folder = shared_data / "acne04" / "valid"
    images = [read_image(file) for file in sorted(folder.glob("*.jpg"))[:6]]
    pairs = [(one, other) for one in range(6) for other in range(one)]
    accepted = [pair for pair in pairs if align(images[pair[0]], images[pair[1]]).refused is None]
    assert accepted == []
