from pathlib import Path

import cv2
import numpy as np
import pytest

from acne_runtime.quality import Quality, measure_quality, skin_mask
from acne_runtime.sources.image_files import list_images, read_image

SAMPLES = Path(__file__).resolve().parents[2] / "samples"
SKIN = read_image(SAMPLES / "rendered_skin.jpg")
# What the Fitzpatrick types reflect of red, green and blue, over that of type II (means of the tones of
# Monk's scale): the same relief under less light and more melanin.
TONES = (
    (1.06, 1.08, 1.12),
    (1.0, 1.0, 1.0),
    (0.88, 0.84, 0.78),
    (0.74, 0.66, 0.56),
    (0.55, 0.45, 0.36),
    (0.36, 0.29, 0.24),
)


def motion_blur(image, length, vertical=False):
    kernel = np.zeros((length, length), np.float32)
    kernel[length // 2] = 1 / length
    return cv2.filter2D(image, -1, kernel.T if vertical else kernel)


def in_tone(image, tone):
    return np.clip(image * np.array(tone[::-1]), 0, 255).astype(np.uint8)


def test_a_good_photograph_has_no_hints():
    quality = measure_quality(SKIN)
    assert quality.hints == () and quality.is_usable
    assert quality.skin > 0.9


@pytest.mark.parametrize(
    "spoilt",
    [
        cv2.GaussianBlur(SKIN, (0, 0), 1.5),
        cv2.GaussianBlur(SKIN, (0, 0), 3),
        motion_blur(SKIN, 9),
        motion_blur(SKIN, 9, vertical=True),
    ],
)
def test_blur_is_seen_whatever_its_direction(spoilt):
    assert any("sharp" in hint for hint in measure_quality(spoilt).hints)


def test_a_photograph_of_many_pixels_is_judged_at_the_size_that_the_model_sees():
    large = cv2.resize(SKIN, None, fx=4, fy=4, interpolation=cv2.INTER_CUBIC)
    assert measure_quality(large).sharpness == pytest.approx(measure_quality(SKIN).sharpness, abs=0.1)


def test_too_much_light_is_seen():
    bright = np.clip(SKIN.astype(float) * 2.2, 0, 255).astype(np.uint8)
    quality = measure_quality(bright)
    assert any("light" in hint for hint in quality.hints) and not quality.is_usable


def test_far_away_and_no_skin():
    small = np.full((640, 640, 3), (120, 90, 60), np.uint8)  # a blue wall
    assert measure_quality(small).skin == 0 and not measure_quality(small).is_usable
    small[200:360, 200:360] = SKIN[200:360, 200:360]
    quality = measure_quality(small)
    assert "come closer" in quality.hints and quality.is_usable


def test_motion_is_a_hint_and_too_much_of_it_a_reason():
    assert "hold still" in measure_quality(SKIN, motion=0.8).hints
    assert measure_quality(SKIN, motion=0.8).is_usable and not measure_quality(SKIN, motion=2.0).is_usable


def test_all_skin_tones_are_judged_alike():
    qualities = [measure_quality(in_tone(SKIN, tone)) for tone in TONES]
    assert all(quality.hints == () for quality in qualities)
    assert np.ptp([quality.sharpness for quality in qualities]) < 0.15
    assert min(quality.skin for quality in qualities) > 0.9


def test_dark_is_not_bad_by_itself():
    assert measure_quality((SKIN * 0.3).astype(np.uint8)).hints == ()


def test_the_json_form():
    fields = Quality(0.61234, 0.1, 0.9, 0.12345).to_dict()
    assert fields == {
        "usable": True, "hints": [], "sharpness": 0.612, "clipped": 0.1, "skin": 0.9, "motion": 0.123
    }  # fmt: skip
    assert "motion" not in Quality(0.6, 0.1, 0.9).to_dict()


def test_a_mask_of_an_empty_picture_is_empty():
    assert not skin_mask(np.zeros((4, 4, 3), np.uint8)).any()


@pytest.mark.slow
def test_sharp_photographs_are_seldom_flagged_and_blurred_ones_nearly_always(shared_data):
    images = [read_image(file) for file in list_images(shared_data / "acne04" / "valid")[:40]]
    sharp = [measure_quality(image).hints for image in images]
    blurred = [measure_quality(cv2.GaussianBlur(image, (0, 0), 1.5)).hints for image in images]
    assert np.mean([any("sharp" in hint for hint in hints) for hints in sharp]) <= 0.05
    assert np.mean([any("sharp" in hint for hint in hints) for hints in blurred]) >= 0.95
    for check in ("sharp", "light"):  # the same photographs in six tones
        rates = [
            np.mean(
                [any(check in hint for hint in measure_quality(in_tone(image, tone)).hints) for image in images[:20]]
            )
            for tone in TONES[1:]
        ]
        assert np.ptp(rates) <= 0.05
